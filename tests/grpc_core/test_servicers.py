"""The contract, over real gRPC; WatchRates has a file of its own."""

import math
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import grpc
import grpc.aio
import pytest

from grpc_core._generated.finance_pb2 import (
    BatchReply,
    ConvertReply,
    ConvertRequest,
    WatchRequest,
)
from grpc_core._generated.gateway.v1 import options_pb2
from grpc_core._generated.hello_pb2 import HelloReply, HelloRequest
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.reference import load
from tests.grpc_core.loopback import Loopback, Refusal, collect, each, published, refusal

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PAST = grpc.StatusCode.OUT_OF_RANGE


def dollars(amount: float, to_currency: str = "EUR") -> ConvertRequest:
    """Returns a request that converts dollars."""
    return ConvertRequest(from_currency="USD", to_currency=to_currency, amount=amount)


async def test_convert(core: Loopback) -> None:
    """An amount is converted at the current rate, which is told with its instant."""
    reply = await core.converter.Convert(dollars(100))

    assert reply == ConvertReply(converted_amount=80, rate=0.8, timestamp="2026-11-20T13:15:00Z")


async def test_convert_takes_lower_case_and_fractions_of_a_second(
    core: Loopback, snapshot: Snapshot
) -> None:
    """Codes are accepted in any case; an instant between two seconds is told as such."""
    core.feed.publish(replace(snapshot, instant=snapshot.instant.replace(microsecond=250_000)))

    request = ConvertRequest(from_currency="usd", to_currency="jPy", amount=0.5)
    reply = await core.converter.Convert(request)

    assert reply == ConvertReply(
        converted_amount=64, rate=128, timestamp="2026-11-20T13:15:00.250000Z"
    )


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            dollars(1, "XXX"),
            Refusal(INVALID, "unknown currency 'XXX'", [("to_currency", "unknown currency 'XXX'")]),
        ),
        (
            ConvertRequest(from_currency="DEM", to_currency="", amount=-5),
            Refusal(
                INVALID,
                "retired currency 'DEM' no longer has a rate; currency code must not be empty; "
                "amount must be greater than 0, got -5.0",
                [
                    ("from_currency", "retired currency 'DEM' no longer has a rate"),
                    ("to_currency", "currency code must not be empty"),
                    ("amount", "amount must be greater than 0, got -5.0"),
                ],
            ),
        ),
        (
            dollars(0),
            Refusal(
                PAST,
                "amount must be greater than 0, got 0.0",
                [("amount", "amount must be greater than 0, got 0.0")],
            ),
        ),
        (
            dollars(math.nan),
            Refusal(
                INVALID,
                "amount must be a finite number, got nan",
                [("amount", "amount must be a finite number, got nan")],
            ),
        ),
        (
            dollars(1.7e308, "JPY"),
            Refusal(
                PAST,
                "amount is too large to convert, got 1.7e+308",
                [("amount", "amount is too large to convert, got 1.7e+308")],
            ),
        ),
    ],
)
async def test_convert_refuses(core: Loopback, request_: ConvertRequest, expected: Refusal) -> None:
    """A refusal says in its details what is wrong with every field."""
    assert await refusal(core.converter.Convert(request_)) == expected


async def test_batch_convert(core: Loopback) -> None:
    """The answer is the sum of what was converted and how many there were."""
    requests = each([dollars(100), dollars(1, "JPY"), dollars(0.5, "USD")])

    reply = await core.converter.BatchConvert(requests)

    assert reply == BatchReply(total_converted=208.5, count=3)


async def test_an_empty_batch_is_nothing(core: Loopback) -> None:
    """No amounts come to zero."""
    assert await core.converter.BatchConvert(each([])) == BatchReply()


@pytest.mark.parametrize(
    ("wrong", "code", "message", "field"),
    [
        (dollars(1, "XXX"), INVALID, "unknown currency 'XXX'", "to_currency"),
        (dollars(-1), PAST, "amount must be greater than 0, got -1.0", "amount"),
    ],
)
async def test_a_stream_names_the_request_that_is_wrong(
    core: Loopback, wrong: ConvertRequest, code: grpc.StatusCode, message: str, field: str
) -> None:
    """The message and the violations say which request it was, counted from 0."""
    text = f"request 2: {message}"
    expected = Refusal(code, text, [(field, text)])
    requests = [dollars(1), dollars(2), wrong]

    assert await refusal(core.converter.BatchConvert(each(requests))) == expected
    assert await refusal(collect(core.converter.LiveConvert(each(requests)))) == expected


async def test_a_batch_that_is_too_large_is_refused(core: Loopback) -> None:
    """Amounts that fit a double may have a sum that does not."""
    requests = each([dollars(sys.float_info.max, "USD")] * 2)

    text = "request 1: amount makes the sum of the batch too large"
    assert await refusal(core.converter.BatchConvert(requests)) == Refusal(
        PAST, text, [("amount", text)]
    )


async def test_live_convert_answers_each_request_as_it_comes(core: Loopback) -> None:
    """An answer does not wait for the next request, and each is at the rate of its moment."""
    call = core.converter.LiveConvert()

    await call.write(dollars(1))
    first = await call.read()
    published(core, USD=Decimal(2))
    await call.write(dollars(1))
    second = await call.read()
    await call.done_writing()

    assert (first.converted_amount, second.converted_amount) == (0.8, 0.5)
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_live_convert_keeps_the_order(core: Loopback) -> None:
    """Answers come in the order of the requests."""
    amounts = [float(number) for number in range(1, 201)]

    replies = await collect(core.converter.LiveConvert(each(dollars(n, "USD") for n in amounts)))

    assert [reply.converted_amount for reply in replies] == amounts


async def test_live_convert_answers_what_came_before_an_error(core: Loopback) -> None:
    """The requests before the first wrong one are answered."""
    call = core.converter.LiveConvert(each([dollars(1), dollars(2), dollars(-3)]))

    answered = [(await call.read()).converted_amount for _ in range(2)]
    answer = await refusal(call.read())

    assert answered == [0.8, 1.6]
    assert answer.message == "request 2: amount must be greater than 0, got -3.0"


async def test_say_hello(core: Loopback) -> None:
    """The greeting has the name as it was given."""
    reply = await core.greeter.SayHello(HelloRequest(name="Zoë"))

    assert reply == HelloReply(message="Hello, Zoë!")


async def test_say_hello_wants_a_name(core: Loopback) -> None:
    """An empty name is refused."""
    assert await refusal(core.greeter.SayHello(HelloRequest())) == Refusal(
        INVALID, "name must not be empty", [("name", "name must not be empty")]
    )


def test_the_contract_lists_the_currencies_that_have_a_rate() -> None:
    """Documents offer what the core takes: `gateway.v1.values` has the codes of the newest rates."""
    codes = sorted(load().per_euro)
    for message, name in (
        (ConvertRequest, "from_currency"),
        (ConvertRequest, "to_currency"),
        (WatchRequest, "base_currency"),
        (WatchRequest, "target_currencies"),
    ):
        options: Any = message.DESCRIPTOR.fields_by_name[name].GetOptions()
        values = options.Extensions[options_pb2.values]
        assert list(getattr(values, "in")) == codes, name
