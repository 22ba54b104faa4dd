"""The exchange rates of one core, and their simulated movement.

Rule: all workers have the same rates at the same time, whenever they were started. So the walk is created
    before
the fork, and ticks are counted from one start time.
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

FOLLOW_SECONDS = 60
"""Interval in seconds at which the parent advances its walk; a new worker takes the rest of the steps."""

_log = logging.getLogger(__name__)


class Market:
    """The reference rates, with a random walk around them if the ticker is on.

    Attributes:
        rates: The reference rates.
    """

    def __init__(self, settings: Settings) -> None:
        """Loads the rates, and starts the walk."""
        self.rates = reference.load()
        self._ticks = Ticks(settings.tick_period, time.monotonic)
        self._walk: RandomWalk | None = None
        if settings.ticker == "on":
            self._walk = RandomWalk(self.rates, Random(settings.seed))  # noqa: S311 - a simulation, not security

    def log_rates(self) -> None:
        """Logs the source and the date of the rates."""
        kind = "ticks are SIMULATED around" if self._walk else "rates are"
        day, count = self.rates.instant.date(), len(self.rates.per_euro)
        _log.info("%s the ECB reference rates of %s: %d currencies", kind, day, count)

    def publishing(self, feed: RateFeed) -> AbstractAsyncContextManager[None]:
        """Returns a context manager that publishes the rates to a feed at each tick."""
        if self._walk is None:
            return nullcontext()
        return ticking(feed, self._walk, self._ticks, now=lambda: datetime.now(UTC))

    def follow_walk(self) -> None:
        """Advances the walk in this process by a timer, so that its forks have few steps to catch up."""
        walk = self._walk
        if walk is not None:
            signal.signal(signal.SIGALRM, lambda *_: self._ticks.catch_up(walk))
            signal.setitimer(signal.ITIMER_REAL, FOLLOW_SECONDS, FOLLOW_SECONDS)
