"""`openSocket` of web/protoway.js, against a server of the subprotocols of docs/reference/wires.md."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.browser.chromium import Page

Json = Any
BARE, ENVELOPE = "grpc-json.v1", "grpc-json-envelope.v1"
ANY = "type.googleapis.com/gateway.v1.Gap"
BAD_REQUEST = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": []}
SECONDS = 20
"""What nothing here may take."""
READ = """
    const seen = [];
    for await (const event of socket) {
      if (event.error) event.error = { ...event.error, message: event.error.message };
      seen.push(event);
    }
    return seen;
"""


@asynccontextmanager
async def playing(play: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """Runs a server that plays one side of each WebSocket; yields its URL, as a page would name it."""
    ours = [Subprotocol(BARE), Subprotocol(ENVELOPE)]
    transports: list[asyncio.Transport] = []
    over = False

    class Remembered(ServerConnection):
        """A connection whose transport can be closed: a browser opens some that it does not use."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transports.append(transport)
            super().connection_made(transport)
            if over:  # accepted before that, and made after
                transport.abort()

    opened = serve(play, "127.0.0.1", 0, subprotocols=ours, create_connection=Remembered)
    async with opened as server:
        (listening,) = server.sockets
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/convert:live"
        finally:
            over = True
            # a connection that is accepted in the turn of the loop before `close` is lost, and never closed
            # (python/cpython#109564); so nothing is accepted any more, and what was has its turn
            asyncio.get_running_loop().remove_reader(listening)
            await asyncio.sleep(0)
            for transport in transports:
                transport.abort()


async def said(page: Page, url: str, lines: str = "", **options: Json) -> list[Json]:
    """Opens a socket, runs some lines with it, and returns all its events."""
    opening = f"const socket = protoway.openSocket({json.dumps(url)}, {json.dumps(options)});"
    return await page.run(opening + lines + READ)  # type: ignore[no-any-return]  # the page gives what its script does


async def test_messages_go_both_ways_and_the_half_close_ends(page: Page) -> None:
    """What is sent before the socket is open waits; an empty frame ends the sending, 1000 is OK."""
    frames: list[str | bytes] = []

    async def play(socket: ServerConnection) -> None:
        assert socket.subprotocol == BARE
        async for frame in socket:
            frames.append(frame)
            if frame == "":
                return
            await socket.send(frame)

    async with playing(play) as url:
        events = await said(
            page,
            url,
            "socket.send({n: 1}); socket.send({n: 2}); socket.halfClose(); socket.halfClose();",
        )

    assert frames == ['{"n":1}', '{"n":2}', ""]
    assert events == [
        {"type": "connecting"},
        {"type": "open"},
        {"type": "message", "data": {"n": 1}},
        {"type": "message", "data": {"n": 2}},
        {"type": "ended", "trailers": {}},
    ]


async def test_nothing_follows_the_half_close(page: Page) -> None:
    """A message after it is a mistake of the caller's, and is thrown."""

    async def play(socket: ServerConnection) -> None:
        assert await socket.recv() == ""

    async with playing(play) as url:
        thrown = await page.run(
            f"""
            const socket = protoway.openSocket("{url}");
            socket.halfClose();
            try {{ socket.send({{}}); }} catch (error) {{ return error.message; }}
            """
        )

    assert thrown == "no message can follow the half-close"


@pytest.mark.parametrize(
    ("close_code", "reason", "code", "message"),
    [
        (4003, "requests[0]: wrong", 3, "requests[0]: wrong"),
        (4014, "", 14, "closed with 4014"),
        (4000, "", 13, "closed with 4000"),
        (4099, "", 13, "closed with 4099"),
        (1001, "", 14, "going away"),
        (1009, "", 8, "a message was too large"),
        (1011, "", 14, "no pong came back in time"),
        (1008, "no", 13, "no"),
    ],
)
@pytest.mark.parametrize("subprotocol", [BARE, ENVELOPE])
async def test_a_close_code_is_a_status(
    page: Page, close_code: int, reason: str, code: int, message: str, subprotocol: str
) -> None:
    """4000 + code is the code with the reason as its message; the others are what the page says of them."""

    async def play(socket: ServerConnection) -> None:
        await socket.close(close_code, reason)

    async with playing(play) as url:
        events = await said(page, url, subprotocol=subprotocol)

    assert events[-1]["type"] == "failed"
    assert (events[-1]["error"]["code"], events[-1]["error"]["message"]) == (code, message)


async def test_a_broken_connection_is_a_cut(page: Page) -> None:
    """A connection that ends without a close frame ends the events as neither clean nor failed."""

    async def play(socket: ServerConnection) -> None:
        await socket.send("{}")
        await socket.recv()
        socket.transport.abort()

    async with playing(play) as url:
        events = await said(page, url, "socket.send({});")

    assert [event["type"] for event in events[2:]] == ["message", "cut"]
    assert events[-1]["error"]["code"] == 14


async def test_gaps_are_events_of_their_own(page: Page) -> None:
    """In the bare subprotocol a gap is an Any among the messages."""

    async def play(socket: ServerConnection) -> None:
        for frame in ({"@type": ANY, "missed": 12}, {"n": 1}, {"@type": ANY, "restarted": True}):
            await socket.send(json.dumps(frame))

    async with playing(play) as url:
        events = await said(page, url)

    assert events[2:5] == [
        {"type": "gap", "missed": 12, "restarted": False},
        {"type": "message", "data": {"n": 1}},
        {"type": "gap", "restarted": True},
    ]


async def test_the_envelope_carries_headers_and_a_whole_status(page: Page) -> None:
    """The call begins with its metadata; the status comes with details and trailers."""
    frames: list[Json] = []
    answers: list[Json] = [
        {"headers": {"etag": "x", "many": ["a", "b"]}},
        {"message": {"rate": 0.86}},
        {"gap": {"missed": 3}},
        {"status": {"code": 11, "message": "no", "details": [BAD_REQUEST], "trailers": {"t": "1"}}},
    ]

    async def play(socket: ServerConnection) -> None:
        assert socket.subprotocol == ENVELOPE
        frames.extend([json.loads(await socket.recv()) for _ in range(3)])
        for answer in answers:
            await socket.send(json.dumps(answer))
        await socket.close(4011, "no")

    async with playing(play) as url:
        options: Json = {"subprotocol": ENVELOPE, "headers": {"authorization": "Bearer abc"}}
        events = await said(page, url, "socket.send({n: 1}); socket.halfClose();", **options)

    assert frames == [
        {"headers": {"authorization": "Bearer abc"}},
        {"message": {"n": 1}},
        {"half_close": {}},
    ]
    assert events[2:5] == [
        {"type": "headers", "headers": {"etag": "x", "many": ["a", "b"]}},
        {"type": "message", "data": {"rate": 0.86}},
        {"type": "gap", "missed": 3, "restarted": False},
    ]
    error = events[5]["error"]
    assert (error["code"], error["message"], error["trailers"]) == (11, "no", {"t": "1"})
    assert error["details"] == [BAD_REQUEST]


async def test_the_envelope_s_clean_end_has_trailers(page: Page) -> None:
    """A status without a code is OK."""

    async def play(socket: ServerConnection) -> None:
        assert json.loads(await socket.recv()) == {"headers": {}}
        await socket.send('{"status":{"trailers":{"cost":"3"}}}')

    async with playing(play) as url:
        events = await said(page, url, subprotocol=ENVELOPE)

    assert events[-1] == {"type": "ended", "trailers": {"cost": "3"}}


async def test_a_frame_of_a_later_version_is_passed_over(page: Page) -> None:
    """Its name says nothing to this one, and the call goes on."""

    async def play(socket: ServerConnection) -> None:
        await socket.send('{"progress":{}}')
        await socket.send('{"status":{}}')

    async with playing(play) as url:
        events = await said(page, url, subprotocol=ENVELOPE)

    assert events[-1] == {"type": "ended", "trailers": {}}


@pytest.mark.parametrize("frame", ["{", "null", "7"])
async def test_a_frame_that_is_wrong_fails_the_call(page: Page, frame: str) -> None:
    """What the subprotocol does not have is INTERNAL, and the connection is closed."""
    closed: list[bool] = []

    async def play(socket: ServerConnection) -> None:
        await socket.send(frame)
        await socket.wait_closed()
        closed.append(True)

    async with playing(play) as url:
        events = await said(page, url, subprotocol=ENVELOPE)

    assert (events[-1]["type"], events[-1]["error"]["code"]) == ("failed", 13)
    assert closed == [True]


@pytest.mark.parametrize(
    ("leaving", "end"),
    [
        ("socket.close();", ["failed", 1]),
        ("stop.abort();", ["failed", 1]),
        ("break;", ["open", None]),
    ],
)
async def test_who_leaves_cancels_the_call(page: Page, leaving: str, end: Json) -> None:
    """`close`, an abort and the end of the loop all close the WebSocket; the end is CANCELLED."""
    gone = asyncio.Event()

    async def play(socket: ServerConnection) -> None:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        gone.set()

    async with playing(play) as url:
        last = await page.run(
            f"""
            const stop = new AbortController();
            const socket = protoway.openSocket("{url}", {{ signal: stop.signal }});
            let last;
            for await (const event of socket) {{
              last = event;
              if (event.type === "open") {{ {leaving} }}
            }}
            return [last.type, last.error?.code];
            """
        )
        await asyncio.wait_for(gone.wait(), SECONDS)  # the server has not closed it

    assert last == end


@pytest.mark.parametrize("leaving", ["socket.close();", "stop.abort();"])
async def test_who_leaves_before_the_socket_is_open_ends_the_handshake(
    page: Page, leaving: str
) -> None:
    """Its connection is closed, and the events end with CANCELLED."""
    begun, gone = asyncio.Event(), asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            begun.set()
            await reader.read()
        gone.set()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/convert:live"
        await page.run(
            f"""
            globalThis.stop = new AbortController();
            globalThis.socket = protoway.openSocket("{url}", {{ signal: stop.signal }});
            """
        )
        await asyncio.wait_for(begun.wait(), SECONDS)
        seen = await page.run(
            f"""
            {leaving}
            const seen = [];
            for await (const event of socket) seen.push([event.type, event.error?.code]);
            return seen;
            """
        )
        await asyncio.wait_for(gone.wait(), SECONDS)

    assert seen == [["connecting", None], ["failed", 1]]


async def test_headers_need_the_envelope(page: Page) -> None:
    """A browser's handshake takes no headers, and the bare subprotocol has no frame for them."""
    with pytest.raises(AssertionError, match=r"grpc-json\.v1 has no frame for headers"):
        await page.run("protoway.openSocket('/x', {headers: {a: 'b'}})")
