"""The exchange rates of one core: reference rates, and what moves around them.

Rule: the rates of a tick are a function of the tick and of the reference rates. So all workers, and all
cores that know the same reference rates, have the same rates at the same tick.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from grpc_core.finance import reference
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.ticker import simulated
from grpc_core.rate_feed import RateFeed, ticking
from grpc_core.settings import Settings
from server_process.exposition import Sample

if TYPE_CHECKING:
    from grpc_core.live.live_rates import LiveRates

_log = logging.getLogger(__name__)


class Market:
    """The reference rates, bundled or live, with simulated moves around them if the ticker is on.

    Attributes:
        rates: The rates before the first tick; None: there are none, because they are live.
    """

    def __init__(self, settings: Settings) -> None:
        """Loads the bundled rates."""
        self._settings = settings
        self._bundled = reference.load()
        self._live = self._live_rates() if settings.rates == "ecb" else None
        self.rates = self._bundled if self._live is None else None

    def log_rates(self) -> None:
        """Logs the source of the rates, and the date of bundled ones."""
        kind = "ticks are SIMULATED around" if self._settings.simulates else "rates are"
        if self._live is not None:
            _log.info("%s the ECB reference rates from %s", kind, self._settings.rates_url)
            return
        day, count = self._bundled.instant.date(), len(self._bundled.per_euro)
        _log.info("%s the ECB reference rates of %s: %d currencies", kind, day, count)

    @asynccontextmanager
    async def publishing(
        self, feed: RateFeed, now: Callable[[], float] = time.time
    ) -> AsyncIterator[None]:
        """Publishes the rates to a feed at each tick, until the block is left; `now` is the Unix time."""
        live, settings = self._live, self._settings
        if live is None and not settings.simulates:
            yield
            return
        async with (
            nullcontext() if live is None else live.polling(),
            ticking(feed, self._at, settings.tick_period, now),
        ):
            yield

    def samples(self) -> dict[str, list[Sample]]:
        """Returns the samples of the reference rates."""
        live = self._live
        if live is None:
            return {"core_reference_rates_age_seconds": [((), _age(self._bundled.instant))]}
        quoted = live.newest
        return {
            "core_reference_rates_age_seconds": [] if quoted is None else [((), _age(quoted))],
            "core_reference_rates_behind": [((), int(live.is_behind()))],
            "core_rates_fetches_total": [((name,), n) for name, n in live.fetches.items()],
        }

    def _at(self, tick: int, instant: datetime) -> Snapshot:
        settings = self._settings
        rates = self._bundled if self._live is None else self._live.at(instant)
        if not settings.simulates:
            return rates
        return simulated(rates, seed=settings.seed, tick=tick, instant=instant)

    def _live_rates(self) -> LiveRates:
        from grpc_core.live.live_rates import LiveRates  # noqa: PLC0415 - only who asks for it has to wait

        known = self._bundled.per_euro.keys() | self._bundled.retired
        return LiveRates(self._settings, frozenset(known))


def _age(quoted: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - quoted).total_seconds())
