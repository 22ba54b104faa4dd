"""The edge in process: the tests' own contract over a scripted upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from google.protobuf.message_factory import GetMessageClass

from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import Script, ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import StatusError
from tests.contracts import echo_contract, echo_descriptor_set
from tests.edge.asgi import running

_POOL = echo_contract().pool
Everything: Any = GetMessageClass(_POOL.FindMessageTypeByName("echo.v1.Everything"))
Summary: Any = GetMessageClass(_POOL.FindMessageTypeByName("echo.v1.Summary"))
FailRequest: Any = GetMessageClass(_POOL.FindMessageTypeByName("echo.v1.FailRequest"))


async def echo(call: ScriptedCall) -> AsyncIterator[bytes]:
    """Answers each request with itself."""
    async for request in call.requests:
        yield request


async def repeat(call: ScriptedCall) -> AsyncIterator[bytes]:
    """Answers the request as often as its `int32_field` says."""
    request = await anext(call.requests)
    for _ in range(Everything.FromString(request).int32_field):
        yield request


async def collect(call: ScriptedCall) -> AsyncIterator[bytes]:
    """Answers with the number of requests and their strings."""
    strings = [Everything.FromString(request).string_field async for request in call.requests]
    yield Summary(count=len(strings), strings=strings).SerializeToString()


async def fail(call: ScriptedCall) -> AsyncIterator[bytes]:
    """Answers so many messages, then ends with the status that was asked for."""
    request = FailRequest.FromString(await anext(call.requests))
    for number in range(request.after):
        yield Everything(int32_field=number + 1).SerializeToString()
    if request.code:
        raise StatusError.of(request.code, request.message or "as you wish")


async def hang(_call: ScriptedCall) -> AsyncIterator[bytes]:
    """Never answers."""
    await asyncio.Event().wait()
    yield b""


async def hang_after_one(_call: ScriptedCall) -> AsyncIterator[bytes]:
    """Answers once, and then no more, for ever."""
    yield Everything(string_field="first").SerializeToString()
    await asyncio.Event().wait()


SCRIPTS: dict[str, Script] = {
    "/echo.v1.Echo/Unary": echo,
    "/echo.v1.Echo/Raw": echo,
    "/echo.v1.Echo/ServerStream": repeat,
    "/echo.v1.Echo/ClientStream": collect,
    "/echo.v1.Echo/Bidi": echo,
    "/echo.v1.Echo/Fail": fail,
    "/echo.v1.Echo/FailStream": fail,
    "/echo.v1.Echo/Hang": hang,
    "/echo.v1.Echo/HangStream": hang_after_one,
}

MakeApp = Callable[..., FastAPI]
STREAM_ID = "0123456789abcdef"


@pytest.fixture(autouse=True)
def same_stream_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the ids of events be foreseen."""
    for module in ("source", "feeds"):
        monkeypatch.setattr(f"gateway.feeds.{module}.new_stream_id", STREAM_ID.encode)


@pytest.fixture
def upstream() -> ScriptedUpstream:
    """An upstream that follows the scripts above."""
    return ScriptedUpstream(SCRIPTS)


@pytest.fixture
def make_app(tmp_path: Path, upstream: ScriptedUpstream) -> MakeApp:
    """Makes an application over that upstream, with some settings other than the defaults."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())

    def make(*, policies: Any = (), observers: Any = (), **settings: Any) -> FastAPI:
        given = Settings(descriptor_set=path, **settings)
        return create_app(given, upstream, policies=policies, observers=observers)

    return make


@pytest.fixture
async def app(make_app: MakeApp) -> AsyncIterator[FastAPI]:
    """The application with default settings, started."""
    async with running(make_app()) as started:
        yield started
