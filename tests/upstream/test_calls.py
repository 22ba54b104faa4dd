"""The upstream port, by either transport, over a real `grpc.aio` server on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import aio

from gateway.contract.method import Method
from gateway.transcoding.status import StatusError
from gateway.upstream.options import UpstreamOptions
from gateway.upstream.port import Upstream
from gateway.upstream.transport import Name, make_upstream
from gateway.upstream.wire import WireCall
from tests.echo_server import ALL_CODES, EchoServer, Everything, FailRequest, Summary, echo_server
from tests.upstream.conftest import MESSAGE, METHODS, failing, open_upstream


async def each(messages: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yields messages as a client streams them."""
    for message in messages:
        yield message


@pytest.mark.parametrize(
    ("name", "sent", "answers"),
    [
        ("Unary", [MESSAGE], [MESSAGE]),
        ("ServerStream", [MESSAGE], [MESSAGE] * 3),
        (
            "ClientStream",
            [MESSAGE] * 4,
            [Summary(count=4, strings=["a"] * 4).SerializeToString()],
        ),
        ("Bidi", [MESSAGE, b"", MESSAGE], [MESSAGE, b"", MESSAGE]),
        ("Bidi", [], []),
    ],
)
async def test_the_four_kinds_are_one_shape(
    upstream: Upstream, name: str, sent: list[bytes], answers: list[bytes]
) -> None:
    """Whatever the kind: requests go in, and an iterator of responses comes out, as bytes."""
    method = METHODS[name]
    requests = each(sent) if method.stream_type.client else sent[0]
    async with upstream.open(method, requests) as call:
        received = [message async for message in call]

    assert received == answers


async def test_messages_that_have_come_are_taken(echo: EchoServer) -> None:
    """Over `grpc_wire`, without waiting; None where none has come, or the call has one response."""
    async with open_upstream(echo.address, "wire") as upstream, asyncio.timeout(10):
        async with upstream.open(METHODS["ServerStream"], MESSAGE) as call:
            assert isinstance(call, WireCall)
            assert call.take_message() is None
            await call.trailing_metadata()
            assert [call.take_message() for _ in range(4)] == [MESSAGE] * 3 + [None]
            assert [message async for message in call] == []
        async with upstream.open(METHODS["Unary"], MESSAGE) as call:
            assert isinstance(call, WireCall)
            await call.trailing_metadata()
            assert call.take_message() is None
            assert await anext(call) == MESSAGE


async def test_no_proxy_is_asked(
    echo: EchoServer, monkeypatch: pytest.MonkeyPatch, transport: Name
) -> None:
    """The server is called itself, whatever proxy docker has put into the environment."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with (
        open_upstream(echo.address, transport) as upstream,
        upstream.open(METHODS["Unary"], MESSAGE) as call,
    ):
        assert await anext(call) == MESSAGE


@pytest.mark.parametrize("code", ALL_CODES)
@pytest.mark.parametrize("name", ["Fail", "FailStream"])
async def test_every_code_comes_through(upstream: Upstream, name: str, code: int) -> None:
    """The server's code and message are the error's."""
    with pytest.raises(StatusError) as caught:
        async with upstream.open(METHODS[name], failing(code)) as call:
            await anext(call)

    assert (caught.value.code, caught.value.status.message) == (code, "sorry")


async def test_details_come_through(upstream: Upstream) -> None:
    """`grpc-status-details-bin` is the error's Status, whole."""
    with pytest.raises(StatusError) as caught:
        async with upstream.open(METHODS["Fail"], failing(9, details=True)) as call:
            await anext(call)

    assert caught.value.status.details[0].type_url.endswith("google.rpc.ErrorInfo")


async def test_messages_before_an_error_are_delivered(upstream: Upstream) -> None:
    """A stream that fails late has given what it gave."""
    received = []
    with pytest.raises(StatusError):
        async with upstream.open(METHODS["FailStream"], failing(9, after=2)) as call:
            while True:
                received.append(await anext(call))

    assert len(received) == 2


async def test_metadata_goes_both_ways(upstream: Upstream) -> None:
    """What the caller says arrives, and initial and trailing metadata come back."""
    metadata = (("tenant", "t"), ("blob-bin", b"\x00"))
    async with upstream.open(METHODS["Unary"], MESSAGE, metadata=metadata) as call:
        await anext(call)
        initial = dict(await call.initial_metadata())
        trailing = dict(await call.trailing_metadata())

    assert (initial["tenant"], initial["blob-bin"]) == ("t", b"\x00")
    assert trailing == {"cost": "3"}


async def test_a_deadline_ends_the_call(upstream: Upstream, echo: EchoServer) -> None:
    """A call that takes too long ends with DEADLINE_EXCEEDED, here and there."""
    with pytest.raises(StatusError) as caught:
        async with upstream.open(METHODS["Hang"], b"", timeout=0.05) as call:
            await anext(call)

    assert caught.value.code == code_pb2.DEADLINE_EXCEEDED
    await asyncio.wait_for(echo.cancelled.wait(), 5)


@pytest.mark.parametrize("name", ["Hang", "HangStream"])
async def test_leaving_the_block_cancels_the_call(
    upstream: Upstream, echo: EchoServer, name: str
) -> None:
    """What is left of a call when its block is left ends on the server too."""

    async def read_all(method: Method) -> None:
        async with upstream.open(method, b"") as call:
            async for _ in call:
                pass

    reading = asyncio.create_task(read_all(METHODS[name]))
    await asyncio.wait_for(echo.started.wait(), 5)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    await asyncio.wait_for(echo.cancelled.wait(), 5)


@pytest.mark.parametrize("name", ["ClientStream", "Bidi"])
async def test_what_the_requests_raise_is_raised(upstream: Upstream, name: str) -> None:
    """The reason why a client's stream broke off is not lost to a cancellation."""

    async def broken() -> AsyncIterator[bytes]:
        yield MESSAGE
        raise StatusError.of(code_pb2.INVALID_ARGUMENT, "the second is bad")

    with pytest.raises(StatusError, match="the second is bad"):
        async with upstream.open(METHODS[name], broken()) as call:
            async for _ in call:
                pass


class EarlyServer(EchoServer):
    """A server that answers an upload when it is told to, and reads nothing of it."""

    async def client_stream(self, _requests: AsyncIterator[bytes], _context: object) -> bytes:
        """Answers."""
        await self.started.wait()
        return b""


async def test_a_call_that_has_ended_does_not_wait_for_requests(transport: Name) -> None:
    """The requests are closed when the block is left, though their next one never comes."""
    waiting, closed = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield MESSAGE
            waiting.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with (
        echo_server(EarlyServer) as early,
        open_upstream(early.address, transport) as upstream,
    ):
        async with upstream.open(METHODS["ClientStream"], endless()) as call:
            await asyncio.wait_for(waiting.wait(), 5)
            early.started.set()
            assert await anext(call) == b""
        await asyncio.wait_for(closed.wait(), 5)


async def test_an_unreachable_server_is_unavailable_without_its_address(transport: Name) -> None:
    """Nobody at the address: UNAVAILABLE at once, and callers do not learn where we looked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with open_upstream(f"127.0.0.1:{taken.getsockname()[1]}", transport) as upstream:
            with pytest.raises(StatusError) as caught:
                async with upstream.open(METHODS["Unary"], MESSAGE) as call:
                    await anext(call)

    assert caught.value.code == code_pb2.UNAVAILABLE
    assert "127.0.0.1" not in caught.value.status.message


async def test_a_name_that_does_not_resolve_is_not_told(transport: Name) -> None:
    """Which name the edge looks for is the operator's to know."""
    async with open_upstream("nowhere.invalid:1", transport) as upstream:
        with pytest.raises(StatusError) as caught:
            async with upstream.open(METHODS["Unary"], MESSAGE) as call:
                await anext(call)

    assert caught.value.code == code_pb2.UNAVAILABLE
    assert caught.value.status.message == "upstream cannot be reached: its name does not resolve"


async def test_what_a_server_says_of_itself_is_told(upstream: Upstream) -> None:
    """Only gRPC's own texts are kept back: a server that is UNAVAILABLE is heard."""
    request = FailRequest(code=code_pb2.UNAVAILABLE, message="conflict resolution in progress")
    with pytest.raises(StatusError, match="conflict resolution in progress"):
        async with upstream.open(METHODS["Fail"], request.SerializeToString()) as call:
            await anext(call)


class LargeServer(EchoServer):
    """A server whose answers are larger than the requests."""

    async def unary(self, _request: bytes, _context: object) -> bytes:
        """Answers with 2,000 bytes."""
        return bytes(Everything(bytes_field=bytes(2000)).SerializeToString())


async def test_an_answer_over_the_limit_is_the_servers_fault(transport: Name) -> None:
    """It is INTERNAL, for a caller that tries again fares no better."""
    async with (
        echo_server(LargeServer) as large,
        make_upstream(transport, UpstreamOptions(large.address, max_message=1000)) as upstream,
    ):
        with pytest.raises(StatusError) as caught:
            async with upstream.open(METHODS["Unary"], MESSAGE) as call:
                await anext(call)

    assert caught.value.code == code_pb2.INTERNAL
    assert "larger than the largest message" in caught.value.status.message


async def test_a_call_before_the_block_says_what_is_missing(transport: Name) -> None:
    """An application whose lifespan was not run is told so, in words."""
    options = UpstreamOptions("127.0.0.1:1", max_message=1)
    upstream = make_upstream(transport, options)
    with pytest.raises(StatusError, match=r"INTERNAL: .* lifespan of the edge was not run"):
        upstream.open(METHODS["Unary"], MESSAGE)


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("name", ["ClientStream", "Bidi"])
async def test_a_server_that_ends_early_is_heard(name: str, size: int, transport: Name) -> None:
    """Its status arrives whole, though the client still writes (grpc/grpc#36066).

    grpc itself gives INTERNAL in its place, in up to six of ten calls. What remains: a status that does not
    come within half a second of a write that failed is INTERNAL still.
    """

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(Everything(string_field="x" * size).SerializeToString())

    codes = set()
    async with refusing_server() as address, open_upstream(address, transport) as upstream:
        for _ in range(50):
            with pytest.raises(StatusError) as caught:
                async with asyncio.timeout(10), upstream.open(METHODS[name], endless()) as call:
                    async for _message in call:
                        pass
            codes.add((caught.value.code, caught.value.status.details[0].type_url))

    assert codes == {(code_pb2.FAILED_PRECONDITION, "type.googleapis.com/google.rpc.ErrorInfo")}


@pytest.mark.parametrize("name", ["ClientStream", "Bidi"])
async def test_the_status_outlives_what_the_requests_raise_later(
    name: str, transport: Name
) -> None:
    """Requests that break off because the call has ended do not replace its status."""

    async def breaking() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield MESSAGE
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError("late") from None

    async with refusing_server() as address, open_upstream(address, transport) as upstream:
        with pytest.raises(StatusError, match="enough"):
            async with asyncio.timeout(10), upstream.open(METHODS[name], breaking()) as call:
                async for _message in call:
                    pass


@asynccontextmanager
async def refusing_server() -> AsyncIterator[str]:
    """Runs a server that has enough after three messages."""
    status = Status(code=code_pb2.FAILED_PRECONDITION, message="enough")
    status.details.add().Pack(ErrorInfo(reason="ENOUGH", domain="tests"))
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)

    async def refuse(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            await anext(requests)
            yield b""
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "enough", trailing)

    async def refuse_all(requests: AsyncIterator[bytes], context: Any) -> bytes:
        async for _ in refuse(requests, context):
            pass
        return b""

    server = aio.server(options=(("grpc.so_reuseport", 0),))
    handlers: dict[str, Any] = {
        "ClientStream": grpc.stream_unary_rpc_method_handler(refuse_all),
        "Bidi": grpc.stream_stream_rpc_method_handler(refuse),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("echo.v1.Echo", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
