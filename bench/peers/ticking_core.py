"""The core, which writes down when its rates move: `python -m bench.peers.ticking_core`.

BENCH_TICKS names the file; a line is a moment, by the clock that `time.perf_counter` reads in every process.
"""

from __future__ import annotations

import os
import sys
import time

from grpc_core.cli import main
from grpc_core.finance.rates import Snapshot
from grpc_core.rate_feed import RateFeed

_publish = RateFeed.publish
_ticks = open(os.environ.get("BENCH_TICKS", os.devnull), "a", buffering=1)  # noqa: SIM115 - to the end


def _told(feed: RateFeed, snapshot: Snapshot) -> None:
    _ticks.write(f"{time.perf_counter()}\n")
    _publish(feed, snapshot)


if __name__ == "__main__":
    RateFeed.publish = _told  # type: ignore[assignment, method-assign] # it says when, too
    sys.exit(main())
