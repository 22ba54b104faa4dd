"""Attacks, one coroutine each: bounded in bytes and in connections, and on loopback alone.

An attack is made once, and returns; who runs it makes it again. To add one is to write it, and to name it in
`ATTACKS`.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
from contextlib import AsyncExitStack, suppress
from functools import cache
from typing import Final

from grpc_core._generated import finance_pb2
from grpc_wire.call.message import frame
from grpc_wire.http2.errors import ErrorCode
from tests.attack.scene import CONVERT, Attack, Scene, ask, connected, post
from tests.wire.server.stage import RawClient, raw_client, until

SIZE: Final = 4 * 1024 * 1024 - 1024
CONVERT_PATH, BATCH_PATH, LIVE_PATH = (
    f"/finance.CurrencyConverter/{name}".encode()
    for name in ("Convert", "BatchConvert", "LiveConvert")
)
_UPGRADE: Final = (
    b"GET /convert:live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: grpc-json.v1\r\n\r\n"
)

# JSON, queries and uploads, to the edge.


async def long_key(scene: Scene) -> None:
    """An unknown key of 4 MB."""
    assert await ask(scene.edge, post("/convert", b'{"%b":1}' % (b"k" * SIZE))) in (0, 400)


async def long_number(scene: Scene) -> None:
    """A number of 4 MB of digits, as text."""
    assert await ask(scene.edge, post("/convert", b'{"amount":"%b"}' % (b"1" * SIZE))) in (0, 400)


async def unknown_keys(scene: Scene) -> None:
    """150,000 unknown keys, near to known ones."""
    assert await ask(scene.edge, post("/convert", _unknown_keys())) in (0, 400)


@cache
def _unknown_keys() -> bytes:
    return b"{%b}" % b",".join(b'"fromCurrenc%d":1' % number for number in range(150_000))


async def nested_json(scene: Scene) -> None:
    """Arrays in arrays."""
    assert await ask(scene.edge, post("/convert", b"[" * SIZE)) in (0, 400)


async def nested_query(scene: Scene) -> None:
    """A query of names that go deep, and one of many parameters."""
    for query in (b"a." * 5_000 + b"a=1", b"&".join(b"a%d=1" % n for n in range(2_000))):
        await ask(scene.edge, b"GET /convert?%b HTTP/1.1\r\nHost: x\r\n\r\n" % query)


async def empty_lines(scene: Scene) -> None:
    """An upload of a megabyte of empty lines."""
    body = b"\n" * 1_000_000
    await ask(scene.edge, post("/convert:batch", body, "application/x-ndjson"))


async def small_uploads(scene: Scene) -> None:
    """An upload of 100,000 empty messages."""
    await ask(scene.edge, post("/convert:batch", b"{}\n" * 100_000, "application/x-ndjson"))


async def websocket_frames(scene: Scene) -> None:
    """A WebSocket of 100,000 frames and fragments of a byte, and pings whose answers are not read."""
    small = b"\x81\x81\0\0\0\0x" * 20_000
    fragments = b"\x01\x80\0\0\0\0" + b"\x00\x81\0\0\0\0x" * 40_000
    pings = b"\x89\x80\0\0\0\0" * 40_000
    for flood in (small, fragments, pings):
        async with connected(scene.edge) as (reader, writer):
            writer.write(_UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(flood)
            await writer.drain()
            await asyncio.sleep(0.2)


# Frames of HTTP/2, to the core.


async def small_data(scene: Scene) -> None:
    """DATA of a byte on a stream that the server has ended."""
    async with raw_client(scene.core.address) as client:
        stream = client.begin({b":path": b"/finance.CurrencyConverter/Nothing"})
        await client.ended(stream)
        await _flood(client, b"\x00\x00\x01\x00\x00" + stream.to_bytes(4) + b"x")


async def empty_messages(scene: Scene) -> None:
    """Empty messages, a frame each, until the window is full."""
    async with raw_client(scene.core.address) as client:
        stream = client.begin({b":path": BATCH_PATH})
        piece = b"\x00\x00\x05\x00\x00" + stream.to_bytes(4) + bytes(5)
        client._transport.write(piece * 13_000)
        await asyncio.sleep(0.2)


async def control_frames(scene: Scene) -> None:
    """Pings, settings, priorities and frames that are not known."""
    for kind, payload in ((6, bytes(8)), (4, b""), (2, bytes(5)), (0xFA, b"x")):
        stream = 1 if kind == 2 else 0
        piece = len(payload).to_bytes(3) + bytes([kind, 0]) + stream.to_bytes(4) + payload
        async with raw_client(scene.core.address) as client:
            await _flood(client, piece)


async def malformed_requests(scene: Scene) -> None:
    """Streams whose heads are empty."""
    async with raw_client(scene.core.address) as client:
        for number in range(1, 10_000, 2):
            client._transport.write(b"\x00\x00\x00\x01\x05" + number.to_bytes(4))
        await until(lambda: client.closed or client.connection.closing)


async def rapid_resets(scene: Scene) -> None:
    """Calls that are given up at once."""
    async with raw_client(scene.core.address) as client:
        await until(lambda: client.connection.settings_acknowledged)
        for _ in range(1_500):
            if client.connection.closing:
                break
            stream = client.begin({b":path": LIVE_PATH})
            client.connection.reset(stream, ErrorCode.CANCEL)
            client.flush()
            await asyncio.sleep(0)


async def bombs(scene: Scene) -> None:
    """Messages of 4 kB that become 4 MB, on a hundred streams, and as much as is allowed on as many."""
    asked = {b":path": BATCH_PATH, b"grpc-encoding": b"gzip"}
    for bomb in await asyncio.to_thread(_bombs):
        async with raw_client(scene.core.address) as client:
            streams = client.begin_together([asked] * 100, bomb)
            await asyncio.gather(*(client.ended(stream) for stream in streams))


@cache
def _bombs() -> tuple[bytes, bytes]:
    wide = finance_pb2.ConvertRequest(from_currency="x" * 500_000).SerializeToString()
    return frame(bytes(4 * 1024 * 1024), "gzip"), frame(wide, "gzip") * 5


# Heads, upgrades, streams and feeds, to the edge.


async def large_metadata(scene: Scene) -> None:
    """70 kB of authorization, which one connection upstream would have to carry."""
    head = b"GET /hello/x HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n" % (b"b" * 70_000)
    assert await ask(scene.edge, head) in (0, 431)


async def smuggled_upgrade(scene: Scene) -> None:
    """An upgrade that is not ours, with a body that is a request."""
    inner = b"GET /hello/SMUGGLED HTTP/1.1\r\nHost: x\r\n\r\n"
    async with connected(scene.edge) as (reader, writer):
        writer.write(
            b"POST /nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo\r\n"
            b"Content-Length: %d\r\n\r\n" % len(inner)
        )
        await asyncio.sleep(0.1)
        writer.write(inner)
        answers = await reader.readuntil(b"\r\n\r\n")
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while answer := await reader.read(4096):
                    answers += answer
        assert answers.count(b"HTTP/1.1 ") == 1
        assert b"SMUGGLED" not in answers


async def silent_streams(scene: Scene) -> None:
    """1,100 WebSockets with credentials of their own, which say nothing."""
    async with AsyncExitStack() as stack:
        for _ in range(1_100):
            _, writer = await stack.enter_async_context(connected(scene.edge))
            token = base64.b64encode(os.urandom(9))
            writer.write(_UPGRADE[:-2] + b"Authorization: Bearer %b\r\n\r\n" % token)
        await asyncio.sleep(2)


async def feeds_of_many(scene: Scene) -> None:
    """200 event streams with credentials of their own, which are left at once."""
    for _ in range(200):
        async with connected(scene.edge) as (reader, writer):
            writer.write(_watch(base64.b64encode(os.urandom(9))))
            await reader.read(1)


async def many_event_streams(scene: Scene) -> None:
    """400 event streams with credentials of their own, which stay, and are read by nobody."""
    async with AsyncExitStack() as stack:
        for _ in range(400):
            _, writer = await stack.enter_async_context(connected(scene.edge))
            writer.write(_watch(base64.b64encode(os.urandom(9))))
        await asyncio.sleep(2)


async def cut_calls(scene: Scene) -> None:
    """1,000 streams that are cut by their callers as soon as they are asked for, or have begun."""
    for request, begun in ((_watch(b"cut"), True), (_watch(b"%b"), False), (_UPGRADE, True)):
        for _ in range(33):
            async with AsyncExitStack() as stack:
                for _ in range(10):
                    reader, writer = await stack.enter_async_context(connected(scene.edge))
                    writer.write(request.replace(b"%b", base64.b64encode(os.urandom(9))))
                    if begun:
                        await reader.read(1)
                    else:
                        await asyncio.sleep(0)


async def slow_readers(scene: Scene) -> None:
    """Ten calls whose answers are large, and which read a kilobyte of them now and then."""
    line = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":1}\n'
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(10):
            reader, writer = await stack.enter_async_context(connected(scene.edge))
            writer.write(post("/convert:live", line * 50_000, "application/x-ndjson"))
            readers.append(reader)
        for _ in range(8):
            for reader in readers:
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1024), 0.1)
            await asyncio.sleep(0.25)


async def inflating_uploads(scene: Scene) -> None:
    """Bodies of some kilobytes that become megabytes: one message, and uploads of many."""
    for target, small, media_type in await asyncio.to_thread(_inflating):
        request = post(target, small, media_type, b"Content-Encoding: gzip\r\n")
        assert await ask(scene.edge, request) in (0, 200, 400, 413)


@cache
def _inflating() -> tuple[tuple[str, bytes, str], ...]:
    return tuple(
        (target, gzip.compress(body, 1), media_type)
        for target, body, media_type in (
            ("/convert", b'{"fromCurrency":"%b"}' % (b"x" * 50_000_000), "application/json"),
            ("/convert", b" " * 50_000_000, "application/json"),
            ("/convert:batch", b"{}\n" * 2_000_000, "application/x-ndjson"),
            ("/convert:batch", b"\n" * 50_000_000, "application/x-ndjson"),
            ("/convert:batch", b"[" + b"{}," * 2_000_000, "application/json"),
        )
    )


async def unread_websockets(scene: Scene) -> None:
    """Ten WebSockets that send messages as fast as they are taken, and read none of the answers."""
    message = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":1}'
    frames = (b"\x81" + bytes([0x80 | len(message)]) + bytes(4) + message) * 2_000
    async with AsyncExitStack() as stack:
        writers = []
        for _ in range(10):
            reader, writer = await stack.enter_async_context(connected(scene.edge))
            reader._transport.pause_reading()  # type: ignore[attr-defined] # asyncio has no other way
            writer.write(_UPGRADE)
            writers.append(writer)
        for _ in range(10):
            for writer in writers:
                if writer.transport.get_write_buffer_size() < 1_000_000:
                    writer.write(frames)
            await asyncio.sleep(0.2)


async def pipelines(scene: Scene) -> None:
    """1,000 requests at once on each of ten connections, and heads that come a byte at a time."""
    get = b"GET /convert?from_currency=USD&to_currency=EUR&amount=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    for flood in (get * 1_000, post("/convert", CONVERT) * 1_000, get * 10):
        async with AsyncExitStack() as stack:
            for _ in range(10):
                _, writer = await stack.enter_async_context(connected(scene.edge))
                writer.write(flood)
            await asyncio.sleep(0.2)


async def half_open(scene: Scene) -> None:
    """Connections that end their side at once, or say half a head; to the core, half a preface."""
    whole = _watch(b"half")
    for where, said in (
        (scene.edge, b""),
        (scene.edge, whole[:-20]),
        (scene.edge, whole),
        (scene.edge, _UPGRADE),
        (scene.edge, post("/convert:live", b"{}\n" * 100, "application/x-ndjson")[:-1]),
        (scene.core, b"PRI * HT"),
        (scene.core, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ):
        async with AsyncExitStack() as stack:
            for _ in range(50):
                _, writer = await stack.enter_async_context(connected(where))
                writer.write(said)
                with suppress(OSError):
                    writer.write_eof()
            await asyncio.sleep(0.2)


async def pages(scene: Scene) -> None:
    """The OpenAPI document, its page and the page's largest file, again and again, on twenty connections."""
    for path in (b"/openapi.json", b"/docs", b"/docs/swagger-ui-bundle.js"):
        get = b"GET %b HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n" % path
        async with AsyncExitStack() as stack:
            for _ in range(20):
                _, writer = await stack.enter_async_context(connected(scene.edge))
                writer.write(get * 10)
            await asyncio.sleep(0.5)


def _watch(token: bytes) -> bytes:
    return (
        b"GET /rates/USD?target_currencies=EUR HTTP/1.1\r\nHost: x\r\n"
        b"Accept: text/event-stream\r\nAuthorization: Bearer %b\r\n\r\n" % token
    )


async def _flood(client: RawClient, piece: bytes) -> None:
    """Sends a frame again and again until the server has had enough, or 100,000 times."""
    await until(lambda: client.connection.settings_acknowledged)
    for _ in range(100):
        if client.closed or client.connection.closing:
            return
        client._transport.write(piece * 1_000)
        await asyncio.sleep(0.01)


ATTACKS: tuple[Attack, ...] = (
    long_key,
    long_number,
    unknown_keys,
    nested_json,
    nested_query,
    empty_lines,
    small_uploads,
    websocket_frames,
    small_data,
    empty_messages,
    control_frames,
    malformed_requests,
    rapid_resets,
    bombs,
    large_metadata,
    smuggled_upgrade,
    silent_streams,
    feeds_of_many,
    many_event_streams,
    cut_calls,
    slow_readers,
    inflating_uploads,
    unread_websockets,
    pipelines,
    half_open,
    pages,
)
