"""Connections of HTTP/1.1 that are fuzzed: pipelines of all wires, cut anywhere, and forms of smuggling.

Each request has a number, and the application answers with it: no response may belong to another request.
`FUZZ_SECONDS` is how long it goes on (`make fuzz`); by default some seconds, with a fixed seed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import time
from dataclasses import dataclass
from random import Random
from typing import Any

import httptools
import pytest

from gateway.doors.http.door import Door, ServerState
from gateway.doors.http.limits import Limits, WebSocketLimits
from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Request
from gateway.doors.http1.connection import Connection
from gateway.doors.http1.protocol import Http1Protocol
from tests.doors.http1.served import Socket
from tests.doors.http1.test_websocket import frame

SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))
SEED = None if "FUZZ_SECONDS" in os.environ else 31
pytestmark = pytest.mark.timeout(60 + SECONDS)
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLING = [
    b"Content-Length: %d\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: %d",
    b"Content-Length: 0\r\nContent-Length: %d",
    b"Content-Length: 0, %d",
    b"Content-Length: %d\r\n Transfer-Encoding: chunked",
    b"Content-Length : %d",
    b"Content-Length:\x0b%d",
    b"Content-Length: %d\rTransfer-Encoding: chunked",
    b"X: y\nContent-Length: %d",
    b"Transfer-Encoding: xchunked\r\nX: %d",
    b"Transfer-Encoding: chunked, identity\r\nX: %d",
    b"Transfer-Encoding: identity, chunked\r\nX: %d",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\nX: %d",
    b"Transfer-Encoding : chunked\r\nX: %d",
    b"Transfer\x00-Encoding: chunked\r\nX: %d",
    b"Transfer-Encoding: \x00chunked\r\nX: %d",
    b"Content-Length: -%d",
    b"Content-Length: 0x%d",
]
"""Headers about whose meaning readers have disagreed (RFC 9112, section 11.2); %d is the size of a body."""


@dataclass
class Sent:
    """What one client sends."""

    data: bytes
    numbers: list[int]
    """Of the requests that may be answered, in order."""


def _chunked(random: Random, body: bytes) -> bytes:
    parts, at = [], 0
    while at < len(body):
        size = random.randint(1, len(body) - at)
        extension = (
            random.choice([b"", b";a", b";a=b", b';a="b"']) if random.random() < 0.3 else b""
        )
        extension = extension.lstrip()
        parts.append(b"%x%b\r\n%b\r\n" % (size, extension, body[at : at + size]))
        at += size
    trailers = random.choice(
        [b"", b"X-Trailer: 1\r\n", b"Host: other\r\nConnection: keep-alive\r\n"]
    )
    return b"".join(parts) + b"0\r\n" + trailers + b"\r\n"


def _request(random: Random, number: int) -> bytes:
    body = random.choice([b"", b"x", b"{}", HIDDEN, bytes(random.randbytes(200)), b"y" * 70_000])
    lines = [b"Host: x"]
    if random.random() < 0.3:
        lines.append(random.choice([b"Accept: text/event-stream", b"Cookie: a=b", b"X-A:  b\t "]))
    if random.random() < 0.15:
        upgrade = random.choice([b"h2c", b"websocket", b"foo, websocket", b"TLS/1.0"])
        lines += [b"Connection: Upgrade", b"Upgrade: " + upgrade]
        body = body or b"x"  # without a body it could be a handshake
    method = random.choice([b"GET", b"POST", b"PUT", b"DELETE"]) if body else b"GET"
    if not body:
        data = b""
    elif random.random() < 0.5:
        lines.append(b"Content-Length: %d" % len(body))
        data = body
    else:
        lines.append(b"Transfer-Encoding: chunked")
        data = _chunked(random, body)
    random.shuffle(lines)
    head = b"%b /%d HTTP/1.1\r\n" % (method, number) + b"\r\n".join(lines) + b"\r\n\r\n"
    return (b"\r\n" if random.random() < 0.05 else b"") + head + data


def _pipeline(random: Random) -> Sent:
    count = random.choice([1, 1, 2, 5, 30])
    return Sent(b"".join(_request(random, n) for n in range(count)), list(range(count)))


def _smuggling(random: Random) -> Sent:
    header = random.choice(SMUGGLING) % len(HIDDEN)
    head = b"POST /0 HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n"
    tail = random.choice([HIDDEN, b"0\r\n\r\n" + HIDDEN, b"1\r\nx\r\n0\r\n\r\n" + HIDDEN])
    return Sent(head + tail + _request(random, 1), [0, 1])


def _broken(random: Random) -> Sent:
    """Returns a pipeline in which some bytes are others; what is wrong then ends the connection."""
    sent = _pipeline(random)
    data = bytearray(sent.data)
    for _ in range(random.randint(1, 5)):
        at = random.randrange(len(data))
        kind = random.random()
        if kind < 0.5:
            data[at] = random.randrange(256)
        elif kind < 0.8:
            del data[at : at + random.randint(1, 20)]
        else:
            data[at:at] = random.choice([b"\r\n", b"\0", b"\n", b" ", b"\r\n\r\n", HIDDEN])
        if not data:
            return Sent(b"GET", [])
    return Sent(bytes(data), [])


def _websocket(random: Random) -> Sent:
    head = (
        b"GET /w HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    frames = [
        frame(
            random.randrange(16),
            random.randbytes(random.choice([0, 1, 5, 120, 300])),
            random.choice([0x80, 0, 0xC0]),
        )
        for _ in range(random.randint(0, 20))
    ]
    return Sent(head + b"".join(frames), [])


class Answers:
    """Reads the responses of one connection."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def read(self, data: bytes) -> None:
        """Reads all; what is no response raises."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Starts one."""
        self.bodies.append(b"")

    def on_headers_complete(self) -> None:
        """Keeps the status."""
        self.statuses.append(self._parser.get_status_code())

    def on_body(self, part: bytes) -> None:
        """Keeps a part of the body."""
        self.bodies[-1] += part


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the path, with and without reading, whole and in chunks."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    number = int(scope["path"][1:]) if scope["path"][1:].isdigit() else 0
    while number % 3 and (event := await receive())["type"] == "http.request":
        if not event["more_body"]:
            break
    body = scope["path"].encode()
    headers = [(b"content-length", b"%d" % len(body))] if number % 2 else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if number % 5 == 0:
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": body})


async def _send(random: Random, data: bytes, socket: Socket) -> None:
    """Sends some bytes in pieces, as far as they are read."""
    at = 0
    while at < len(data) and not socket.closed:
        if not socket.reading:
            await asyncio.sleep(0)
            continue
        sizes = [1, 2, 7, 100, 5000, 300_000] if len(data) < 5000 else [300_000]
        size = random.choice([random.choice(sizes), random.randint(1, 70_000)])
        socket.receive(data[at : at + size])
        at += size
        if random.random() < 0.3:
            await asyncio.sleep(0)
        if random.random() < 0.02:
            socket.pause_protocol()
            await asyncio.sleep(0)
            socket.resume_protocol()


async def _drive(random: Random, sent: Sent, found: list[str]) -> Answers:
    state, socket = ServerState(), Socket()
    limits = WebSocketLimits(65536, 60, compression=True)
    socket.set_protocol(Http1Protocol(Door(_app, state, limits)))
    await _send(random, sent.data, socket)
    for _ in range(400):
        if socket.closed or not (state.tasks or len(socket.written) < len(sent.numbers)):
            break
        await asyncio.sleep(0)
    if random.random() < 0.5 and not socket.closed:
        socket.receive_eof()
    socket.lose()
    for _ in range(20):
        await asyncio.sleep(0)
    if state.connections or state.tasks:
        found.append(f"left behind: {state.tasks} {state.connections}")
    answers = Answers()
    written = b"".join(socket.written)
    if not written.startswith(b"HTTP/1.1 101 "):
        answers.read(written)
    return answers


def _problems(sent: Sent, answers: Answers) -> list[str]:
    """Returns what is wrong with the responses to a client."""
    numbers = []
    for status, body in zip(answers.statuses, answers.bodies, strict=True):
        if status == 200:
            if not re.fullmatch(rb"/\d+", body):
                return [f"a response to a request that was none: {body!r}"] if sent.numbers else []
            numbers.append(int(body[1:]))
    if sent.numbers and numbers != sent.numbers[: len(numbers)]:
        return [f"responses out of order: {numbers}"]
    return []


def _open(random: Random) -> Sent:
    return random.choice([_pipeline, _pipeline, _smuggling, _broken, _broken, _websocket])(random)


async def test_nothing_odd_confuses_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    """No response belongs to another request, no exception is left, and nothing of a connection stays."""
    random = Random(SEED)
    found: list[str] = []
    uncaught: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: uncaught.append(str(context)))
    until, connections = time.monotonic() + SECONDS, 0
    try:
        with caplog.at_level(logging.ERROR):
            while time.monotonic() < until and not found:
                seed = random.getrandbits(64)
                one = Random(seed)
                sent = _open(one)
                answers = await _drive(one, sent, found)
                problems = _problems(sent, answers)
                if (
                    sent.numbers
                    and not problems
                    and b"hidden" not in sent.data
                    and answers.statuses != [200] * len(sent.numbers)
                ):
                    problems.append(f"not all were answered: {answers.statuses}")
                found += [f"{problem} (seed {seed}): {sent.data[:2000]!r}" for problem in problems]
                connections += 1
    finally:
        loop.set_exception_handler(None)
    gc.collect()
    assert found == []
    assert uncaught == []
    assert [record.getMessage() for record in caplog.records] == []
    assert sum(isinstance(each, (Http1Protocol, Connection)) for each in gc.get_objects()) < 5
    print(f"{connections} connections")


def test_cutting_changes_nothing() -> None:
    """However received bytes are cut, the same requests come out, and the same is refused."""
    random = Random(SEED)
    until = time.monotonic() + SECONDS / 2
    while time.monotonic() < until:
        sent = _open(random)
        whole = _read(sent.data, [len(sent.data)])
        cuts = sorted(random.choices(range(len(sent.data) + 1), k=random.randint(1, 20)))
        cut = _read(sent.data, [*cuts, len(sent.data)])
        # a handshake is one if what came before it was answered, which depends on the cuts
        assert cut == whole or cut[-1] or whole[-1], sent.data


def _read(data: bytes, cuts: list[int]) -> list[Any]:
    """Returns the requests of some bytes, each answered when it is whole."""
    connection, at = Connection(Limits()), 0
    found: list[Any] = []
    open_request: Request | None = None
    for cut in cuts:
        connection.receive(data[at:cut])
        at = cut
        while True:
            if open_request is None:
                request = connection.next_request()
                if request is None or isinstance(request, Rejection):
                    break
                open_request = request
                found.append([request.method, request.path, b""])
            while part := open_request.read():
                found[-1][2] += part
                connection.receive(b"")
            if not open_request.complete:
                break
            open_request = None
            connection.end_response()
    if connection.rejected:
        if open_request is not None:
            found.pop()  # what was read of it before it broke off depends on the cuts
        found.append("refused")  # of two faults the first one that is seen
    handshake = connection.handshake()
    return [*found, handshake and (handshake[0].path, handshake[1])]
