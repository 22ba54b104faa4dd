"""The shell of a connection, over a transport without a socket: what is answered, when, and what ends."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httptools
import pytest

from gateway.doors.http.door import Door, ServerState
from gateway.doors.http.limits import (
    LINGER_BYTES,
    LINGER_SECONDS,
    MAX_DISCARDED_BYTES,
    MAX_PROMISED_BYTES,
    PROBE_SECONDS,
    Limits,
    WebSocketLimits,
)
from gateway.doors.http.response import CONTINUE
from gateway.doors.http1.protocol import Http1Protocol
from tests.doors.http1.served import Socket

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
App = Callable[[Any, Any, Any], Awaitable[None]]


class Responses:
    """Reads the responses that were written."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[bytes, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Reads some bytes."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Starts a response."""
        self.headers.append({})
        self.bodies.append(b"")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a header."""
        self.headers[-1][name.lower()] = value

    def on_headers_complete(self) -> None:
        """Keeps the status."""
        self.statuses.append(self._parser.get_status_code())

    def on_body(self, part: bytes) -> None:
        """Keeps a part of a body."""
        self.bodies[-1] += part


class Caller:
    """One connection to an application."""

    def __init__(self, app: App, **limits: float) -> None:
        self.socket = Socket()
        self.state = ServerState()
        self.door = Door(app, self.state, WebSocketLimits(1024, 60), limits=Limits(**limits))  # type: ignore[arg-type] # as they are named
        self.released = 0
        self.protocol = Http1Protocol(self.door, self._release)
        self.socket.set_protocol(self.protocol)

    def _release(self) -> None:
        self.released += 1

    async def says(self, *pieces: bytes) -> None:
        """Sends pieces, each in a turn of its own."""
        for piece in pieces:
            self.socket.receive(piece)
            await asyncio.sleep(0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something to become true."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    @property
    def answers(self) -> Responses:
        """What was written so far."""
        responses = Responses()
        responses.feed(b"".join(self.socket.written))
        return responses


@asynccontextmanager
async def calling(app: App, **limits: float) -> AsyncIterator[Caller]:
    """Connects within the block; nothing is left of the connection behind it."""
    caller = Caller(app, **limits)
    yield caller
    caller.socket.lose()
    await asyncio.gather(*caller.state.tasks, return_exceptions=True)
    assert not caller.state.connections
    assert caller.released == 1


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with path and body, when that is read."""
    body, more = b"", True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body += event["body"]
        more = event["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode() + b":" + body})


async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
    """Answers 404 without reading."""
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body"})


class Waits:
    """An application that answers when it is told to, and notes when its client leaves."""

    def __init__(self, *, starts: bool = False) -> None:
        self._starts = starts
        self.answer = asyncio.Event()
        self.started = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        """Waits."""
        watching = asyncio.create_task(self._watch(receive))
        if self._starts:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        self.started.set()
        await self.answer.wait()
        if not self._starts:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})
        await watching

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()
        self.answer.set()


async def test_a_pipeline_is_answered_in_order() -> None:
    """A thousand requests in one piece: none is lost, and reading waits meanwhile."""
    async with calling(echo) as caller:
        await caller.says(b"".join(GET % number for number in range(1000)))
        assert not caller.socket.reading
        await caller.until(lambda: len(caller.answers.statuses) == 1000)
        assert caller.answers.bodies == [b"/%d:" % number for number in range(1000)]
        assert caller.socket.reading


async def test_a_body_is_read_as_it_arrives() -> None:
    """And waits while the application does not read."""
    async with calling(echo) as caller:
        await caller.says(CHUNKED, b"5\r\nhello\r\n", b"6\r\n, you \r\n", b"0\r\n\r\n")
        await caller.until(lambda: bool(caller.answers.bodies))
        assert caller.answers.bodies == [b"/up:hello, you "]


async def test_back_pressure() -> None:
    """Nothing more is read than the application takes."""
    app = Waits()
    app_reads = asyncio.Event()

    async def reads_late(scope: Any, receive: Any, send: Any) -> None:
        await app_reads.wait()
        await echo(scope, receive, send)

    async with calling(reads_late) as caller:
        await caller.says(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
        for _ in range(3):
            if caller.socket.reading:
                await caller.says(b"x" * 100_000)
        assert not caller.socket.reading
        app_reads.set()
        await caller.until(lambda: caller.socket.reading)
        await caller.says(b"x" * 200_000)
        await caller.until(lambda: bool(caller.answers.bodies))
        assert len(caller.answers.bodies[0]) == 300_000 + len("/:")
    del app


# The client's end.


async def test_a_half_close_is_no_end() -> None:
    """Requests that came whole are answered, and then the connection ends (RFC 9112, 9.6)."""
    app = Waits()
    async with calling(app) as caller:
        await caller.says(GET % 1)
        await app.started.wait()
        assert caller.socket.receive_eof()
        app.answer.set()
        await caller.until(lambda: caller.socket.closed)
        assert caller.answers.bodies == [b"late"]
        assert caller.answers.headers[-1][b"connection"] == b"close"


async def test_a_pipeline_and_a_half_close() -> None:
    """All of them are answered."""
    async with calling(echo) as caller:
        caller.socket.receive(b"".join(GET % number for number in range(50)))
        assert caller.socket.receive_eof()
        await caller.until(lambda: caller.socket.closed)
        assert caller.answers.statuses == [200] * 50


async def test_a_half_close_is_probed() -> None:
    """An interim response finds out whether the client has left; one that is there passes over it."""
    app = Waits()
    async with calling(app) as caller:
        await caller.says(GET % 1)
        await app.started.wait()
        assert caller.socket.receive_eof()
        await caller.until(lambda: bool(caller.socket.written))
        assert caller.socket.written[0] == CONTINUE
        assert PROBE_SECONDS < 1


@pytest.mark.parametrize("starts", [True, False])
async def test_an_end_in_the_middle_is_the_end(*, starts: bool) -> None:
    """Of a request, or of a response that has started: the application is told at once."""
    app = Waits(starts=starts)
    async with calling(app) as caller:
        await caller.says(GET % 1 if starts else CHUNKED + b"5\r\nhel")
        await app.started.wait()
        assert not caller.socket.receive_eof()
        await asyncio.wait_for(app.left.wait(), 5)


# The limits of time.


async def test_a_silent_connection_is_closed() -> None:
    """Without a word: nothing was asked."""
    async with calling(echo, head_timeout=0.05) as caller:
        await caller.until(lambda: caller.socket.closed)
        assert caller.socket.written == []


async def test_a_dripping_head_is_refused() -> None:
    """However often a byte comes: the whole head has its time."""
    async with calling(echo, head_timeout=0.1) as caller:
        head = iter(GET % 1)
        while not caller.socket.written:
            await caller.says(bytes([next(head)]))
            await asyncio.sleep(0.02)
        assert caller.answers.statuses == [408]
        assert json.loads(caller.answers.bodies[0])["code"] == 4


async def test_a_head_behind_a_response_has_its_time() -> None:
    """It counts from its first byte, not from the response before."""
    async with calling(echo, head_timeout=0.1, keep_alive=5) as caller:
        await caller.says(GET % 1)
        await caller.until(lambda: len(caller.answers.statuses) == 1)
        await asyncio.sleep(0.2)
        assert not caller.socket.closed
        await caller.says(b"GET")
        await caller.until(lambda: len(caller.answers.statuses) == 2)
        assert caller.answers.statuses == [200, 408]


async def test_a_body_without_progress_is_refused() -> None:
    """Each part of it starts the time anew; the application is told that its client has left."""
    app = Waits()
    async with calling(app, body_timeout=0.1) as caller:
        await caller.says(CHUNKED)
        for _ in range(5):
            await asyncio.sleep(0.04)
            await caller.says(b"1\r\nx\r\n")
        assert not caller.socket.written
        await caller.until(lambda: bool(caller.socket.written))
        assert caller.answers.statuses == [408]
        await asyncio.wait_for(app.left.wait(), 5)


async def test_a_body_that_the_application_does_not_read_is_no_silence() -> None:
    """Then it is not the client that is waited for."""

    async def sleeps(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.3)
        await echo(scope, receive, send)

    async with calling(sleeps, body_timeout=0.1) as caller:
        await caller.says(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        await caller.says(b"x" * 80_000)
        await caller.until(lambda: caller.socket.reading and not caller.socket.written)
        await asyncio.sleep(0.2)
        await caller.says(b"x" * 20_000)
        await caller.until(lambda: bool(caller.socket.written))
        assert caller.answers.statuses == [200]


async def test_a_stream_that_has_started_may_be_silent() -> None:
    """A client that streams both ways may have nothing to say."""
    app = Waits(starts=True)
    async with calling(app, body_timeout=0.05) as caller:
        await caller.says(CHUNKED)
        await asyncio.sleep(0.2)
        assert not caller.socket.closed
        app.answer.set()
        await caller.until(lambda: bool(caller.answers.bodies[0]))
        assert caller.answers.statuses == [200]


async def test_a_request_may_cross_the_shutdown() -> None:
    """On a connection that has just become idle, or is new; one that sends none is closed soon."""
    async with calling(echo) as caller, calling(echo) as silent, calling(echo) as idle:
        await idle.says(GET % 1)
        await idle.until(lambda: idle.answers.statuses == [200])
        idle.protocol.shutdown()
        for each in (caller, silent):
            each.door.crossing = 0.3
            await each.says(GET % 1)
            await each.until(lambda: caller.answers.statuses == [200])
            each.protocol.shutdown()
        assert [each.socket.closed for each in (caller, silent, idle)] == [False, False, True]
        await caller.says(GET % 2)
        await caller.until(lambda: caller.socket.closed)
        assert caller.answers.statuses == [200, 200]
        assert caller.answers.headers[1][b"connection"] == b"close"
        await silent.until(lambda: silent.socket.closed)
        assert silent.answers.statuses == [200]


async def test_a_body_to_a_404() -> None:
    """A short one is read past; a long one ends the connection, which is read a little longer."""
    async with calling(refuse) as caller:
        await caller.says(CHUNKED)
        await caller.until(lambda: caller.answers.statuses == [404])
        await caller.says(b"5\r\nhello\r\n0\r\n\r\n" + GET % 1)
        await caller.until(lambda: caller.answers.statuses == [404, 404])
        await caller.says(CHUNKED)
        await caller.until(lambda: caller.answers.statuses == [404] * 3)
        for _ in range((MAX_PROMISED_BYTES + LINGER_BYTES) // 65536 + 3):
            await caller.says(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await caller.until(lambda: caller.socket.closed)


async def test_reading_goes_on_behind_a_response_that_did_not_wait_for_its_body() -> None:
    """It had stopped, because nobody read the body, and would have for the requests behind."""
    answer = asyncio.Event()

    async def late(scope: Any, _receive: Any, send: Any) -> None:
        await answer.wait()
        await refuse(scope, _receive, send)

    async with calling(late) as caller:
        await caller.says(CHUNKED + b"20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\n\r\n")
        assert not caller.socket.reading
        answer.set()
        await caller.until(lambda: caller.socket.reading)
        await caller.says(GET % 1)
        await caller.until(lambda: caller.answers.statuses == [404, 404])


async def test_a_long_body_behind_a_response_that_promised_to_go_on() -> None:
    """The client may have sent it all, and another request behind it, which would be lost without a word."""
    async with calling(refuse) as caller:
        await caller.says(CHUNKED)
        await caller.until(lambda: caller.answers.statuses == [404])
        for _ in range(4 * MAX_DISCARDED_BYTES // 65536):
            await caller.says(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await caller.says(b"0\r\n\r\n" + GET % 1)
        await caller.until(lambda: caller.answers.statuses == [404, 404])


async def test_a_body_to_a_404_that_does_not_come() -> None:
    """It has the time of a head."""
    async with calling(refuse, head_timeout=0.1) as caller:
        await caller.says(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        await caller.until(lambda: caller.answers.statuses == [404])
        await caller.until(lambda: caller.socket.ended or caller.socket.closed)


async def test_a_reset_that_the_loop_has_not_told() -> None:
    """To end the own side fails then (ENOTCONN); the end of the response does not."""
    async with calling(echo) as caller:

        def lost() -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        caller.socket.write_eof = lost  # type: ignore[method-assign] # a socket that fails
        await caller.says(b"GET /" + b"a" * 100_000)
        assert caller.answers.statuses == [414]
        caller.socket.lose()
        assert caller.state.connections == set()


async def test_what_ends_is_read_a_little_longer() -> None:
    """A refused request is followed by more, which would reset the connection and lose the response."""
    async with calling(echo) as caller:
        await caller.says(b"GET /" + b"a" * 100_000)
        assert caller.answers.statuses == [414]
        assert (caller.socket.ended, caller.socket.closed, caller.socket.reading) == (
            True,
            False,
            True,
        )
        for _ in range(LINGER_BYTES // 65536 + 1):
            await caller.says(b"a" * 65536)
        assert caller.socket.closed
        assert LINGER_SECONDS < 5


# Faults.


async def test_an_application_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Before its response: 500 with a Status; in the middle: the connection is cut."""

    async def fails(scope: Any, _receive: Any, send: Any) -> None:
        if scope["path"] == "/2":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise LookupError("a fault")

    with caplog.at_level(logging.ERROR):
        async with calling(fails) as caller:
            await caller.says(GET % 1)
            await caller.until(lambda: bool(caller.socket.written))
            assert caller.answers.statuses == [500]
            assert json.loads(caller.answers.bodies[0]) == {"code": 13, "message": "internal error"}
            await caller.says(GET % 2)
            await caller.until(lambda: caller.socket.closed)
            assert not b"".join(caller.socket.written).endswith(b"0\r\n\r\n")
    assert "a fault" in caplog.text


async def test_a_body_that_breaks_its_framing() -> None:
    """It is a 400 for a request that waits for it; nothing is written behind a response."""
    for app, statuses in ((echo, [400]), (refuse, [404])):
        async with calling(app) as caller:
            await caller.says(CHUNKED + b"1\r\nx\r\n", b"zz\r\n")
            await caller.until(lambda: caller.socket.closed or caller.socket.ended)
            assert caller.answers.statuses == statuses


async def test_a_body_that_breaks_behind_what_was_read_ahead() -> None:
    """It is noticed when the application has read what came before."""

    async def reads_late(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05)
        await echo(scope, receive, send)

    async with calling(reads_late) as caller:
        await caller.says(CHUNKED, b"14000\r\n" + b"x" * 0x14000 + b"\r\nzz\r\n")
        assert not caller.socket.reading
        await caller.until(lambda: bool(caller.socket.written))
        assert caller.answers.statuses == [400]


async def test_who_is_cancelled_is_cut_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server that stops cancels what it waits for no longer."""
    app = Waits(starts=True)
    with caplog.at_level(logging.INFO):
        async with calling(app) as caller:
            await caller.says(GET % 1)
            await app.started.wait()
            for task in list(caller.state.tasks):
                task.cancel()
            await caller.until(lambda: caller.socket.closed)
    assert "Traceback" not in caplog.text


async def test_expectations() -> None:
    """100 is sent when the application reads, once, and only over HTTP/1.1."""
    head = b"POST /a HTTP/1.%d\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    for minor, interim in ((1, CONTINUE), (0, b"")):
        async with calling(echo) as caller:
            await caller.says(head % minor)
            for _ in range(5):
                await asyncio.sleep(0)
            assert b"".join(caller.socket.written) == interim
            caller.socket.written.clear()
            await caller.says(b"x")
            await caller.until(lambda: bool(caller.socket.written))
            assert b"".join(caller.socket.written).startswith(b"HTTP/1.1 200 ")
