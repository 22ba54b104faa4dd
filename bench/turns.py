"""Connections that take turns with a server: a prepared request, its answer, the next request.

A request is prepared, but for numbers of its own, so a turn costs the client a few microseconds.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import time
from collections.abc import Callable
from typing import ClassVar, Final, cast

_ANSWER_SECONDS: Final = 120
_CHUNKED_END: Final = b"0\r\n\r\n"
_DIGITS: Final = 10
_LENGTH: Final = b"\r\ncontent-length: "
NUMBER: Final = b"<a number of its own>"
"""Stands in a request where each turn has another number, of 32 hexadecimal digits."""
DIGITS: Final = b"<ten digits of its own>"
"""Stands in a request where each turn has the same number, as ten decimal digits."""


class BadAnswer(Exception):
    """The server answered what it should not, or left."""


class Turns:
    """What all connections have seen together."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.going = True
        self.failure: BadAnswer | None = None
        self.numbers = itertools.count(1)
        self._asked = 0
        self._wanted = 0
        self._changed = asyncio.Event()

    def begin(self) -> float:
        """Notes that a server was asked; returns when."""
        self._asked += 1
        return time.perf_counter()

    def end(self, began: float) -> None:
        """Notes that it has answered."""
        self.latencies.append(time.perf_counter() - began)
        self._asked -= 1
        if not self._asked or len(self.latencies) == self._wanted:
            self._changed.set()

    def fail(self, problem: str) -> None:
        """Keeps the first thing that went wrong."""
        self.failure = self.failure or BadAnswer(problem)
        self.going = False
        self._changed.set()

    async def answers(self, count: int) -> None:
        """Waits until there are so many, counted anew.

        Raises:
            BadAnswer: something has gone wrong.
        """
        self._wanted = count
        await self._until(lambda: len(self.latencies) >= count)

    async def rest(self) -> None:
        """Asks no more, and waits until all that was asked is answered.

        A server that goes on with requests whose client has left would do so in the next one's time.

        Raises:
            BadAnswer: something has gone wrong.
        """
        self.going = False
        await self._until(lambda: not self._asked)

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(_ANSWER_SECONDS):
            while not reached() and self.failure is None:
                self._changed.clear()
                await self._changed.wait()
        if self.failure is not None:
            raise self.failure


class Connection(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    takes_all: ClassVar = False
    """Whether one connection takes the turns of all: several requests wait for their answers on it."""

    def __init__(self, turns: Turns, request: bytes) -> None:
        self._turns = turns
        self._request = request
        numbered = NUMBER in request or DIGITS in request
        self._template = _template(request) if numbered else None
        self._began = 0.0
        self.ready = asyncio.get_running_loop().create_future()
        """Done when the first turn may begin."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Makes ready."""
        self.transport = cast("asyncio.Transport", transport)
        self._greet()

    def connection_lost(self, error: Exception | None) -> None:
        """Takes it ill, if turns are still to be taken."""
        problem = f"the server closed the connection: {error}"
        if self._turns.going:
            self._turns.fail(problem)
        if not self.ready.done():
            self.ready.set_exception(BadAnswer(problem))

    def ask(self) -> None:
        """Begins a turn."""
        self._began = self._turns.begin()
        self.transport.write(self.request())

    def request(self) -> bytes:
        """Returns the request of the next turn."""
        if self._template is None:
            return self._request
        return self._template % {b"n": next(self._turns.numbers)}

    def answered(self) -> None:
        """Ends a turn, and begins the next."""
        self._turns.end(self._began)
        if self._turns.going:
            self.ask()

    def _greet(self) -> None:
        self.ready.set_result(None)


def _template(request: bytes) -> bytes:
    """Returns a request as a format of its number."""
    escaped = request.replace(b"%", b"%%")
    return escaped.replace(NUMBER, b"%(n)032x").replace(DIGITS, b"%(n)010d")


class HttpConnection(Connection):
    """HTTP/1.1 with keep-alive; an answer has a Content-Length, or is chunked."""

    _head = b""
    _left: int | None = 0
    """Bytes of the body that are still to come; None is until the last chunk."""

    def data_received(self, data: bytes) -> None:
        """Follows an answer to its end."""
        if self._left == 0:
            head, end, body = (self._head + data).partition(b"\r\n\r\n")
            if not end:
                self._head = head
                return
            self._head = b""
            self._left = self._length(head)
            data = body
        if self._left is not None:
            self._left -= len(data)
            if self._left == 0:
                self.answered()
            return
        self._head = (self._head + data)[-len(_CHUNKED_END) :]
        if self._head == _CHUNKED_END:
            self._head, self._left = b"", 0
            self.answered()

    def _length(self, head: bytes) -> int | None:
        if not head.startswith(b"HTTP/1.1 200"):
            self._turns.fail(f"the server answered {head!r}")
        start = head.lower().find(_LENGTH)
        return int(head[start + len(_LENGTH) :].split(b"\r", 1)[0]) if start >= 0 else None


class StreamConnection(Connection):
    """A request that begins a stream; its one turn is over when the first of the answer has come."""

    _begun = False

    def data_received(self, data: bytes) -> None:
        """Looks whether it is a stream: 100 where a server reads on, 101 or 200."""
        if self._begun:
            return
        self._begun = True
        if not data.startswith((b"HTTP/1.1 100", b"HTTP/1.1 101", b"HTTP/1.1 200")):
            self._turns.fail(f"the server answered {data!r}")
        self._turns.end(self._began)


class WebSocketConnection(Connection):
    """A WebSocket on which each text frame is answered by one; frames are unmasked and whole (RFC 6455)."""

    _buffer = b""

    def data_received(self, data: bytes) -> None:
        """Takes the answer to the handshake, then frames."""
        self._buffer += data
        if not self.ready.done():
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if end:
                self._buffer = rest
                self._begin(head)
            return
        while len(self._buffer) >= 2 and len(self._buffer) >= (size := 2 + self._buffer[1]):
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            self._frame(frame)

    def _begin(self, head: bytes) -> None:
        if head.startswith(b"HTTP/1.1 101"):
            self.ready.set_result(None)
        else:
            self.ready.set_exception(BadAnswer(f"the server answered {head!r}"))

    def _frame(self, frame: bytes) -> None:
        if frame[0] == 0x81 and len(frame) < 128:
            self.answered()
        elif frame[0] != 0x89:  # a ping
            self._turns.fail(f"the server sent {frame!r}")

    def _greet(self) -> None:
        handshake, self._request = self._request.split(b"\r\n\r\n", 1)
        self.transport.write(handshake + b"\r\n\r\n")


def http_request(verb: str, target: str, body: bytes = b"", *, traced: bool = False) -> bytes:
    """Returns the bytes of a request; a traced one is of another trace in each turn."""
    head = f"{verb} {target} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n"
    if traced:
        head += f"traceparent: 00-{NUMBER.decode()}-00f067aa0ba902b7-01\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def browser_request(verb: str, target: str, token: str, body: bytes = b"") -> bytes:
    """Returns the bytes of a request as a page sends it by `fetch`, with a token and a trace.

    Target and body may have `DIGITS`. The head is that of Chromium, with the cookies that a site has.
    """
    head = {
        "host": "api.example",
        "connection": "keep-alive",
        "traceparent": f"00-{NUMBER.decode()}-00f067aa0ba902b7-01",
        "sec-ch-ua-platform": '"Linux"',
        "authorization": f"Bearer {token}",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Chrome/140.0.0.0 Safari/537.36",
        "accept": "application/json",
        "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
        "sec-ch-ua-mobile": "?0",
        "origin": "https://app.example",
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "cors",
        "sec-fetch-dest": "empty",
        "referer": "https://app.example/",
        "accept-encoding": "gzip, deflate, br, zstd",
        "accept-language": "en-GB,en;q=0.9,de;q=0.8",
        "cookie": "session=5f3e7ca1b29d48f0; theme=dark; _ga=GA1.1.1830192.1760000000",
    }
    if body:
        size = len(body) + body.count(DIGITS) * (_DIGITS - len(DIGITS))
        head |= {"content-type": "application/json", "content-length": str(size)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"{verb} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


def websocket_request(target: str, subprotocol: str, text: bytes) -> bytes:
    """Returns the bytes of a handshake, and behind them those of a masked text frame."""
    assert len(text) < 126
    head = websocket_handshake(target, subprotocol) + b"\r\n"
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    return head + bytes((0x81, 0x80 | len(text))) + mask + masked


def websocket_handshake(target: str, subprotocol: str) -> bytes:
    """Returns the bytes of a handshake, without the empty line at its end."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {target} HTTP/1.1\r\nhost: bench\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n"
        f"sec-websocket-protocol: {subprotocol}\r\n"
    ).encode()


async def connect(
    kind: Callable[[Turns, bytes], Connection],
    turns: Turns,
    *,
    port: int,
    request: bytes,
    count: int,
) -> list[Connection]:
    """Opens connections, each ready for its first turn."""
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(count):
        _, connection = await loop.create_connection(
            lambda: kind(turns, request), "127.0.0.1", port
        )
        connections.append(connection)
    await asyncio.gather(*(connection.ready for connection in connections))
    return connections
