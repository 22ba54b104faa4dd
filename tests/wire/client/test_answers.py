"""Answers that are not what they should be: each ends its call with the status that gRPC says.

Sources: gRPC over HTTP/2 ("Responses", "Errors"); gRPC's http-grpc-status-mapping.md, statuscodes.md and
compression.md.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio

from grpc_wire.client import insecure_channel
from tests.wire.client.peer import ANSWER, HEAD, OK, Peer, Script, Wire, running


async def failure(
    script: Script, *, one: bool = True, seconds: float = 5, **options: Any
) -> aio.AioRpcError:
    """Returns how a call ends, and sees that the connection takes another."""
    broken = True

    def answer(wire: Wire, stream: int) -> None:
        if broken:
            script(wire, stream)
        else:
            wire.answer(stream)

    settings = tuple((f"grpc.{name}", value) for name, value in options.items())
    async with (
        running(Peer(answer)) as peer,
        insecure_channel(peer.target, settings) as channel,
    ):
        with pytest.raises(aio.AioRpcError) as caught:
            if one:
                await channel.unary_unary("/a/b")(b"", timeout=seconds)
            else:
                async for _ in channel.unary_stream("/a/b")(b"", timeout=seconds):
                    pass
        broken = False
        assert await channel.unary_unary("/a/b")(b"", timeout=5) == b"hi"
        assert len(peer.wires) == 1
    return caught.value


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("400", StatusCode.INTERNAL),
        ("401", StatusCode.UNAUTHENTICATED),
        ("403", StatusCode.PERMISSION_DENIED),
        ("404", StatusCode.UNIMPLEMENTED),
        ("429", StatusCode.UNAVAILABLE),
        ("502", StatusCode.UNAVAILABLE),
        ("503", StatusCode.UNAVAILABLE),
        ("504", StatusCode.UNAVAILABLE),
        ("500", StatusCode.UNKNOWN),
        ("302", StatusCode.UNKNOWN),
    ],
)
async def test_answers_of_http(status: str, code: StatusCode) -> None:
    """A proxy's answer is told as what its HTTP status stands for, and which that was."""

    def answer(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, ((":status", status), ("content-type", "text/html")))
        wire.h2.send_data(stream, b"<h1>sorry</h1>", end_stream=True)

    error = await failure(answer)
    assert error.code() is code
    assert status in (error.details() or "")


async def test_a_status_of_grpc_under_a_status_of_http() -> None:
    """Where both are there, gRPC's holds."""

    def answer(wire: Wire, stream: int) -> None:
        head = ((":status", "503"), ("content-type", "application/grpc"), ("grpc-status", "5"))
        wire.h2.send_headers(stream, head, end_stream=True)

    assert (await failure(answer)).code() is StatusCode.NOT_FOUND


async def test_a_content_type_that_is_not_grpc() -> None:
    """An answer that is something else is UNKNOWN, and says what it is."""

    def answer(wire: Wire, stream: int) -> None:
        wire.answer(stream, b"<h1>hi</h1>", ((":status", "200"), ("content-type", "text/html")))

    error = await failure(answer)
    assert error.code() is StatusCode.UNKNOWN
    assert "text/html" in (error.details() or "")


async def test_trailers_only() -> None:
    """A status may come in the one header section that there is, with its metadata."""

    def answer(wire: Wire, stream: int) -> None:
        head = (*HEAD, ("grpc-status", "9"), ("grpc-message", "no%21"), ("why", "so"))
        wire.h2.send_headers(stream, head, end_stream=True)

    error = await failure(answer)
    assert (error.code(), error.details()) == (StatusCode.FAILED_PRECONDITION, "no!")
    assert tuple(error.trailing_metadata()) == (("why", "so"),)
    assert tuple(error.initial_metadata()) == ()


async def test_an_answer_that_ends_with_data() -> None:
    """What came is read, though with its head; the head's fields are no trailers, whatever they say."""

    def answer(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, (*HEAD, ("grpc-status", "0"), ("why", "so")))
        wire.h2.send_data(stream, ANSWER, end_stream=True)

    async with running(Peer(answer)) as peer, insecure_channel(peer.target) as channel:
        call = channel.unary_stream("/a/b")(b"", timeout=5)
        assert await call.read() == b"hi"
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is StatusCode.UNKNOWN
        assert tuple(caught.value.initial_metadata()) == (("why", "so"),)
        assert tuple(caught.value.trailing_metadata()) == ()
        with pytest.raises(aio.AioRpcError):
            await channel.unary_unary("/a/b")(b"", timeout=5)


@pytest.mark.parametrize(
    "trailers", [(("why", "so"),), (("grpc-status", "many"),), (("grpc-status", "77"),)]
)
async def test_trailers_without_a_status(trailers: Any) -> None:
    """They are UNKNOWN, as is a status that nobody knows."""

    def answer(wire: Wire, stream: int) -> None:
        wire.answer(stream, trailers=trailers)

    assert (await failure(answer)).code() is StatusCode.UNKNOWN


async def test_no_trailers() -> None:
    """An answer that just ends is not one that went well."""

    def answer(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, HEAD)
        wire.h2.send_data(stream, ANSWER, end_stream=True)

    assert (await failure(answer)).code() is StatusCode.UNKNOWN


@pytest.mark.parametrize(
    ("reset", "code"),
    [
        (0x0, StatusCode.INTERNAL),
        (0x1, StatusCode.INTERNAL),
        (0x2, StatusCode.INTERNAL),
        (0x3, StatusCode.INTERNAL),
        (0x6, StatusCode.INTERNAL),
        (0x7, StatusCode.UNAVAILABLE),
        (0x8, StatusCode.CANCELLED),
        (0x9, StatusCode.INTERNAL),
        (0xA, StatusCode.INTERNAL),
        (0xB, StatusCode.RESOURCE_EXHAUSTED),
        (0xC, StatusCode.PERMISSION_DENIED),
    ],
)
async def test_resets(reset: int, code: StatusCode) -> None:
    """Each code of RST_STREAM is a status; a server's CANCEL is an error, not a cancellation here."""

    def answer(wire: Wire, stream: int) -> None:
        wire.h2.reset_stream(stream, reset)

    assert (await failure(answer)).code() is code


async def test_a_reset_at_the_deadline() -> None:
    """A server whose clock is ahead gives up first; it is the deadline all the same."""

    def answer(wire: Wire, stream: int) -> None:
        wire.h2.reset_stream(stream, 8)
        wire.flush()
        time.sleep(
            0.06
        )  # so that the reset is read when the deadline is over, but before its timer

    assert (await failure(answer, seconds=0.05)).code() is StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(("messages", "words"), [(0, "no response"), (2, "more than one")])
async def test_the_number_of_responses(messages: int, words: str) -> None:
    """A method with one response that has none, or two, has failed (statuscodes.md, cardinality)."""

    def answer(wire: Wire, stream: int) -> None:
        wire.answer(stream, ANSWER * messages)

    error = await failure(answer)
    assert error.code() is StatusCode.UNIMPLEMENTED
    assert words in (error.details() or "")


async def test_no_response_beside_an_error() -> None:
    """Where there is a status, it is told, with or without a response."""

    def answer(wire: Wire, stream: int) -> None:
        wire.answer(stream, trailers=(("grpc-status", "5"),))

    assert (await failure(answer)).code() is StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "data",
    [b"\x00\x00\x00\x00\x03hi", b"\x00\x00", b"\x02\x00\x00\x00\x00", b"\x01\x00\x00\x00\x00"],
)
@pytest.mark.parametrize("one", [True, False])
async def test_messages_that_are_broken(data: bytes, one: bool) -> None:
    """Ones that are not whole, have unknown flags, or are compressed without leave, are INTERNAL."""

    def answer(wire: Wire, stream: int) -> None:
        wire.answer(stream, ANSWER + data if not one else data)

    assert (await failure(answer, one=one)).code() is StatusCode.INTERNAL


@pytest.mark.parametrize(
    "bad", [b"\2\0\0\0\0", b"\1\0\0\0\2hi", b"\0\xff\xff\xff\xff"], ids=["flags", "gzip", "size"]
)
async def test_what_came_before_a_broken_message(bad: bytes) -> None:
    """Is read first, though it came in the same frame; then the call ends with what is wrong."""

    def answer(wire: Wire, stream: int) -> None:
        data = ANSWER * 2 + bad + ANSWER
        wire.answer(stream, data, (*HEAD, ("grpc-encoding", "gzip")))

    async with running(Peer(answer)) as peer, insecure_channel(peer.target) as channel:
        call = channel.unary_stream("/a/b")(b"", timeout=5)
        assert [await call.read(), await call.read()] == [b"hi", b"hi"]
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is await call.code()
        assert await call.code() in (StatusCode.INTERNAL, StatusCode.RESOURCE_EXHAUSTED)


async def test_gzip() -> None:
    """What is offered is read."""
    packed = gzip.compress(b"hello" * 1000)

    def answer(wire: Wire, stream: int) -> None:
        assert "gzip" in (wire.header(stream, "grpc-accept-encoding") or "")
        data = b"\x01" + len(packed).to_bytes(4, "big") + packed
        wire.answer(stream, data, (*HEAD, ("grpc-encoding", "gzip")))

    async with running(Peer(answer)) as peer, insecure_channel(peer.target) as channel:
        assert await channel.unary_unary("/a/b")(b"") == b"hello" * 1000


async def test_an_encoding_that_is_not_known() -> None:
    """What is not offered is INTERNAL, and named."""

    def answer(wire: Wire, stream: int) -> None:
        wire.answer(stream, head=(*HEAD, ("grpc-encoding", "snappy")))

    error = await failure(answer)
    assert error.code() is StatusCode.INTERNAL
    assert "snappy" in (error.details() or "")


async def test_a_message_that_never_fits() -> None:
    """It is given up as soon as its size is known; so is one that is small until it is unpacked."""
    packed = gzip.compress(bytes(10_000))

    def large(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, HEAD)
        wire.h2.send_data(stream, b"\x00\xff\xff\xff\xff")

    def bomb(wire: Wire, stream: int) -> None:
        data = b"\x01" + len(packed).to_bytes(4, "big") + packed
        wire.answer(stream, data, (*HEAD, ("grpc-encoding", "gzip")))

    for script in (large, bomb):
        error = await failure(script, max_receive_message_length=1000)
        assert error.code() is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("where", ["initial", "trailing"])
async def test_metadata_beyond_the_limit(where: str) -> None:
    """More metadata than a client takes ends the call, not the connection."""
    much = (("much", "x" * 2000),)

    def answer(wire: Wire, stream: int) -> None:
        if where == "initial":
            wire.answer(stream, head=(*HEAD, *much))
        else:
            wire.answer(stream, trailers=(*OK, *much))

    error = await failure(answer, max_metadata_size=1000)
    assert error.code() in (StatusCode.RESOURCE_EXHAUSTED, StatusCode.INTERNAL)


async def test_what_a_request_says() -> None:
    """A request has the headers of gRPC over HTTP/2, and a deadline if it has one."""
    options = (("grpc.primary_user_agent", "mine/2"), ("grpc.default_authority", "example.org"))

    def answer(wire: Wire, stream: int) -> None:
        wire.answer(stream)

    async with running(Peer(answer)) as peer, insecure_channel(peer.target, options) as channel:
        call = channel.unary_unary("/a.B/C")
        await call(b"", timeout=1, metadata=(("k", "v"),), compression=grpc.Compression.Gzip)
        await call(b"")
        first, second = (dict(peer.wires[0].headers[stream]) for stream in (1, 3))

    assert first.pop("grpc-timeout")[-1] in "num"
    assert first.pop("user-agent").startswith("mine/2 grpc-python-wire/")
    assert first == {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/a.B/C",
        ":authority": "example.org",
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-encoding": "gzip",
        "grpc-accept-encoding": "identity,deflate,gzip",
        "k": "v",
    }
    assert "grpc-timeout" not in second
    assert "grpc-encoding" not in second


async def test_data_before_headers() -> None:
    """A stream that begins with data is broken; no call hangs for it."""

    def answer(wire: Wire, stream: int) -> None:
        wire.raw(b"\x00\x00\x02\x00\x00" + stream.to_bytes(4, "big") + b"hi")

    async with running(Peer(answer)) as peer, insecure_channel(peer.target) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/a/b")(b"", timeout=5)
    assert caught.value.code() in (StatusCode.INTERNAL, StatusCode.UNAVAILABLE)


async def test_bytes_that_are_not_http2() -> None:
    """A peer that speaks something else is not kept waiting for, and the words say so."""

    def answer(wire: Wire, stream: int) -> None:
        wire.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)

    async with running(Peer(answer)) as peer, insecure_channel(peer.target) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/a/b")(b"", timeout=5)
        await asyncio.wait_for(peer.lost.wait(), 5)
    assert caught.value.code() is StatusCode.UNAVAILABLE
