"""`gateway.testing`, as the tests of a user's contract use it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import Script, ScriptedCall, ScriptedUpstream, StatusError, serving
from grpc_core._generated.finance_pb2 import ConvertReply, ConvertRequest
from grpc_core._generated.hello_pb2 import HelloReply
from tests.whole.processes import DESCRIPTOR_SET

CONVERT = "/finance.CurrencyConverter/Convert"
BATCH = "/finance.CurrencyConverter/BatchConvert"
RATES = "/finance.CurrencyConverter/WatchRates"
DOLLARS = {"fromCurrency": "USD", "toCurrency": "EUR", "amount": 2}


@contextmanager
def edge(scripts: Mapping[str, Script]) -> Iterator[tuple[ScriptedUpstream, httpx.Client]]:
    """Serves the demo's contract by scripts; gives the upstream, and a client of the edge."""
    settings = Settings(descriptor_set=DESCRIPTOR_SET, log_level="warning")
    upstream = ScriptedUpstream(scripts)
    with (
        serving(create_app(settings, upstream), settings) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield upstream, client


@pytest.mark.parametrize(
    "message",
    [
        {"convertedAmount": 1.5, "rate": 3},
        ConvertReply(converted_amount=1.5, rate=3),
        ConvertReply(converted_amount=1.5, rate=3).SerializeToString(),
    ],
    ids=["JSON", "generated class", "bytes"],
)
def test_forms_of_a_message(message: Any) -> None:
    """A message is a dict in JSON, one of a generated class, or bytes; a list serves every call."""
    with edge({CONVERT: [message]}) as (_, client):
        for _ in range(2):
            answer = client.post("/convert", json=DOLLARS)
            assert answer.json() == {"convertedAmount": 1.5, "rate": 3}


def test_requests_as_messages() -> None:
    """A script reads requests as messages of the contract's type, or of a generated class."""
    seen: list[Any] = []

    async def convert(call: ScriptedCall) -> AsyncIterator[dict[str, Any]]:
        seen.append(await call.message())
        yield {}

    async def batch(call: ScriptedCall) -> AsyncIterator[dict[str, Any]]:
        seen.append(await call.message(ConvertRequest))
        seen.extend([request async for request in call.messages(ConvertRequest)])
        yield {"count": len(seen)}

    with edge({CONVERT: convert, BATCH: batch}) as (upstream, client):
        client.post("/convert", json=DOLLARS)
        client.post("/convert:batch", json=[DOLLARS, DOLLARS])

    assert [request.to_currency for request in seen] == ["EUR"] * 3
    assert [call.method.path for call in upstream.calls] == [CONVERT, BATCH]


def test_a_status_for_every_call() -> None:
    """A StatusError as a script ends each call, with its metadata, and does not change between calls."""
    error = StatusError.of(8, "later")
    error.initial = (("retry-after", "3"),)
    with edge({CONVERT: error, RATES: error}) as (_, client):
        for _ in range(2):
            answer = client.post("/convert", json=DOLLARS)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
        assert client.get("/rates/USD").json() == {"code": 8, "message": "later"}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (HelloReply(), f"{CONVERT} answers with finance.ConvertReply, not with hello.HelloReply"),
        ({"converted": 1}, 'has no field named "converted"'),
    ],
    ids=["another type", "no such field"],
)
def test_a_message_that_is_none_of_the_method(
    message: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug of a script is a 500, and the log says what it is."""
    with edge({CONVERT: [message]}) as (_, client):
        answer = client.post("/convert", json=DOLLARS)

    assert answer.status_code == 500
    assert says in caplog.text


def test_nothing_is_left_behind() -> None:
    """A stream that has no end is ended with the block; so is the thread."""

    async def rates(_call: ScriptedCall) -> AsyncIterator[dict[str, Any]]:
        yield {"currency": "EUR"}
        await _call.ended.wait()

    before = threading.active_count()
    with (
        edge({RATES: rates}) as (upstream, client),
        client.stream("GET", "/rates/USD") as answer,
    ):
        assert next(answer.iter_lines()) == '{"currency":"EUR"}'

    assert threading.active_count() == before
    assert upstream.calls[0].ended.is_set()


def test_an_application_that_does_not_start(caplog: pytest.LogCaptureFixture) -> None:
    """The block is not entered, and the exception names the place of the reason: the log."""

    class Broken(ScriptedUpstream):
        async def __aenter__(self) -> Any:
            raise OSError("no way up")

    settings = Settings(descriptor_set=DESCRIPTOR_SET)
    app = create_app(settings, Broken({}))
    with pytest.raises(RuntimeError, match="did not start"), serving(app, settings):
        pass
    assert "no way up" in caplog.text
    assert not any(thread.name == "edge" for thread in threading.enumerate())
