"""`finance.v2.CurrencyConverter`, version 2 of the contract: amounts and rates are exact."""
# ruff: noqa: ARG002, N802 - the method names are the contract's, the parameters grpc's

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal

from grpc_core._generated.finance.v2 import currency_converter_pb2_grpc
from grpc_core._generated.finance.v2.currency_converter_pb2 import (
    ConvertAmountRequest,
    ConvertAmountResponse,
    Currency,
    ExchangeRate,
    GetCurrencyRequest,
    GetExchangeRateRequest,
    ListCurrenciesRequest,
    ListCurrenciesResponse,
    SumAmountsResponse,
    WatchExchangeRatesRequest,
)
from grpc_core.finance import currencies
from grpc_core.finance.conversion import EXACT, convert
from grpc_core.finance.errors import (
    FinanceError,
    InvalidArgumentError,
    NotFoundError,
    Violation,
)
from grpc_core.finance.rates import Snapshot, canonical
from grpc_core.finance.watchlist import Watchlist
from grpc_core.guard import ServicerContext
from grpc_core.rate_feed import RateFeed
from grpc_core.servicers.money import amount_of, decimal, money, timestamp
from grpc_core.servicers.names import currency_name, currency_of, rate_name, rate_of

DEFAULT_PAGE = 50
LARGEST_PAGE = 1000
FIELDS = {"from_currency": "amount.currency_code", "to_currency": "target_currency_code"}
"""Names of the domain -> fields of a request that converts."""
TOO_LARGE = "amount is too large to convert"
SUM_TOO_LARGE = "amount makes the sum of its currency too large"


class CurrencyConverterV2(currency_converter_pb2_grpc.CurrencyConverterServicer):
    """`finance.v2.CurrencyConverter`, with the current rates of a feed."""

    def __init__(self, feed: RateFeed) -> None:
        self._feed = feed

    async def GetCurrency(self, request: GetCurrencyRequest, context: ServicerContext) -> Currency:
        """Gets a currency.

        Raises:
            NotFoundError: There is none of this name.
        """
        code, snapshot = currency_of(request.name), self._feed.current
        if code not in snapshot.per_euro and code not in snapshot.retired:
            raise NotFoundError([Violation("name", f"there is no currency {request.name!r}")])
        return _currency(snapshot, code)

    async def ListCurrencies(
        self, request: ListCurrenciesRequest, context: ServicerContext
    ) -> ListCurrenciesResponse:
        """Lists currencies by their codes; a page token is the last code of the page before.

        Raises:
            InvalidArgumentError: The page size is negative, or the token none of ours.
        """
        size, token, snapshot = request.page_size, request.page_token, self._feed.current
        known = currencies.codes(snapshot)
        if size < 0:
            problem = f"page_size must not be negative, got {size}"
            raise InvalidArgumentError([Violation("page_size", problem)])
        if token and token not in known:
            problem = "page_token is not one that this method has given"
            raise InvalidArgumentError([Violation("page_token", problem)])
        size = min(size or DEFAULT_PAGE, LARGEST_PAGE)
        left = [code for code in known if code > token]
        return ListCurrenciesResponse(
            currencies=[_currency(snapshot, code) for code in left[:size]],
            next_page_token=left[size - 1] if len(left) > size else "",
        )

    async def GetExchangeRate(
        self, request: GetExchangeRateRequest, context: ServicerContext
    ) -> ExchangeRate:
        """Gets the rate between two currencies.

        Raises:
            NotFoundError: One of them has none.
        """
        base, target = rate_of(request.name)
        snapshot = self._feed.current
        return _rate(base, target, currencies.rate(snapshot, base, target), snapshot.instant)

    async def WatchExchangeRates(
        self, request: WatchExchangeRatesRequest, context: ServicerContext
    ) -> AsyncIterator[ExchangeRate]:
        """Streams the current rates, then each rate that changes; does not end.

        Raises:
            NotFoundError: The base currency has no rate.
            InvalidArgumentError: A target currency has none.
        """
        base, targets = currency_of(request.parent, "parent"), request.target_currency_codes
        currencies.rate(self._feed.current, base, base, field="parent")
        try:
            watchlist = Watchlist.of(self._feed.current, base, targets)
        except FinanceError as error:
            raise error.named(
                {
                    f"target_currencies[{n}]": f"target_currency_codes[{n}]"
                    for n in range(len(targets))
                }
            ) from None
        async with aclosing(self._feed.watch(watchlist)) as updates:
            async for currency, rate in updates:
                yield _rate(watchlist.base, currency, rate, self._feed.current.instant)

    async def ConvertAmount(
        self, request: ConvertAmountRequest, context: ServicerContext
    ) -> ConvertAmountResponse:
        """Converts one amount."""
        return self._convert(request)

    async def SumAmounts(
        self, request_iterator: AsyncIterator[ConvertAmountRequest], context: ServicerContext
    ) -> SumAmountsResponse:
        """Converts all amounts, and returns a sum for each target currency."""
        totals: dict[str, Decimal] = {}
        count = 0
        async for request in request_iterator:
            try:
                converted = self._convert(request).converted_amount
                code = converted.currency_code
                total = EXACT.add(totals.get(code, Decimal()), amount_of(converted))
                money(total, code, SUM_TOO_LARGE)
            except FinanceError as error:
                raise error.at(count) from None
            totals[code] = total
            count += 1
        sums = [money(total, code, SUM_TOO_LARGE) for code, total in totals.items()]
        return SumAmountsResponse(totals=sums, amount_count=count)

    async def ConvertAmounts(
        self, request_iterator: AsyncIterator[ConvertAmountRequest], context: ServicerContext
    ) -> AsyncIterator[ConvertAmountResponse]:
        """Converts each amount when it arrives."""
        position = 0
        async for request in request_iterator:
            try:
                converted = self._convert(request)
            except FinanceError as error:
                raise error.at(position) from None
            yield converted
            position += 1

    def _convert(self, request: ConvertAmountRequest) -> ConvertAmountResponse:
        source, target = request.amount.currency_code, request.target_currency_code
        try:
            conversion = convert(
                self._feed.current,
                from_currency=source,
                to_currency=target,
                amount=amount_of(request.amount),
            )
        except FinanceError as error:
            raise error.named(FIELDS) from None
        target = canonical(target)
        return ConvertAmountResponse(
            converted_amount=money(
                currencies.rounded(conversion.amount, target), target, TOO_LARGE
            ),
            exchange_rate=_rate(canonical(source), target, conversion.rate, conversion.instant),
        )


def _currency(snapshot: Snapshot, code: str) -> Currency:
    name = currency_name(code)
    if code not in snapshot.per_euro:
        return Currency(name=name, code=code, state=Currency.RETIRED)
    digits = currencies.minor_unit_digits(code)
    return Currency(name=name, code=code, state=Currency.ACTIVE, minor_unit_digits=digits)


def _rate(base: str, target: str, rate: Decimal, instant: datetime) -> ExchangeRate:
    return ExchangeRate(
        name=rate_name(base, target), rate=decimal(rate), quote_time=timestamp(instant)
    )
