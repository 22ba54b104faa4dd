"""The rates of one core: where they start, and how they move.

Rule: workers move at the same ticks and draw the same moves, whenever each of them was started; so the
walk is made before they are, and ticks are counted from one instant.
"""

import logging
import signal
import time
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from random import Random

from grpc_core.finance import reference
from grpc_core.finance.ticker import RandomWalk
from grpc_core.rate_feed import RateFeed, Ticks, ticking
from grpc_core.settings import Settings

KEEP_UP_SECONDS = 60
"""How far the parent's walk is at most behind: steps that a new worker has to make up for (50 us each)."""

_log = logging.getLogger(__name__)


class Market:
    """The reference rates, and the walk around them if there is to be one.

    Attributes:
        rates: What the walk starts from.
    """

    def __init__(self, settings: Settings) -> None:
        """Reads the rates, and lets the walk begin now."""
        self.rates = reference.load()
        self._ticks = Ticks(settings.tick_period, time.monotonic)
        self._walk: RandomWalk | None = None
        if settings.ticker == "on":
            self._walk = RandomWalk(self.rates, Random(settings.seed))  # noqa: S311 - nobody is to be surprised

    def say_which(self) -> None:
        """Says in the log what rates these are."""
        kind = "ticks are SIMULATED around" if self._walk else "rates are"
        day, count = self.rates.instant.date(), len(self.rates.per_euro)
        _log.info("%s the ECB reference rates of %s: %d currencies", kind, day, count)

    def moving(self, feed: RateFeed) -> AbstractAsyncContextManager[None]:
        """Publishes the rates at each tick until the block is left, from those of the newest one on."""
        if self._walk is None:
            return nullcontext()
        return ticking(feed, self._walk, self._ticks, now=lambda: datetime.now(UTC))

    def keep_up(self) -> None:
        """Has this process follow the walk, though it publishes no rates: its forks begin near the end."""
        walk = self._walk
        if walk is not None:
            signal.signal(signal.SIGALRM, lambda *_: self._ticks.catch_up(walk))
            signal.setitimer(signal.ITIMER_REAL, KEEP_UP_SECONDS, KEEP_UP_SECONDS)
