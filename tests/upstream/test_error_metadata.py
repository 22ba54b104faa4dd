"""Metadata of calls that fail, over each gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import StatusError
from gateway.upstream.port import Upstream
from gateway.upstream.transport import Name
from tests.echo_server import EchoServer, echo_server
from tests.upstream.conftest import MESSAGE, METHODS, open_upstream

INITIAL: Metadata = (("www-authenticate", "Bearer"), ("key-bin", b"\xff\x00"))
TRAILING: Metadata = (("cost", "3"),)


async def _fail(
    context: Any,
    requests: AsyncIterator[bytes] | None = None,
    head_taken: asyncio.Event | None = None,
) -> None:
    await context.send_initial_metadata(INITIAL)
    if head_taken is not None:
        await head_taken.wait()
    if requests is not None:
        async for _ in requests:
            break
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?", TRAILING)


class Telling(EchoServer):
    """A server whose calls fail with metadata on either side.

    Attributes:
        head_taken: set when the client has the initial metadata; a server stream fails no sooner.
    """

    head_taken: asyncio.Event

    async def unary(self, _request: bytes, context: Any) -> bytes:
        """Fails."""
        await _fail(context)
        return b""

    async def server_stream(self, _request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Fails before its first message."""
        await _fail(context, head_taken=self.head_taken)
        yield b""

    async def client_stream(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        """Fails at the first message, whatever else the client writes."""
        await _fail(context, requests)
        return b""

    async def bidi(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Fails at the first message, whatever else the client writes."""
        await _fail(context, requests)
        yield b""


class AtOnce(Telling):
    """A server that sends no head before it fails: all is in the trailers."""

    async def unary(self, _request: bytes, context: Any) -> bytes:
        """Fails."""
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?", INITIAL)
        return b""


@pytest.fixture
async def telling(transport: Name) -> AsyncIterator[Upstream]:
    """A channel to a server whose calls fail."""
    Telling.head_taken = asyncio.Event()
    async with echo_server(Telling) as server, open_upstream(server.address, transport) as opened:
        yield opened


async def _endless() -> AsyncIterator[bytes]:
    await Telling.head_taken.wait()
    while True:
        yield MESSAGE
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["Unary", "ServerStream", "ClientStream", "Bidi"])
async def test_an_error_has_the_metadata_of_its_call(telling: Upstream, name: str) -> None:
    """Of every kind of call, while the client still writes too.

    The status comes when the head has been taken: grpcio drops a head that it takes behind a status, or
    behind a write that failed.
    """
    method = METHODS[name]
    requests = _endless() if method.stream_type.client else MESSAGE
    with pytest.raises(StatusError) as caught:
        async with telling.open(method, requests) as call:
            await call.initial_metadata()
            Telling.head_taken.set()
            await anext(call)

    assert set(INITIAL) <= set(caught.value.initial)
    assert set(TRAILING) <= set(caught.value.trailing)


async def test_an_error_that_is_told_has_them_too(telling: Upstream) -> None:
    """A call that nobody waits for ends alike."""
    told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    telling.start_unary(METHODS["Unary"], MESSAGE, told.set_result)
    error = await asyncio.wait_for(told, 10)

    assert isinstance(error, StatusError)
    assert set(INITIAL) <= set(error.initial)
    assert set(TRAILING) <= set(error.trailing)


async def test_a_trailers_only_answer_has_trailing_metadata(transport: Name) -> None:
    """Both transports take the one block for trailers."""
    async with echo_server(AtOnce) as server, open_upstream(server.address, transport) as upstream:
        with pytest.raises(StatusError) as caught:
            async with upstream.open(METHODS["Unary"], MESSAGE) as call:
                await anext(call)

    assert caught.value.initial == ()
    assert set(INITIAL) <= set(caught.value.trailing)
