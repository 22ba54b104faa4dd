"""Polls the reference rates, and keeps the last good ones.

Rule: a document is taken as a whole or refused as a whole, with one line in the log. What was good stays,
and grows old.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import uniform
from typing import Final, Literal, TypeAlias

from grpc_core.finance.errors import RatesUnavailableError
from grpc_core.finance.eurofxref import MAX_BYTES, DayRates, InvalidRatesError, parse
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.reference_rates import ReferenceRates
from grpc_core.finance.target_days import quoted_at
from grpc_core.live import last_good
from grpc_core.live.http_source import FetchError, HttpSource
from grpc_core.settings import Settings

Result: TypeAlias = Literal["new", "same", "failed", "refused"]
"""Of a fetch: other rates; the known ones; no document; a document that was refused."""
RESULTS: Final[tuple[Result, ...]] = ("new", "same", "failed", "refused")
_BACKOFF: Final = 2.0
"""Seconds until the second attempt after a failure; then twice as many each time, up to the poll interval."""

log = logging.getLogger(__name__)


class LiveRates:
    """The reference rates at a URL.

    Attributes:
        fetches: Number of fetches by their result.
    """

    def __init__(self, settings: Settings, known: frozenset[str]) -> None:
        """Takes the settings, and all currencies that were ever listed."""
        self.fetches: dict[Result, int] = dict.fromkeys(RESULTS, 0)
        self._url = settings.rates_url
        self._path = settings.rates_file
        self._poll = settings.rates_poll
        self._source = HttpSource(settings.rates_url, settings.rates_timeout, MAX_BYTES)
        self._rates = ReferenceRates(
            max_age=timedelta(seconds=settings.rates_max_age),
            max_jump=Decimal(str(settings.rates_max_jump)),
            known=known,
        )
        self._validators: Mapping[str, str] = {}
        self._kept: Sequence[DayRates] = ()
        self._problem = ""
        self._told = ""

    def at(self, instant: datetime) -> Snapshot:
        """Returns the rates that are in force, and logs when they are others.

        Raises:
            RatesUnavailableError: There are none, or they are too old.
        """
        try:
            snapshot = self._rates.at(instant)
        except RatesUnavailableError as error:
            level = (
                logging.ERROR if self._rates.days else logging.INFO
            )  # at the start there are none
            self._tell(level, f"no rates are served: {error}")
            raise
        count = len(snapshot.per_euro)
        self._tell(
            logging.INFO,
            f"the ECB reference rates of {snapshot.instant:%Y-%m-%d} are in force: {count} currencies",
        )
        return snapshot

    @property
    def newest(self) -> datetime | None:
        """The instant of the newest rates that are known; None: there are none."""
        return quoted_at(self._rates.days[0].day) if self._rates.days else None

    def is_behind(self) -> bool:
        """Whether rates should be in force, by the calendar, that are not known yet."""
        return self._rates.is_behind(datetime.now(UTC))

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Reads the last good rates, and fetches newer ones until the block is left."""
        await self._restore()
        async with asyncio.TaskGroup() as tasks:
            poller = tasks.create_task(self._poll_for_ever(), name="rates")
            yield
            poller.cancel()

    async def _restore(self) -> None:
        if self._path is None:
            log.warning(
                "CORE_RATES_FILE is not set: after a restart there are no rates until a fetch"
            )
            return
        try:
            days = await asyncio.to_thread(last_good.read, self._path)
            if days:
                self._rates.accept(days, datetime.now(UTC))
                self._kept = self._rates.days
        except InvalidRatesError as error:
            log.error("%s: it %s; it is not used, rates are fetched again", self._path, error)
        except OSError as error:
            log.error("%s: it cannot be read: %s", self._path, error.strerror)

    async def _poll_for_ever(self) -> None:
        backoff = _BACKOFF
        while True:
            result = await self._fetch()
            self.fetches[result] += 1
            if result in ("new", "same"):
                seconds, backoff = self._poll, _BACKOFF
            else:
                seconds = min(backoff, self._poll)
                backoff = min(2 * backoff, self._poll)
            await asyncio.sleep(seconds * uniform(0.8, 1.2))  # noqa: S311 - jitter, not security

    async def _fetch(self) -> Result:
        """Fetches once, and takes what comes. It does not raise."""
        try:
            document = await self._source.fetch(self._validators)
            is_new = False
            if document is not None:
                days = await asyncio.to_thread(parse, document.body)
                is_new = self._rates.accept(days, datetime.now(UTC))
                self._validators = document.validators
        except InvalidRatesError as error:
            return self._failed("refused", f"what it answers {error}")
        except FetchError as error:
            return self._failed("failed", str(error))
        except Exception:
            log.exception("%s", self._url)
            return self._failed("failed", "internal error")
        if self._rates.days != self._kept:
            await self._keep(self._rates.days)
        if self._problem:
            log.info("%s: rates were fetched again", self._url)
            self._problem = ""
        return "new" if is_new else "same"

    def _failed(self, result: Result, problem: str) -> Result:
        if problem != self._problem:
            self._problem = problem
            rest = "the last good rates stay" if self._rates.days else "there are no rates"
            log.error("%s: %s; %s", self._url, problem, rest)
        return result

    async def _keep(self, days: Sequence[DayRates]) -> None:
        if self._path is None:
            return
        try:
            await asyncio.to_thread(last_good.write, self._path, days)
            self._kept = days
        except OSError as error:
            log.error("%s: the rates cannot be kept: %s", self._path, error.strerror)

    def _tell(self, level: int, what: str) -> None:
        if what != self._told:
            self._told = what
            log.log(level, "%s", what)
