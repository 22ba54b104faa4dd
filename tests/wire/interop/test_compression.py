"""What is compressed, and what is not: `grpc.aio` says so, and ours does the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.wire.interop.tap import Passed, Tap, tapped
from tests.wire.interop.test_pairings import CHANNELS, SERVERS

TEXT = bytes(5000)
NONE, DEFLATE, GZIP = grpc.Compression
DEFLATED, GZIPPED, PLAIN = "zlib", "gzip", ""


async def unary(_request: bytes, context: Any) -> bytes:
    """Answers as it is asked to: `set` names a compression, `leave` leaves it out."""
    asked = dict(context.invocation_metadata())
    if "set" in asked:
        context.set_compression(grpc.Compression(int(asked["set"])))
    await context.send_initial_metadata(())
    if "leave" in asked:
        context.disable_next_message_compression()
    return TEXT


async def bare(_request: bytes, context: Any) -> bytes:
    """Compresses, and says nothing before its answer."""
    context.set_compression(GZIP)
    return TEXT


async def stream(_request: bytes, context: Any) -> AsyncIterator[bytes]:
    """Answers three times, the second time as `leave` says."""
    asked = dict(context.invocation_metadata())
    if "set" in asked:
        context.set_compression(grpc.Compression(int(asked["set"])))
    for number in range(3):
        if "leave" in asked and number == 1:
            context.disable_next_message_compression()
        yield TEXT


METHODS: dict[str, Any] = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Bare": grpc.unary_unary_rpc_method_handler(bare),
    "Stream": grpc.unary_stream_rpc_method_handler(stream),
}


@asynccontextmanager
async def serving(make: Any, compression: grpc.Compression | None = None) -> AsyncIterator[Tap]:
    """Runs a server with a tap before it."""
    running = make(options=[("grpc.so_reuseport", 0)], compression=compression)
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", METHODS),))
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        async with tapped(f"127.0.0.1:{port}") as tap:
            yield tap
    finally:
        await running.stop(None)


def formats(messages: list[Passed]) -> list[str]:
    """Returns how each was compressed."""
    return [each.format for each in messages]


@pytest.mark.parametrize("by", CHANNELS)
@pytest.mark.parametrize(
    ("of_channel", "of_call", "passed"),
    [
        (None, None, PLAIN),
        (None, GZIP, GZIPPED),
        (None, DEFLATE, DEFLATED),
        (GZIP, None, GZIPPED),
        (GZIP, NONE, GZIPPED),
        (GZIP, DEFLATE, DEFLATED),
        (NONE, GZIP, GZIPPED),
    ],
)
async def test_requests(by: str, of_channel: Any, of_call: Any, passed: str) -> None:
    """What is said of a call holds before what is said of its channel; that it has none says nothing."""
    async with (
        serving(SERVERS["wire"]) as tap,
        CHANNELS[by](tap.address, compression=of_channel) as channel,
    ):
        assert await channel.unary_unary("/a.B/Unary")(TEXT, compression=of_call) == TEXT
        assert formats(tap.last.requests) == [passed]


@pytest.mark.parametrize("by", CHANNELS)
async def test_what_would_become_larger_is_left_as_it_is(by: str) -> None:
    """A compression that saves nothing is none."""
    async with serving(SERVERS["wire"]) as tap, CHANNELS[by](tap.address) as channel:
        await channel.unary_unary("/a.B/Unary")(b"x", compression=GZIP)
        assert tap.last.requests == [Passed(1)]


@pytest.mark.parametrize("by", CHANNELS)
@pytest.mark.parametrize("to", SERVERS)
@pytest.mark.parametrize(
    ("of_server", "asked", "one", "three"),
    [
        (None, {}, PLAIN, [PLAIN] * 3),
        (None, {"set": "2"}, GZIPPED, [GZIPPED] * 3),
        (None, {"set": "1"}, DEFLATED, [DEFLATED] * 3),
        (None, {"leave": ""}, PLAIN, [PLAIN] * 3),
        (GZIP, {}, GZIPPED, [GZIPPED] * 3),
        (GZIP, {"set": "1"}, DEFLATED, [DEFLATED] * 3),
        (GZIP, {"set": "0"}, PLAIN, [PLAIN] * 3),
        (GZIP, {"leave": ""}, PLAIN, [GZIPPED, PLAIN, GZIPPED]),
        (None, {"set": "2", "leave": ""}, PLAIN, [GZIPPED, PLAIN, GZIPPED]),
    ],
)
async def test_responses(
    by: str, to: str, of_server: Any, asked: Any, one: str, three: list[str]
) -> None:
    """What a servicer says holds before what is said of its server; a message may be left out."""
    async with (
        serving(SERVERS[to], of_server) as tap,
        CHANNELS[by](tap.address) as channel,
    ):
        metadata = tuple(asked.items())
        assert await channel.unary_unary("/a.B/Unary")(b"", metadata=metadata) == TEXT
        assert formats(tap.last.responses) == [one]
        call = channel.unary_stream("/a.B/Stream")(b"", metadata=metadata)
        assert [each async for each in call] == [TEXT] * 3
        assert formats(tap.last.responses) == three


@pytest.mark.parametrize(("to", "passed"), [("wire", GZIPPED), ("grpcio", PLAIN)])
async def test_a_unary_servicer_that_sends_no_metadata(to: str, passed: str) -> None:
    """Its compression holds all the same; `grpc.aio` forgets it."""
    async with serving(SERVERS[to]) as tap, CHANNELS["wire"](tap.address) as channel:
        assert await channel.unary_unary("/a.B/Bare")(b"") == TEXT
        assert formats(tap.last.responses) == [passed]
