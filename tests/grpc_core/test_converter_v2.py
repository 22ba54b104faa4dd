"""Version 2 of the converter, over real gRPC."""

from decimal import Decimal
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal as DecimalMessage
from google.type.money_pb2 import Money

from grpc_core._generated.finance.v2.currency_converter_pb2 import (
    ConvertAmountRequest,
    ConvertAmountResponse,
    Currency,
    ExchangeRate,
    GetCurrencyRequest,
    GetExchangeRateRequest,
    ListCurrenciesRequest,
    SumAmountsResponse,
    WatchExchangeRatesRequest,
)
from grpc_core._generated.finance_pb2 import ConvertRequest
from tests.grpc_core.loopback import Loopback, Refusal, collect, each, published, refusal, until

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PAST = grpc.StatusCode.OUT_OF_RANGE
MISSING = grpc.StatusCode.NOT_FOUND
INSTANT = Timestamp(seconds=1795180500)  # 2026-11-20T13:15:00Z


def asked(code: str, units: int, nanos: int = 0, to: str = "EUR") -> ConvertAmountRequest:
    """Returns a request that converts an amount."""
    money = Money(currency_code=code, units=units, nanos=nanos)
    return ConvertAmountRequest(amount=money, target_currency_code=to)


def rate(base: str, target: str, value: str) -> ExchangeRate:
    """Returns a rate of the first snapshot."""
    name = f"currencies/{base}/exchangeRates/{target}"
    return ExchangeRate(name=name, rate=DecimalMessage(value=value), quote_time=INSTANT)


async def test_an_amount_is_converted_to_the_cent(core: Loopback) -> None:
    """The largest amount that Money has keeps its last digit, as no double would."""
    exact = asked("EUR", 9_223_372_036_854_775_807, 990_000_000, to="EUR")

    assert await core.converter_v2.ConvertAmount(asked("usd", 100, 10_000_000)) == (
        ConvertAmountResponse(
            converted_amount=Money(currency_code="EUR", units=80, nanos=10_000_000),
            exchange_rate=rate("USD", "EUR", "0.8"),
        )
    )
    assert (await core.converter_v2.ConvertAmount(exact)).converted_amount == exact.amount


@pytest.mark.parametrize(
    ("request_", "units", "nanos"),
    [
        (asked("EUR", 0, 5_000_000), 0, 10_000_000),  # half a cent
        (asked("EUR", 0, 4_999_999), 0, 0),
        (asked("EUR", 0, 3_125_000, to="JPY"), 1, 0),  # half a yen
        (asked("JPY", 1, to="EUR"), 0, 10_000_000),  # 0.00625
        (asked("USD", 1, 5_000_000, to="USD"), 1, 10_000_000),
    ],
)
async def test_a_half_is_rounded_up(
    core: Loopback, request_: ConvertAmountRequest, units: int, nanos: int
) -> None:
    """Amounts are rounded to the minor unit of the target: cents, and whole yen."""
    reply = await core.converter_v2.ConvertAmount(request_)

    assert (reply.converted_amount.units, reply.converted_amount.nanos) == (units, nanos)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            ConvertAmountRequest(amount=Money(currency_code="DEM", units=-5)),
            Refusal(
                INVALID,
                "retired currency 'DEM' no longer has a rate; currency code must not be empty; "
                "amount must be greater than 0, got -5",
                [
                    ("amount.currency_code", "retired currency 'DEM' no longer has a rate"),
                    ("target_currency_code", "currency code must not be empty"),
                    ("amount", "amount must be greater than 0, got -5"),
                ],
            ),
        ),
        (
            asked("USD", 0),
            Refusal(
                PAST,
                "amount must be greater than 0, got 0",
                [("amount", "amount must be greater than 0, got 0")],
            ),
        ),
        (
            asked("USD", 1, 1_000_000_000),
            Refusal(
                INVALID,
                "nanos must be between -999999999 and 999999999, got 1000000000",
                [
                    (
                        "amount.nanos",
                        "nanos must be between -999999999 and 999999999, got 1000000000",
                    )
                ],
            ),
        ),
        (
            asked("USD", 1, -1),
            Refusal(
                INVALID,
                "nanos must have the sign of units (1), got -1",
                [("amount.nanos", "nanos must have the sign of units (1), got -1")],
            ),
        ),
        (
            asked("EUR", 2**63 - 1, to="JPY"),
            Refusal(
                PAST,
                "amount is too large to convert",
                [("amount", "amount is too large to convert")],
            ),
        ),
    ],
)
async def test_a_wrong_amount_is_refused(
    core: Loopback, request_: ConvertAmountRequest, expected: Refusal
) -> None:
    """A refusal names the fields of this version."""
    assert await refusal(core.converter_v2.ConvertAmount(request_)) == expected


async def test_amounts_are_summed_by_currency(core: Loopback) -> None:
    """A sum says of which currency it is; ten tenths of a cent are ten cents, since each is rounded."""
    requests = [asked("EUR", 0, 6_000_000)] * 10 + [asked("EUR", 1, to="JPY")]

    assert await core.converter_v2.SumAmounts(each(requests)) == SumAmountsResponse(
        totals=[
            Money(currency_code="EUR", nanos=100_000_000),
            Money(currency_code="JPY", units=160),
        ],
        amount_count=11,
    )
    assert await core.converter_v2.SumAmounts(each([])) == SumAmountsResponse()


@pytest.mark.parametrize(
    ("second", "field", "problem"),
    [
        (asked("EUR", 2**63 - 1), "amount", "amount makes the sum of its currency too large"),
        (asked("EUR", 1, to="XXX"), "target_currency_code", "unknown currency 'XXX'"),
    ],
)
async def test_a_wrong_amount_ends_a_sum(
    core: Loopback, second: ConvertAmountRequest, field: str, problem: str
) -> None:
    """The error names the number of the request, from 0."""
    refused = await refusal(core.converter_v2.SumAmounts(each([asked("EUR", 1), second])))

    assert refused.violations == [(field, f"request 1: {problem}")]


async def test_each_amount_is_answered_in_order(core: Loopback) -> None:
    """Answers to those before a wrong one are sent."""
    call = core.converter_v2.ConvertAmounts(each([asked("USD", 10), asked("XXX", 1)]))

    assert (await call.read()).converted_amount == Money(currency_code="EUR", units=8)
    refused = await refusal(call.read())
    assert refused.violations == [("amount.currency_code", "request 1: unknown currency 'XXX'")]


async def test_currencies_are_resources(core: Loopback) -> None:
    """Each can be had by its name, and in pages; a retired one has no minor unit."""
    euro = Currency(name="currencies/EUR", code="EUR", state=Currency.ACTIVE, minor_unit_digits=2)
    mark = Currency(name="currencies/DEM", code="DEM", state=Currency.RETIRED)
    yen = Currency(name="currencies/JPY", code="JPY", state=Currency.ACTIVE, minor_unit_digits=0)
    one, two = ListCurrenciesRequest(page_size=2), ListCurrenciesRequest(page_size=2)

    assert await core.converter_v2.GetCurrency(GetCurrencyRequest(name=euro.name)) == euro
    everything = await core.converter_v2.ListCurrencies(ListCurrenciesRequest())
    first = await core.converter_v2.ListCurrencies(one)
    two.page_token = first.next_page_token
    second = await core.converter_v2.ListCurrencies(two)

    assert [each.code for each in everything.currencies] == ["DEM", "EUR", "GBP", "JPY", "USD"]
    assert everything.next_page_token == ""
    assert list(first.currencies) == [mark, euro]
    assert second.currencies[1] == yen


@pytest.mark.parametrize(
    ("method", "request_", "expected"),
    [
        (
            "GetCurrency",
            GetCurrencyRequest(name="currencies/XXX"),
            (MISSING, "there is no currency 'currencies/XXX'"),
        ),
        (
            "GetCurrency",
            GetCurrencyRequest(name="EUR"),
            (INVALID, "name must be currencies/CODE with codes of ISO 4217, got 'EUR'"),
        ),
        (
            "GetExchangeRate",
            GetExchangeRateRequest(name="currencies/DEM/exchangeRates/XXX"),
            (MISSING, "DEM and XXX has no rate"),
        ),
        (
            "ListCurrencies",
            ListCurrenciesRequest(page_size=-1),
            (INVALID, "page_size must not be negative, got -1"),
        ),
        (
            "ListCurrencies",
            ListCurrenciesRequest(page_token="?"),
            (INVALID, "page_token is not one that this method has given"),
        ),
    ],
)
async def test_what_does_not_exist_is_not_found(
    core: Loopback, method: str, request_: Any, expected: tuple[grpc.StatusCode, str]
) -> None:
    """A name that is none is told apart from a name of nothing."""
    refused = await refusal(getattr(core.converter_v2, method)(request_))

    assert (refused.code, refused.message) == expected


async def test_a_rate_is_a_resource(core: Loopback) -> None:
    """It has all digits, and both versions convert at it."""
    request = GetExchangeRateRequest(name="currencies/JPY/exchangeRates/USD")
    reply = await core.converter_v2.GetExchangeRate(request)
    old = ConvertRequest(from_currency="JPY", to_currency="USD", amount=1)

    assert reply == rate("JPY", "USD", "0.0078125")
    assert (await core.converter.Convert(old)).rate == float(Decimal(reply.rate.value))


async def test_rates_are_watched(core: Loopback) -> None:
    """The current rates come at once, then those that changed."""
    request = WatchExchangeRatesRequest(
        parent="currencies/USD", target_currency_codes=["EUR", "JPY"]
    )
    call = core.converter_v2.WatchExchangeRates(request)

    first = [await call.read(), await call.read()]
    published(core, JPY=Decimal(200))
    changed = await call.read()
    call.cancel()
    await until(lambda: core.feed.watchers == 0)

    assert first == [rate("USD", "EUR", "0.8"), rate("USD", "JPY", "128")]
    assert changed == rate("USD", "JPY", "160")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            WatchExchangeRatesRequest(parent="currencies/XXX"),
            Refusal(MISSING, "XXX has no rate", []),
        ),
        (
            WatchExchangeRatesRequest(parent="currencies/USD", target_currency_codes=["EUR", "XX"]),
            Refusal(
                INVALID,
                "unknown currency 'XX'",
                [("target_currency_codes[1]", "unknown currency 'XX'")],
            ),
        ),
    ],
)
async def test_a_wrong_watch_is_refused(
    core: Loopback, request_: WatchExchangeRatesRequest, expected: Refusal
) -> None:
    """Before anything is sent."""
    assert await refusal(collect(core.converter_v2.WatchExchangeRates(request_))) == expected
