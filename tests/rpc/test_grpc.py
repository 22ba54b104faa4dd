"""gRPC through the edge, by grpcio, which nobody here wrote."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import aio

from gateway.app import create_app
from gateway.policy import RequestInfo
from gateway.settings import Settings
from gateway.transcoding.status import UNAUTHENTICATED, StatusError
from tests.doors.http2.conftest import Edge
from tests.echo_server import ALL_CODES, EchoServer, Everything, FailRequest, Summary
from tests.whole.serving import serving

_SECONDS = 20


@asynccontextmanager
async def _channel(port: int, **options: Any) -> AsyncIterator[Any]:
    async with aio.insecure_channel(f"127.0.0.1:{port}", **options) as channel:
        yield channel


def _message(text: str, number: int = 0) -> bytes:
    return bytes(Everything(string_field=text, int32_field=number).SerializeToString())


async def test_the_four_kinds_of_call(edge: Edge) -> None:
    """Bytes pass as they are, both ways."""
    async with edge() as port, _channel(port) as channel:
        unary = await channel.unary_unary("/echo.v1.Echo/Unary")(_message("a"), timeout=_SECONDS)
        call = channel.unary_stream("/echo.v1.Echo/ServerStream")(_message("b", 3))
        stream = [message async for message in call]

        async def uploaded() -> AsyncIterator[bytes]:
            for text in "xyz":
                yield _message(text)

        upload = await channel.stream_unary("/echo.v1.Echo/ClientStream")(uploaded())
        both = [m async for m in channel.stream_stream("/echo.v1.Echo/Bidi")(uploaded())]

    assert unary == _message("a")
    assert stream == [_message("b", 3)] * 3
    assert Summary.FromString(upload).strings == ["x", "y", "z"]
    assert both == [_message(text) for text in "xyz"]


async def test_a_conversation(edge: Edge) -> None:
    """Each message is answered before the next is sent: nothing waits for the end of the request."""
    async with edge() as port, _channel(port) as channel:
        call = channel.stream_stream("/echo.v1.Echo/Bidi")(timeout=_SECONDS)
        for text in "abc":
            await call.write(_message(text))
            assert await call.read() == _message(text)
        await call.done_writing()
        assert await call.read() is aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_a_pause_of_the_client(edge: Edge) -> None:
    """A client that streams may be silent for longer than a body may, also before its first message."""
    async with edge(body_timeout_seconds=0.2) as port, _channel(port) as channel:
        call = channel.stream_stream("/echo.v1.Echo/Bidi")(timeout=_SECONDS)
        for text in "ab":
            await asyncio.sleep(0.5)
            await call.write(_message(text))
            assert await call.read() == _message(text)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_large_messages(edge: Edge) -> None:
    """Messages that are larger than every window arrive whole, with the trailers behind them."""
    text = "x" * 1_000_000
    async with edge() as port, _channel(port) as channel:
        unary = await channel.unary_unary("/echo.v1.Echo/Unary")(_message(text), timeout=_SECONDS)
        call = channel.unary_stream("/echo.v1.Echo/ServerStream")(_message(text, 5))
        sizes = [len(message) async for message in call]

    assert unary == _message(text)
    assert sizes == [len(_message(text, 5))] * 5


async def test_metadata_both_ways(edge: Edge) -> None:
    """All custom metadata of the client go upstream, and all of the server come back, bytes too."""
    sent = (("x-plain", "one"), ("x-plain", "two"), ("x-bytes-bin", b"\x00\xff"))
    async with edge() as port, _channel(port) as channel:
        call = channel.unary_unary("/echo.v1.Echo/Unary")(_message("a"), metadata=sent)
        await call
        initial = await call.initial_metadata()
        trailing = await call.trailing_metadata()

    assert initial.get_all("x-plain") == ["one", "two"]
    assert initial["x-bytes-bin"] == b"\x00\xff"
    assert initial["etag"] == '"e"'
    assert trailing["cost"] == "3"


@pytest.mark.parametrize("code", ALL_CODES)
async def test_every_status(edge: Edge, code: int) -> None:
    """The code, the message in any script, and the details are the server's."""
    request = FailRequest(code=code, message="schlecht: 100 % 🙈", details=True)
    async with edge() as port, _channel(port) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/echo.v1.Echo/Fail")(request.SerializeToString())

    assert caught.value.code().value[0] == code
    assert caught.value.details() == request.message
    status = Status.FromString(caught.value.trailing_metadata()["grpc-status-details-bin"])
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "WISH"


async def test_a_stream_that_fails(edge: Edge) -> None:
    """Messages come first, then the status."""
    request = FailRequest(code=9, message="late", after=2)
    async with edge() as port, _channel(port) as channel:
        call = channel.unary_stream("/echo.v1.Echo/FailStream")(request.SerializeToString())
        numbers = []
        with pytest.raises(aio.AioRpcError) as caught:
            async for message in call:
                numbers += [Everything.FromString(message).int32_field]

    assert numbers == [1, 2]
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "late"


async def test_metadata_of_a_failed_call(edge: Edge) -> None:
    """Both kinds come back."""
    request = FailRequest(code=9, message="metadata")
    async with edge() as port, _channel(port) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/echo.v1.Echo/Fail")(request.SerializeToString())

    assert caught.value.initial_metadata()["etag"] == '"e"'
    assert caught.value.trailing_metadata()["cost"] == "3"


async def test_a_deadline(edge: Edge, echo: EchoServer) -> None:
    """It ends the call, at the server too."""
    echo.cancelled.clear()
    async with edge() as port, _channel(port) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/echo.v1.Echo/Hang")(b"", timeout=0.3)
        async with asyncio.timeout(_SECONDS):
            await echo.cancelled.wait()

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("method", ["Hang", "HangStream"])
async def test_cancellation(edge: Edge, echo: EchoServer, method: str) -> None:
    """A client that leaves ends the call at the server."""
    echo.started.clear()
    echo.cancelled.clear()
    async with edge() as port, _channel(port) as channel:
        call = channel.unary_stream(f"/echo.v1.Echo/{method}")(b"")
        async with asyncio.timeout(_SECONDS):
            await echo.started.wait()
            call.cancel()
            await echo.cancelled.wait()


async def test_compressed_requests(edge: Edge) -> None:
    """A client may compress: the edge reads it."""
    async with (
        edge() as port,
        _channel(port, compression=grpc.Compression.Gzip) as channel,
    ):
        answer = await channel.unary_unary("/echo.v1.Echo/Unary")(_message("a" * 10_000))

    assert answer == _message("a" * 10_000)


async def test_an_unknown_method(edge: Edge) -> None:
    """It is UNIMPLEMENTED, and says which."""
    async with edge() as port, _channel(port) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/echo.v1.Echo/None")(b"")

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "/echo.v1.Echo/None" in (caught.value.details() or "")


async def test_a_message_that_is_too_large(edge: Edge) -> None:
    """The edge's limit holds, and says so before the message goes upstream."""
    async with edge(max_message_bytes=1000) as port, _channel(port) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/echo.v1.Echo/Unary")(_message("a" * 2000))

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


class _Nobody:
    def admit(self, request: RequestInfo) -> None:
        """Refuses everyone."""
        assert request.method is not None
        raise StatusError.of(UNAUTHENTICATED, f"no {request.method.full_name} for you")


async def test_admission(echo: EchoServer, descriptor_set: Path) -> None:
    """A policy sees the method, and its refusal is the call's status."""
    settings = Settings(
        descriptor_set=descriptor_set, upstream=echo.address, access_log="off", log_level="critical"
    )
    app = create_app(settings, policies=[_Nobody()])
    async with serving(app, settings) as port, _channel(port) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/echo.v1.Echo/Unary")(_message("a"))

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert caught.value.details() == "no echo.v1.Echo.Unary for you"


async def test_no_error_is_logged(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    """A call that a client gives up is no fault of the edge."""
    with caplog.at_level(logging.ERROR):
        async with edge() as port, _channel(port) as channel:
            call = channel.unary_stream("/echo.v1.Echo/HangStream")(b"")
            assert await call.read()
            call.cancel()

    assert [record.getMessage() for record in caplog.records] == []
