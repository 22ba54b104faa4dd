"""The call objects, before a real `grpc.aio` server: what callers of `grpc.aio` hold on to."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from grpc_wire.client import Channel, insecure_channel
from tests.echo_server import EchoServer, Everything, FailRequest, Summary, echo_server

MESSAGE: bytes = Everything(string_field="a", int32_field=3).SerializeToString()
SERVICE = "/echo.v1.Echo/"


def failing(**fields: object) -> bytes:
    """Returns the request for a call that fails."""
    return bytes(FailRequest(**fields).SerializeToString())


async def each(*messages: bytes) -> AsyncIterator[bytes]:
    """Yields messages."""
    for message in messages:
        yield message


def unary(channel: aio.Channel, name: str = "Unary") -> Any:
    """Returns a multicallable."""
    return channel.unary_unary(SERVICE + name)


def server_stream(channel: aio.Channel, name: str = "ServerStream") -> Any:
    """Returns a multicallable."""
    return channel.unary_stream(SERVICE + name)


def client_stream(channel: aio.Channel) -> Any:
    """Returns a multicallable."""
    return channel.stream_unary(SERVICE + "ClientStream")


def bidi(channel: aio.Channel) -> Any:
    """Returns a multicallable."""
    return channel.stream_stream(SERVICE + "Bidi")


async def test_one_to_one(channel: Channel) -> None:
    """A unary call is awaited, as often as one likes."""
    call = unary(channel)(MESSAGE)

    assert isinstance(call, aio.UnaryUnaryCall)
    assert [await call, await call] == [MESSAGE, MESSAGE]
    assert (await call.code(), await call.details()) == (grpc.StatusCode.OK, "")
    assert (call.done(), call.cancelled(), call.cancel()) == (True, False, False)


async def test_one_to_many(channel: Channel) -> None:
    """A stream of responses is iterated, or read until EOF."""
    call = server_stream(channel)(MESSAGE)
    assert isinstance(call, aio.UnaryStreamCall)
    assert [message async for message in call] == [MESSAGE] * 3

    call = server_stream(channel)(MESSAGE)
    assert [await call.read() for _ in range(4)] == [MESSAGE] * 3 + [aio.EOF]
    assert await call.read() is aio.EOF


@pytest.mark.parametrize("requests", [each, lambda *all_of_them: list(all_of_them)])
async def test_many_to_one(channel: Channel, requests: Any) -> None:
    """Requests come from an asynchronous or a plain iterator, or are written."""
    answer = Summary(count=2, strings=["a", "a"]).SerializeToString()
    call = client_stream(channel)(requests(MESSAGE, MESSAGE))
    assert isinstance(call, aio.StreamUnaryCall)
    assert await call == answer

    call = client_stream(channel)()
    await call.write(MESSAGE)
    await call.write(MESSAGE)
    await call.done_writing()
    await call.done_writing()
    assert await call == answer


async def test_many_to_many(channel: Channel) -> None:
    """Both sides stream, each in either style; empty messages are messages."""
    call = bidi(channel)(each(MESSAGE, b"", MESSAGE))
    assert isinstance(call, aio.StreamStreamCall)
    assert [message async for message in call] == [MESSAGE, b"", MESSAGE]

    call = bidi(channel)()
    for message in (MESSAGE, b""):
        await call.write(message)
        assert await call.read() == message
    await call.done_writing()
    assert await call.read() is aio.EOF


@pytest.mark.parametrize("requests", [each, lambda *all_of_them: list(all_of_them)])
async def test_a_stream_of_no_requests(channel: Channel, requests: Any) -> None:
    """A stream may be empty."""
    assert [message async for message in bidi(channel)(requests())] == []
    assert await client_stream(channel)(requests()) == b""


async def test_generated_stubs() -> None:
    """Stubs and servicers that others generated work as they are."""
    server = aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="")
        answer = await stub.Check(request)
        watching = stub.Watch(request)
        first = await watching.read()
        watching.cancel()

    await server.stop(None)
    assert answer.status == first.status == health_pb2.HealthCheckResponse.SERVING


async def test_metadata_goes_both_ways(channel: Channel) -> None:
    """Texts and bytes arrive as they were, in their order, and several of one key."""
    sent = (("tenant", "a"), ("blob-bin", bytes(range(256))), ("tenant", "b"), ("empty", ""))
    call = unary(channel)(MESSAGE, metadata=sent)
    initial, trailing = await call.initial_metadata(), await call.trailing_metadata()

    assert isinstance(initial, aio.Metadata)
    assert initial["etag"] == '"e"'
    assert initial.get_all("tenant") == ["a", "b"]
    assert (initial["blob-bin"], initial["empty"]) == (bytes(range(256)), "")
    assert tuple(trailing) == (("cost", "3"),)


async def test_metadata_as_grpc_has_them(channel: Channel) -> None:
    """`grpc.aio.Metadata` is taken too."""
    call = unary(channel)(MESSAGE, metadata=aio.Metadata(("tenant", "a")))
    assert (await call.initial_metadata())["tenant"] == "a"


@pytest.mark.parametrize(
    "pair", [("UPPER", "a"), ("a", "\n"), ("grpc-status", "0"), ("a-bin", "text")]
)
async def test_metadata_that_is_not_allowed(channel: Channel, pair: Any) -> None:
    """What cannot be sent is an error of the caller, and named."""
    with pytest.raises(ValueError, match=pair[0]):
        unary(channel)(MESSAGE, metadata=(pair,))


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
async def test_errors(channel: Channel, code: grpc.StatusCode) -> None:
    """Code, words and both kinds of metadata are the error's, and the call's."""
    wish = failing(code=code.value[0], message="sorry, señor: 100 %\n", details=True)
    call = unary(channel, "Fail")(wish)
    with pytest.raises(aio.AioRpcError) as caught:
        await call

    error = caught.value
    assert (error.code(), error.details()) == (code, "sorry, señor: 100 %\n")
    assert (await call.code(), await call.details()) == (code, "sorry, señor: 100 %\n")
    details = Status.FromString(error.trailing_metadata()["grpc-status-details-bin"])
    assert details.code == code.value[0]
    assert tuple(error.initial_metadata()) == ()
    assert code.name in (error.debug_error_string() or "")
    assert code.name in await call.debug_error_string()
    assert code.name in repr(call)


async def test_an_error_after_messages(channel: Channel) -> None:
    """What came before the error is delivered."""
    call = server_stream(channel, "FailStream")(failing(code=9, message="late", after=2))
    assert [await call.read(), await call.read()] != [aio.EOF, aio.EOF]
    for _ in range(2):
        with pytest.raises(aio.AioRpcError, match="late"):
            await call.read()


async def test_an_unknown_method(channel: Channel) -> None:
    """A server that does not know a method says so."""
    with pytest.raises(aio.AioRpcError) as caught:
        await unary(channel, "Nothing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("kind", [unary, server_stream])
async def test_cancel(channel: Channel, echo: EchoServer, kind: Any) -> None:
    """A call that is cancelled ends here as `CancelledError`, and on the server."""
    call = kind(channel, "Hang" if kind is unary else "HangStream")(b"")
    await asyncio.wait_for(echo.started.wait(), 5)

    assert call.cancel()
    assert not call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await (call if kind is unary else call.read())
    assert (call.done(), call.cancelled()) == (True, True)
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await call.details() == "Locally cancelled by application!"
    await asyncio.wait_for(echo.cancelled.wait(), 5)


@pytest.mark.parametrize("kind", [unary, server_stream])
async def test_who_is_cancelled_cancels_the_call(
    channel: Channel, echo: EchoServer, kind: Any
) -> None:
    """A task that is cancelled while it waits for a call takes the call with it."""
    call = kind(channel, "Hang" if kind is unary else "HangStream")(b"")

    async def wait() -> None:
        if kind is unary:
            await call
        async for _ in call:
            pass

    waiting = asyncio.create_task(wait())
    await asyncio.wait_for(echo.started.wait(), 5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.cancelled()
    await asyncio.wait_for(echo.cancelled.wait(), 5)


async def test_a_call_that_is_dropped_is_cancelled(channel: Channel, echo: EchoServer) -> None:
    """Who leaves a stream half-read and forgets it does not keep the server at work."""

    async def read_one() -> None:
        async for _ in server_stream(channel, "HangStream")(b""):
            break

    await read_one()
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.wait_for(echo.cancelled.wait(), 5)


async def test_deadline(channel: Channel, echo: EchoServer) -> None:
    """A call that takes too long ends here, and on the server, that knows how long it has."""
    call = unary(channel, "Hang")(b"", timeout=0.05)
    assert 0 < call.time_remaining() <= 0.05
    with pytest.raises(aio.AioRpcError) as caught:
        await call

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.details() == "Deadline Exceeded"
    assert call.time_remaining() == 0
    await asyncio.wait_for(echo.cancelled.wait(), 5)


async def test_no_deadline(channel: Channel) -> None:
    """A call without a deadline has none."""
    call = unary(channel)(MESSAGE)
    assert call.time_remaining() is None
    await call


async def test_a_deadline_that_is_over(channel: Channel) -> None:
    """A call that may take no time ends so."""
    with pytest.raises(aio.AioRpcError, match="Deadline Exceeded"):
        await unary(channel, "Hang")(b"", timeout=0)


async def test_a_deadline_without_end(channel: Channel) -> None:
    """Is none."""
    call = unary(channel)(MESSAGE, timeout=math.inf)
    assert call.time_remaining() is None
    assert await call == MESSAGE


async def test_a_deadline_that_is_no_number(channel: Channel) -> None:
    """Is refused before anything is done, and calls beside it keep theirs."""
    beside = unary(channel, "Hang")(b"", timeout=0.2)
    with pytest.raises(ValueError, match="not a number"):
        unary(channel)(MESSAGE, timeout=math.nan)
    with pytest.raises(aio.AioRpcError, match="Deadline Exceeded"):
        await asyncio.wait_for(beside, 5)


async def test_a_deadline_between_messages(channel: Channel) -> None:
    """It holds for a stream as a whole; what has come is delivered."""
    call = server_stream(channel, "HangStream")(b"", timeout=0.3)
    assert Everything.FromString(await call.read()).string_field == "first"
    with pytest.raises(aio.AioRpcError, match="Deadline Exceeded"):
        await call.read()


async def test_done_callbacks(channel: Channel) -> None:
    """They are called with the call, once: when it ends, or at once if it has."""
    seen: list[Any] = []
    call = unary(channel)(MESSAGE)
    call.add_done_callback(seen.append)
    call.add_done_callback(lambda ended: seen.append(ended.done()))
    await call
    call.add_done_callback(seen.append)

    assert seen == [call, True, call]


async def test_a_done_callback_that_fails(channel: Channel) -> None:
    """What a callback raises is told to the loop, and to nobody else."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    try:
        call = unary(channel)(MESSAGE)
        call.add_done_callback(lambda _: 1 / 0)
        assert await call == MESSAGE
        assert await unary(channel)(MESSAGE) == MESSAGE
    finally:
        loop.set_exception_handler(None)

    assert isinstance(told[0]["exception"], ZeroDivisionError)
    assert "callback" in told[0]["message"]


async def test_styles_are_not_mixed(channel: Channel) -> None:
    """Who iterates does not read, and who gives an iterator does not write."""
    call = bidi(channel)(each(MESSAGE))
    with pytest.raises(aio.UsageError):
        await call.write(MESSAGE)
    with pytest.raises(aio.UsageError):
        await call.done_writing()
    await call.read()
    with pytest.raises(aio.UsageError):
        aiter(call)


async def test_writing_out_of_turn(channel: Channel) -> None:
    """Nothing is written after the last request, nor after the end."""
    call = bidi(channel)()
    await call.done_writing()
    with pytest.raises(asyncio.InvalidStateError, match="half closed"):
        await call.write(MESSAGE)
    assert await call.read() is aio.EOF
    with pytest.raises(asyncio.InvalidStateError, match="finished"):
        await call.write(MESSAGE)


async def test_wait_for_connection(channel: Channel) -> None:
    """It returns when the call goes out, and raises what ended it before."""
    call = server_stream(channel, "HangStream")(b"")
    await call.wait_for_connection()
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.wait_for_connection()


async def test_an_iterator_that_fails(channel: Channel, caplog: pytest.LogCaptureFixture) -> None:
    """What the requests raise cancels the call, and is not lost: it is logged."""

    async def broken() -> AsyncIterator[bytes]:
        yield MESSAGE
        raise ZeroDivisionError

    with pytest.raises(asyncio.CancelledError):
        await client_stream(channel)(broken())
    assert "ZeroDivisionError" in caplog.text


async def test_an_iterator_is_stopped_with_its_call(channel: Channel) -> None:
    """Requests that never come keep nobody waiting when the call has ended."""
    stopped = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield MESSAGE
            await asyncio.Event().wait()
        finally:
            stopped.set()

    call = bidi(channel)(endless())
    assert await call.read() == MESSAGE
    call.cancel()
    await asyncio.wait_for(stopped.wait(), 5)


@pytest.mark.parametrize("size", [4 * 1024 * 1024 - 5, 100_000, 16_384, 65_535])
async def test_large_messages(channel: Channel, size: int) -> None:
    """Messages beyond frames and windows pass, both ways."""
    message = bytes(size)
    assert await channel.unary_unary(SERVICE + "Bidi")(message, timeout=20) == message
    call = bidi(channel)(each(message, b"", message), timeout=20)
    assert [len(answer) async for answer in call] == [size, 0, size]


async def test_messages_that_are_too_large(echo: EchoServer) -> None:
    """What is beyond a limit fails with RESOURCE_EXHAUSTED, and says which way it went."""
    options = (("grpc.max_send_message_length", 10), ("grpc.max_receive_message_length", 5))
    async with insecure_channel(echo.address, options) as channel:
        for size, words in ((11, "Sent message larger than max"), (9, "Received message larger")):
            with pytest.raises(aio.AioRpcError, match=f"CLIENT: {words}") as caught:
                await channel.unary_unary(SERVICE + "Bidi")(bytes(size))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await channel.unary_unary(SERVICE + "Bidi")(bytes(5)) == bytes(5)


@pytest.mark.parametrize("compression", list(grpc.Compression))
async def test_compression(channel: Channel, compression: grpc.Compression) -> None:
    """Requests are compressed as is asked for; the server reads them."""
    message = bytes(10_000)
    call = channel.unary_unary(SERVICE + "Bidi")(message, compression=compression)
    assert await call == message


async def test_compressed_answers() -> None:
    """Answers that a server compresses are read."""
    async with echo_server() as echo:
        server = aio.server(compression=grpc.Compression.Gzip)
        server.add_generic_rpc_handlers((echo.handlers(),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with insecure_channel(f"127.0.0.1:{port}") as channel:
            assert await channel.unary_unary(SERVICE + "Bidi")(bytes(9999)) == bytes(9999)
        await server.stop(None)


@pytest.mark.parametrize("request_", [None, "text", 1])
async def test_a_request_that_is_no_bytes(channel: Channel, request_: Any) -> None:
    """Where there is no serializer, or one that makes no bytes, the call ends with INTERNAL, and says why."""
    for serializer in (None, lambda _: request_):
        with pytest.raises(aio.AioRpcError, match="bytes are to be sent") as caught:
            await channel.unary_unary("/a/b", serializer)(request_, timeout=5)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        upload = channel.stream_unary("/a/b", serializer)()
        with pytest.raises(aio.AioRpcError, match="bytes are to be sent"):
            await upload.write(request_)


async def test_messages_that_cannot_be_written_or_read(
    channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    """A serializer that fails ends the call with INTERNAL, whichever side of it."""

    def fail(_: object) -> Any:
        raise ZeroDivisionError

    for given in ((fail, None), (None, fail)):
        with pytest.raises(aio.AioRpcError, match="serializing") as caught:
            await channel.unary_unary(SERVICE + "Bidi", *given)(MESSAGE)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        call = channel.stream_stream(SERVICE + "Bidi", *given)(iter([MESSAGE]))
        with pytest.raises(aio.AioRpcError, match="serializing"):
            await call.read()
    assert "ZeroDivisionError" in caplog.text


async def test_call_credentials_are_refused(channel: Channel) -> None:
    """What cannot be sent is not left out in silence."""
    credentials = grpc.access_token_call_credentials("secret")
    with pytest.raises(aio.UsageError, match="CallCredentials"):
        unary(channel)(MESSAGE, credentials=credentials)


async def test_many_calls_at_once(channel: Channel) -> None:
    """More calls than a peer's window has room for get their own answers."""
    messages = [bytes([n % 256]) * (n * 37 % 5000) for n in range(1000)]
    call = channel.unary_unary(SERVICE + "Bidi")
    assert await asyncio.gather(*(call(message) for message in messages)) == messages


async def test_nothing_is_left_of_calls(channel: Channel) -> None:
    """When calls have ended, in whatever way, neither channel nor connection remembers them."""
    hanging = [server_stream(channel, "HangStream")(b"") for _ in range(20)]
    for call in hanging:
        await call.read()
    late = unary(channel, "Hang")(b"", timeout=0.01)
    failed = unary(channel, "Fail")(failing(code=5))
    await asyncio.gather(late, failed, return_exceptions=True)
    for call in hanging:
        call.cancel()
    await client_stream(channel)(each(MESSAGE))

    balancer = channel._open()
    (subchannel,) = balancer._subchannels.values()
    assert subchannel.transport is not None
    assert balancer.calls == set()
    assert balancer._pending == {}
    assert subchannel.transport.stream_count == 0
    assert subchannel.transport.connection.open_streams == 0


def test_a_channel_needs_no_loop() -> None:
    """It may be made before the loop runs, and stubs on it."""
    channel = insecure_channel("127.0.0.1:1")
    unary(channel)
    assert channel.get_state() is grpc.ChannelConnectivity.IDLE
