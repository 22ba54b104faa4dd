"""Unary calls whose outcome goes to a callback, over each transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.transcoding.status import CANCELLED, DEADLINE_EXCEEDED, INTERNAL, StatusError
from gateway.upstream.port import Outcome, Response, Upstream
from gateway.upstream.transport import Name
from tests.echo_server import ALL_CODES, EchoServer, Everything
from tests.upstream.conftest import MESSAGE, METHODS, failing, open_upstream


class Told:
    """How a call has ended, once it has."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._event = asyncio.Event()

    def __call__(self, outcome: Outcome) -> None:
        """Is told."""
        self.outcomes.append(outcome)
        self._event.set()

    async def once(self) -> Outcome:
        """Waits for the outcome; there is no other."""
        await asyncio.wait_for(self._event.wait(), 10)
        await asyncio.sleep(0)
        (outcome,) = self.outcomes
        return outcome


async def error(told: Told) -> StatusError:
    """Waits for an outcome that is an error."""
    outcome = await told.once()
    assert isinstance(outcome, StatusError), outcome
    return outcome


async def test_the_answer_is_told(upstream: Upstream) -> None:
    """With the metadata on either side of it; what the caller says comes through."""
    told = Told()
    upstream.start_unary(
        METHODS["Unary"], MESSAGE, told, metadata=(("x-one", "1"), ("x-bin", b"\x00"))
    )
    outcome = await told.once()

    assert isinstance(outcome, Response)
    assert outcome.message == MESSAGE
    assert {("etag", '"e"'), ("x-one", "1"), ("x-bin", b"\x00")} <= set(outcome.initial)
    assert ("cost", "3") in outcome.trailing


@pytest.mark.parametrize("code", ALL_CODES)
async def test_every_code_is_told(upstream: Upstream, code: int) -> None:
    """As the error that it is, with its details."""
    told = Told()
    upstream.start_unary(METHODS["Fail"], failing(code, details=True), told)
    status = (await error(told)).status

    assert (status.code, status.message) == (code, "sorry")
    assert status.details[0].type_url.endswith("google.rpc.ErrorInfo")


async def test_a_deadline_is_told(upstream: Upstream) -> None:
    """When it has passed."""
    told = Told()
    upstream.start_unary(METHODS["Hang"], MESSAGE, told, timeout=0.05)

    assert (await error(told)).code == DEADLINE_EXCEEDED


async def test_a_call_is_cancelled(upstream: Upstream, echo: EchoServer) -> None:
    """The server hears of it; of an answer nothing is told."""
    told = Told()
    cancel: Callable[[], object] = upstream.start_unary(METHODS["Hang"], MESSAGE, told)
    await asyncio.wait_for(echo.started.wait(), 10)
    cancel()
    await asyncio.wait_for(echo.cancelled.wait(), 10)

    assert len(told.outcomes) <= 1
    assert all(isinstance(each, StatusError) and each.code == CANCELLED for each in told.outcomes)


async def test_what_is_too_large_is_told(upstream: Upstream) -> None:
    """Even where the call has ended before it began."""
    told = Told()
    upstream.start_unary(
        METHODS["Unary"], Everything(string_field="x" * 2**20).SerializeToString(), told
    )

    assert isinstance(await told.once(), StatusError)


async def test_an_upstream_that_closes_tells(echo: EchoServer, transport: Name) -> None:
    """Nobody waits for ever; whose call is cancelled may be told nothing."""
    told = Told()
    async with open_upstream(echo.address, transport) as upstream:
        upstream.start_unary(METHODS["Hang"], MESSAGE, told)
        await asyncio.wait_for(echo.started.wait(), 10)

    assert (await error(told)).code in (CANCELLED, INTERNAL)
