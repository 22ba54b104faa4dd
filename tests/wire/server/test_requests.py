"""What the server asks of a request, from a client that asks what no client of gRPC would.

Sources: gRPC over HTTP/2, "Requests"; compression.md; statuscodes.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from grpc_wire.call.message import GZIP, frame
from grpc_wire.call.status import DEADLINE_EXCEEDED, INTERNAL, OK, RESOURCE_EXHAUSTED, UNIMPLEMENTED
from tests.wire.server.stage import SERVICE, both_ways, raw_client, serving, taking, unary

HEADER = b":method"


async def echo(request: bytes, _context: Any) -> bytes:
    """Answers with the request."""
    return request


async def count(requests: AsyncIterator[bytes], _context: Any) -> bytes:
    """Answers with the number of requests."""
    return b"%d" % len([request async for request in requests])


async def echo_all(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    """Answers each request with itself."""
    async for request in requests:
        yield request


METHODS = {"Echo": unary(echo), "Count": taking(count), "EchoAll": both_ways(echo_all)}
COUNT = {b":path": f"/{SERVICE}/Count".encode()}


@pytest.mark.parametrize(
    "kind",
    [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf-8"],
)
async def test_content_types_of_grpc(kind: bytes) -> None:
    """Every content-type of gRPC is answered with that of gRPC."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        answer = await client.ask({b"content-type": kind})
        assert answer.head[":status"] == "200"
        assert answer.head["content-type"] == "application/grpc"
        assert answer.data == frame(b"request")
        assert answer.status == (OK, "")


@pytest.mark.parametrize("kind", [None, b"application/json", b"application/grpc-web"])
async def test_other_content_types(kind: bytes | None) -> None:
    """Another content-type is 415, so that a client of HTTP sees that this is none of its own."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        answer = await client.ask({b"content-type": kind})
        assert answer.head[":status"] == "415"
        assert answer.status == (INTERNAL, "the content-type is not one of gRPC")


async def test_other_methods_of_http() -> None:
    """A method other than POST is 405."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        answer = await client.ask({b":method": b"GET"})
        assert (answer.head[":status"], answer.head["allow"]) == ("405", "POST")
        assert answer.status[0] == INTERNAL


async def test_trailers_are_to_be_taken() -> None:
    """A request that does not say `te: trailers` came through what may drop them: INTERNAL."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        assert (await client.ask({b"te": None})).status[0] == INTERNAL


async def test_no_path() -> None:
    """A request without a path is none of HTTP/2: its stream is reset, the connection goes on."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        assert (await client.ask({b":path": None})).reset is not None
        assert (await client.ask()).status[0] == OK


@pytest.mark.parametrize(
    "path", [b"/", b"/nothing", b"/test.Service/Echo?x=1", b"/test.Service/echo"]
)
async def test_paths_that_nobody_has(path: bytes) -> None:
    """A path that is no method's is UNIMPLEMENTED, in trailers alone."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        answer = await client.ask({b":path": path})
        assert answer.status == (UNIMPLEMENTED, "Method not found!")
        assert not answer.trailers


async def test_an_encoding_that_is_not_known() -> None:
    """An unknown `grpc-encoding` is UNIMPLEMENTED, with those that are known."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        answer = await client.ask({b"grpc-encoding": b"snappy"})
        assert answer.status[0] == UNIMPLEMENTED
        assert answer.head["grpc-accept-encoding"] == "identity,deflate,gzip"


async def test_compressed_without_encoding() -> None:
    """A message that says it is compressed, where no encoding was named, is INTERNAL."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        assert (await client.ask(data=frame(b"x" * 100, GZIP))).status[0] == INTERNAL
        named = {b"grpc-encoding": b"gzip"}
        assert (await client.ask(named, frame(b"x" * 100, GZIP))).status[0] == OK
        assert (await client.ask(named, b"\1\0\0\0\2hi")).status[0] == INTERNAL


@pytest.mark.parametrize(
    "bad", [b"\2\0\0\0\0", b"\1\0\0\0\2hi", b"\0\xff\xff\xff\xff"], ids=["flags", "gzip", "size"]
)
async def test_what_came_before_a_broken_message(bad: bytes) -> None:
    """Is answered, though it came in the same frame; then the call ends with what is wrong."""
    path = {b":path": f"/{SERVICE}/EchoAll".encode(), b"grpc-encoding": b"gzip"}
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        answer = await client.ask(path, frame(b"one") + frame(b"two") + bad + frame(b"four"))
        assert answer.data == frame(b"one") + frame(b"two")
        assert answer.status[0] in (INTERNAL, RESOURCE_EXHAUSTED)


async def test_responses_are_compressed_only_for_who_can_read_it() -> None:
    """A server that compresses asks `grpc-accept-encoding` first."""
    import grpc

    text = b"over and over " * 100
    async with (
        serving(METHODS, compression=grpc.Compression.Gzip) as stage,
        raw_client(stage.address) as client,
    ):
        plain = await client.ask(data=frame(text))
        assert ("grpc-encoding" in plain.head, plain.data) == (False, frame(text))
        squeezed = await client.ask({b"grpc-accept-encoding": b"deflate,gzip"}, frame(text))
        assert (squeezed.head["grpc-encoding"], squeezed.data) == ("gzip", frame(text, GZIP))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", UNIMPLEMENTED),
        (frame(b"one") + frame(b"two"), UNIMPLEMENTED),
        (frame(b"one")[:-1], INTERNAL),
        (frame(b"one") + b"\0", INTERNAL),
        (b"\2" + frame(b"one")[1:], INTERNAL),
    ],
)
async def test_a_request_of_one_message_has_one(data: bytes, code: int) -> None:
    """No message or two are UNIMPLEMENTED (statuscodes.md), a broken one is INTERNAL."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        assert (await client.ask(data=data)).status[0] == code


async def test_a_message_that_is_too_large_is_told_at_once() -> None:
    """A message above the limit ends the call as soon as its length is known, and need not be sent."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        for head in ({}, COUNT):
            stream_id = client.begin({**head})
            client.send(stream_id, frame(b"")[:1] + (4 * 1024 * 1024 + 1).to_bytes(4) + b"...")
            answer = await client.ended(stream_id)
            assert answer.status[0] == RESOURCE_EXHAUSTED


async def test_messages_in_pieces() -> None:
    """Messages may come in pieces of any size, and several in one piece."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        stream_id = client.begin({**COUNT})
        for byte in frame(b"one") + frame(b"two"):
            client.send(stream_id, bytes([byte]))
        client.send(stream_id, frame(b"three") + frame(b"") + frame(b"five"), end=True)
        answer = await client.ended(stream_id)
        assert answer.data == frame(b"5")


@pytest.mark.parametrize("text", [b"", b"1", b"S", b"-1S", b"123456789S", b"1s"])
async def test_timeouts_that_are_none(text: bytes) -> None:
    """A `grpc-timeout` that cannot be read is INTERNAL, not a call without a deadline."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        assert (await client.ask({b"grpc-timeout": text})).status[0] == INTERNAL


async def test_a_timeout_of_nothing() -> None:
    """A call whose time is over when it comes is not handled."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        assert (await client.ask({b"grpc-timeout": b"0S"})).status[0] == DEADLINE_EXCEEDED


async def test_metadata_that_is_not_base64() -> None:
    """A value that is not base64 where it should be is left out; the call goes on."""
    seen: list[Any] = []

    async def look(request: bytes, context: Any) -> bytes:
        seen.extend(pair for pair in context.invocation_metadata() if pair.key.endswith("-bin"))
        return request

    async with serving({"Echo": unary(look)}) as stage, raw_client(stage.address) as client:
        headers: dict[bytes, bytes | None] = {b"a-bin": b"$$$", b"b-bin": b"AAE,AAI="}
        assert (await client.ask(headers)).status[0] == OK
    assert seen == [("b-bin", b"\0\1"), ("b-bin", b"\0\2")]


async def test_trailers_of_a_request() -> None:
    """A request that ends with trailers has ended: they are passed over."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        stream_id = client.begin()
        client.send(stream_id, frame(b"request"))
        client.connection.send_headers(stream_id, ((b"late", b"1"),), end_stream=True)
        client.flush()
        assert (await client.ended(stream_id)).status[0] == OK


async def test_an_error_before_any_message_is_trailers_alone() -> None:
    """An error before any message is one header section (Trailers-Only)."""

    async def fail(_request: bytes, _context: Any) -> bytes:
        raise ValueError("early")

    async with serving({"Echo": unary(fail)}) as stage, raw_client(stage.address) as client:
        answer = await client.ask()
        assert answer.head["grpc-status"] == "2"
        assert not answer.trailers
