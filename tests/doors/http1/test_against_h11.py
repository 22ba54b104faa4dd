"""The parser beside h11, which follows RFC 9112 by its grammar: where the two differ is listed by name."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gateway.doors.http.limits import Limits
from gateway.doors.http.rejection import Rejection
from gateway.doors.http1.connection import Connection

h11 = pytest.importorskip("h11")

COUNT = 3_000


def _is_stricter(data: bytes) -> bool:
    """Whether a request has what is refused here and not by h11: RFC 9112 lets a server choose."""
    head = data.partition(b"\r\n\r\n")[0]
    lengths, chunked = head.count(b"Content-Length"), b"Transfer-Encoding" in head
    return (
        b"\r\n X" in head  # a folded line (5.2)
        or lengths > 1  # the same length twice (6.3)
        or b"5, 5" in head
        or (lengths > 0 and chunked)  # two ways to say where the body ends (6.1)
        or (chunked and b"HTTP/1.0" in head)  # (6.1)
    )


def _ours(data: bytes) -> tuple[str, str, bytes] | None:
    """Returns method, target and body of the first request; None if it is refused or not whole."""
    connection = Connection(Limits())
    connection.receive(data)
    request = connection.next_request()
    if request is None or isinstance(request, Rejection) or connection.body_broken:
        return None
    if not request.complete:
        return None
    target = request.path + ("?" + request.query.decode("latin-1") if request.query else "")
    return request.method, target, request.read()


def _theirs(data: bytes) -> tuple[str, str, bytes] | None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    head: Any = None
    body = b""
    try:
        while True:
            event = connection.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                return None
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                target = bytes(head.target).decode("latin-1").rstrip("?")
                return bytes(head.method).decode(), target, body
    except h11.RemoteProtocolError:
        return None


def _made(random: Random) -> bytes:
    lines = [b"Host: a"]
    lines += random.choices(
        [
            b"X: y",
            b"X:y  ",
            b"X : y",
            b" X: y",
            b"Content-Length: 5",
            b"Content-Length: 5, 5",
            b"Content-Length: +5",
            b"Content-Length: 05",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Transfer-Encoding: Chunked",
            b"Host: b",
            b"X: \x00",
            b"X: a\rb",
            b"",
        ],
        k=random.randint(0, 2),
    )
    method, version = (
        random.choice([b"GET", b"POST", b"G ET"]),
        random.choice([b"1.1", b"1.1", b"1.0"]),
    )
    head = b"%b /a?b HTTP/%b\r\n" % (method, version) + b"\r\n".join(lines) + b"\r\n\r\n"
    return head + random.choice(
        [
            b"",
            b"hello",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
            b"g\r\n",
        ]
    )


def test_what_h11_refuses_is_refused() -> None:
    """What both take is the same request with the same body; here more is refused, by name."""
    random = Random(11)
    for _ in range(COUNT):
        data = _made(random)
        ours, theirs = _ours(data), _theirs(data)
        assert ours == theirs or (ours is None and _is_stricter(data)), data
