"""`finance.CurrencyConverter`, version 1 of the contract: amounts and rates are doubles."""
# ruff: noqa: ARG002, N802 - the method names are the contract's, the parameters grpc's

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from grpc_core._generated import finance_pb2_grpc
from grpc_core._generated.finance_pb2 import (
    BatchReply,
    ConvertReply,
    ConvertRequest,
    RateUpdate,
    WatchRequest,
)
from grpc_core.finance.conversion import Batch, Conversion, convert
from grpc_core.finance.errors import FinanceError
from grpc_core.finance.watchlist import Watchlist
from grpc_core.guard import ServicerContext
from grpc_core.rate_feed import RateFeed


class CurrencyConverterV1(finance_pb2_grpc.CurrencyConverterServicer):
    """`finance.CurrencyConverter`, with the current rates of a feed."""

    def __init__(self, feed: RateFeed) -> None:
        self._feed = feed

    async def Convert(self, request: ConvertRequest, context: ServicerContext) -> ConvertReply:
        """Converts one amount."""
        return _reply(self._convert(request))

    async def WatchRates(
        self, request: WatchRequest, context: ServicerContext
    ) -> AsyncIterator[RateUpdate]:
        """Streams the current rates, then each rate that changes; does not end."""
        targets = request.target_currencies
        watchlist = Watchlist.of(self._feed.current, request.base_currency, targets)
        async with aclosing(self._feed.watch(watchlist)) as updates:
            async for currency, rate in updates:
                yield RateUpdate(currency=currency, rate=float(rate))

    async def BatchConvert(
        self, request_iterator: AsyncIterator[ConvertRequest], context: ServicerContext
    ) -> BatchReply:
        """Converts all amounts, and returns their sum and number."""
        batch = Batch()
        async for request in request_iterator:
            try:
                batch = batch.plus(self._convert(request))
            except FinanceError as error:
                raise error.at(batch.count) from None
        return BatchReply(total_converted=float(batch.total), count=batch.count)

    async def LiveConvert(
        self, request_iterator: AsyncIterator[ConvertRequest], context: ServicerContext
    ) -> AsyncIterator[ConvertReply]:
        """Converts each amount when it arrives."""
        position = 0
        async for request in request_iterator:
            try:
                conversion = self._convert(request)
            except FinanceError as error:
                raise error.at(position) from None
            yield _reply(conversion)
            position += 1

    def _convert(self, request: ConvertRequest) -> Conversion:
        return convert(
            self._feed.current,
            from_currency=request.from_currency,
            to_currency=request.to_currency,
            amount=request.amount,
        )


def _reply(conversion: Conversion) -> ConvertReply:
    return ConvertReply(
        converted_amount=float(conversion.amount),
        rate=_double(conversion.rate),
        timestamp=_timestamp(conversion.instant),
    )


@lru_cache(maxsize=1024)
def _double(rate: Decimal) -> float:
    """Converts a rate; cached, since converting 28 digits takes as long as the rest of the call."""
    return float(rate)


@lru_cache(maxsize=8)
def _timestamp(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
