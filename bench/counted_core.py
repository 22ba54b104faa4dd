"""The core, which says on SIGUSR1 how many watches it has begun: `python -m bench.counted_core`."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncGenerator
from decimal import Decimal

from grpc_core.cli import main
from grpc_core.finance.watchlist import Watchlist
from grpc_core.rate_feed import RateFeed

_watch = RateFeed.watch
_watches: list[Watchlist] = []


def _counted(feed: RateFeed, watchlist: Watchlist) -> AsyncGenerator[tuple[str, Decimal]]:
    _watches.append(watchlist)
    return _watch(feed, watchlist)


if __name__ == "__main__":
    RateFeed.watch = _counted  # type: ignore[assignment, method-assign]
    signal.signal(signal.SIGUSR1, lambda *_: print(f"watches: {len(_watches)}", flush=True))
    sys.exit(main())
