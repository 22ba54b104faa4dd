"""The core, which keeps account of its stream: `python -m bench.peers.counted_core`.

It says on SIGUSR1 how many watches it has begun; into the file that BENCH_TICKS names it writes, a line
each, when its rates have moved, by the clock that `time.perf_counter` reads in every process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from decimal import Decimal

from grpc_core.cli import main
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.watchlist import Watchlist
from grpc_core.rate_feed import RateFeed

_publish = RateFeed.publish
_watch = RateFeed.watch
_watches: list[Watchlist] = []
_ticks = open(os.environ.get("BENCH_TICKS", os.devnull), "a", buffering=1)  # noqa: SIM115 - to the end


def _told(feed: RateFeed, snapshot: Snapshot) -> None:
    _ticks.write(f"{time.perf_counter()}\n")
    _publish(feed, snapshot)


def _counted(feed: RateFeed, watchlist: Watchlist) -> AsyncGenerator[tuple[str, Decimal]]:
    _watches.append(watchlist)
    return _watch(feed, watchlist)


if __name__ == "__main__":
    RateFeed.publish = _told  # type: ignore[assignment, method-assign]
    RateFeed.watch = _counted  # type: ignore[assignment, method-assign]
    signal.signal(signal.SIGUSR1, lambda *_: print(f"watches: {len(_watches)}", flush=True))
    sys.exit(main())
