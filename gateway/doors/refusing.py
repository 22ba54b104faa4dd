"""Refuses connections with words: a whole response of HTTP/1.1, for which nothing of the request is read.

A socket that is closed while bytes of its client are unread resets the connection, and the client may never
see the response (RFC 9112, 9.6). So it is only half-closed, and closed a second later. A bounded number waits
for that, all on one timer; beyond it the oldest are closed early. Over TLS there are no words without a
handshake, which would cost more than a request: such connections are closed at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import suppress
from typing import Final

import orjson

from gateway.doors.http.rejection import RESOURCE_EXHAUSTED, UNAVAILABLE

MAX_LINGERING: Final = 64
"""Refused connections that are half-closed, for all sockets together."""
LINGER_SECONDS: Final = 1.0
_REASONS: Final = {429: "Too Many Requests", 503: "Service Unavailable"}
_CODES: Final = {429: RESOURCE_EXHAUSTED, 503: UNAVAILABLE}


def refusal(status: int, message: str) -> bytes:
    """Returns a response that refuses a connection, with the JSON of a `google.rpc.Status`."""
    body = orjson.dumps({"code": _CODES[status], "message": message})
    return b"\r\n".join(
        (
            f"HTTP/1.1 {status} {_REASONS[status]}".encode(),
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"retry-after: 1",
            b"connection: close",
            b"",
            body,
        )
    )


class Refusing:
    """Refuses connections; none is read, and none has a task."""

    def __init__(self, *, secure: bool) -> None:
        """Takes whether the connections are over TLS."""
        self._secure = secure
        self._lingering: deque[tuple[float, socket.socket]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._lingering)

    def refuse(self, connection: socket.socket, response: bytes) -> None:
        """Answers a connection, and closes it."""
        if self._secure:
            connection.close()
            return
        if len(self._lingering) >= MAX_LINGERING:  # whoever has its answer finds no more of them
            self._lingering.popleft()[1].close()
        try:
            connection.settimeout(0)
            connection.send(response)  # an empty buffer takes it whole
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        self._lingering.append((loop.time() + LINGER_SECONDS, connection))
        if self._timer is None:
            self._timer = loop.call_later(LINGER_SECONDS, self._close_due)

    def _close_due(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._lingering and self._lingering[0][0] <= loop.time():
            self._lingering.popleft()[1].close()
        if self._lingering:
            self._timer = loop.call_at(self._lingering[0][0], self._close_due)

    def close(self) -> None:
        """Closes what lingers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._lingering:
            with suppress(OSError):
                self._lingering.popleft()[1].close()
