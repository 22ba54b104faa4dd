"""The rules of HTTP/1.1 on one connection, without I/O: RFC 9112 and RFC 9110 by their sections."""

from __future__ import annotations

import json

import pytest

from gateway.doors.http.limits import (
    MAX_DISCARDED_BYTES,
    MAX_PIPELINED,
    MAX_PROMISED_BYTES,
    READ_AHEAD_BYTES,
    Limits,
)
from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Request
from gateway.doors.http1.connection import Connection
from gateway.doors.http1.request_parser import HEAD_PIECE

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
DATE = ((b"date", b"now"),)


def connection(**limits: int) -> Connection:
    """Makes a connection."""
    return Connection(Limits(**limits))


def received(data: bytes, *, pieces: int = 0, **limits: int) -> list[Request | Rejection]:
    """Returns what is read of some bytes, each request answered as soon as it is whole."""
    server = connection(**limits)
    size = pieces or len(data) or 1
    found: list[Request | Rejection] = []
    for at in range(0, len(data), size):
        server.receive(data[at : at + size])
        while (request := server.next_request()) is not None:
            found.append(request)
            if isinstance(request, Rejection):
                return found
            if not request.complete:
                break
            server.end_response()
        if found and isinstance(last := found[-1], Request) and last.complete and server.responding:
            server.end_response()
    return found


def answer(server: Connection, status: int = 200, body: bytes = b"hello") -> bytes:
    """Answers the request that is next, without a length; returns all bytes."""
    response = server.response()
    data = server.start_response(response, status, [], DATE)
    data += response.body(body, more=True) + response.body(b"", more=False)
    server.end_response()
    return data


def only(data: bytes, **limits: int) -> Request:
    """Returns the one request that some bytes are."""
    (request,) = received(data, **limits)
    assert isinstance(request, Request)
    assert request.complete
    return request


def rejected(data: bytes, **limits: int) -> Rejection:
    """Returns what is wrong with some bytes."""
    *before, rejection = received(data, **limits)
    assert before == []
    assert isinstance(rejection, Rejection)
    return rejection


def test_a_request() -> None:
    """Its parts, with the names of its headers in lower case, and its values as they came."""
    request = only(
        b"POST /a%2Fb?q=%20 HTTP/1.1\r\nHost: x:80\r\nX-A:  b c \r\nContent-Length: 2\r\n\r\nhi"
    )

    assert (request.method, request.path, request.query) == ("POST", "/a%2Fb", b"q=%20")
    assert request.headers == [(b"host", b"x:80"), (b"x-a", b"b c"), (b"content-length", b"2")]
    assert request.read() == b"hi"
    assert request.keep_alive


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/a", "/a", b"", b"x"),
        (b"/a?b?c", "/a", b"b?c", b"x"),
        (b"http://other:81/a?b", "/a", b"b", b"other:81"),
        (b"http://other", "/", b"", b"other"),
        (b"http://[::1]:8080/a", "/a", b"", b"[::1]:8080"),
    ],
)
def test_targets(target: bytes, path: str, query: bytes, host: bytes) -> None:
    """Origin form and absolute form, whose authority wins over `Host` (RFC 9112, 3.2)."""
    request = only(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)

    assert (request.path, request.query) == (path, query)
    assert dict(request.headers)[b"host"] == host


def test_the_target_of_the_server_itself() -> None:
    """OPTIONS alone has it (RFC 9110, 9.3.7)."""
    assert only(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").path == "*"
    assert rejected(b"GET * HTTP/1.1\r\nHost: x\r\n\r\n").status == 400


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\rHost: a\r\r", 400),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/x.1\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            501,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nx", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 400),
    ],
)
def test_what_is_refused(head: bytes, status: int) -> None:
    """With the status that HTTP has for it, wherever the bytes are cut, and with a Status as its body."""
    for pieces in (0, 1, 7):
        rejection = received(head, pieces=pieces)[-1]
        assert isinstance(rejection, Rejection), pieces
        assert rejection.status == status
        body = json.loads(rejection.body())
        assert body.keys() == {"code", "message"}


def test_folded_lines() -> None:
    """A folded line is refused, or read as one line (RFC 9112, 5.2); never as two headers."""
    (found,) = received(b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n Content-Length: 5\r\n\r\n")

    if isinstance(found, Rejection):
        assert found.status == 400
    else:
        assert b"content-length" not in dict(found.headers)
        assert b"\n" not in dict(found.headers)[b"x"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 70_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Y: b\r\n" * 10_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"Y" * 70_000, 431),
    ],
)
def test_long_heads(head: bytes, status: int) -> None:
    """The limits hold while the head arrives, however it is cut."""
    for pieces in (0, 1000, 50_000):
        (rejection,) = received(head, pieces=pieces)
        assert isinstance(rejection, Rejection)
        assert rejection.status == status


def test_heads_within_the_limits() -> None:
    """A head as long as the limit, and as many headers as that; also behind another request."""
    start = b"GET / HTTP/1.1\r\nHost: a\r\n"
    long = start + b"X: " + b"b" * (64 * 1024 - len(start) - 7) + b"\r\n\r\n"
    many = start + b"X: b\r\n" * 99 + b"\r\n"
    assert len(long) == 64 * 1024
    for data in (long, many, GET + long, GET + many + GET):
        assert all(isinstance(each, Request) for each in received(data))


def test_trailers_have_limits() -> None:
    """As many as headers, and as long as a head; they are no headers."""
    start = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
    request = only(start + b"Authorization: b\r\n\r\n")
    assert b"authorization" not in dict(request.headers)
    assert request.read() == b"hi"
    for trailers in (b"X: b\r\n" * 101 + b"X: b", b"X: " + b"b" * 500_000):
        for size in (1_000_000, 5_000):
            server, data = connection(), start + trailers + b"\r\n\r\n"
            for at in range(0, len(data), size):
                server.receive(data[at : at + size])
            assert server.body_broken
            assert server.rejection().status == 431


@pytest.mark.parametrize("chunk", [b"1;a=%b\r\nx\r\n" % (b"b" * 1000), b"1\r\nx\r\n"])
def test_what_stands_around_chunks_has_a_limit(chunk: bytes) -> None:
    """Extensions of chunks are read past, and not without end; small chunks are chunks."""
    server = connection()
    server.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    request = server.next_request()
    assert isinstance(request, Request)
    for _ in range(200):
        server.receive(chunk * 100)
        request.read()

    assert server.rejected is (len(chunk) > 100)


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 0])
def test_bytes_are_cut_anywhere(pieces: int) -> None:
    """Several requests in a row, with bodies of both kinds, are the same however they are cut."""
    data = (
        b"\r\nPOST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n"
        b"POST /3 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nxyz"
        b"GET /4 HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    found = received(data, pieces=pieces)

    assert [each.path for each in found if isinstance(each, Request)] == ["/1", "/2", "/3", "/4"]
    assert [each.read() for each in found if isinstance(each, Request)] == [
        b"hello",
        b"abc",
        b"xyz",
        b"",
    ]


def test_the_last_request_is_the_last() -> None:
    """What comes behind a request that closes is not looked at, not even as an error."""
    closing = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    for behind in (GET, b"\x00garbage"):
        for pieces in (0, 1):
            (request,) = received(closing + behind, pieces=pieces)
            assert isinstance(request, Request)
            assert not request.keep_alive


def test_http_1_0_closes() -> None:
    """Its client knows no chunks: the end of the connection is the end of the body."""
    server = connection()
    server.receive(b"GET / HTTP/1.0\r\n\r\n")
    assert isinstance(server.next_request(), Request)

    assert answer(server) == b"HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\n\r\nhello"
    assert server.closing


def test_a_body_without_a_length_is_chunked() -> None:
    """And an empty part is no last chunk."""
    server = connection()
    server.receive(GET)
    server.next_request()

    assert answer(server) == (
        b"HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    assert server.idle


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_a_response_without_content(method: bytes, status: int) -> None:
    """Nothing of a body is written, which would be read as the next response (RFC 9112, 6.3)."""
    server = connection()
    server.receive(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.next_request()
    data = answer(server, status)

    assert data.endswith(b"date: now\r\n\r\n")
    assert server.idle


def test_a_content_length_is_kept() -> None:
    """A body that is longer or shorter is a fault of the application."""
    for parts, fails in (
        ([b"abc"], False),
        ([b"ab"], True),
        ([b"abcd"], True),
        ([b"a", b"bc"], False),
    ):
        server = connection()
        server.receive(GET)
        server.next_request()
        response = server.response()
        server.start_response(response, 200, [(b"content-length", b"3")], ())
        try:
            for part in parts[:-1]:
                response.body(part, more=True)
            response.body(parts[-1], more=False)
            failed = False
        except ValueError:
            failed = True
        assert failed is fails
        assert response.complete is not fails


@pytest.mark.parametrize(
    "header", [(b"a b", b"c"), (b"a", b"b\r\nc: d"), (b"", b"c"), (b"a", b"\0")]
)
def test_an_application_cannot_split_a_response(header: tuple[bytes, bytes]) -> None:
    """A header that would be more than one is refused."""
    server = connection()
    server.receive(GET)
    server.next_request()
    with pytest.raises(ValueError, match="header"):
        server.start_response(server.response(), 200, [header], ())


def test_pipelined_requests_wait() -> None:
    """Of ten thousand requests some more than may wait are parsed; all are read in the end, in order."""
    total, size = 10_000, 256 * 1024
    data = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(total))
    server = connection()
    paths: list[str] = []
    most = 0
    for at in range(0, len(data), size):
        server.receive(data[at : at + size])
        assert not server.wants_data
        while (request := server.next_request()) is not None:
            assert isinstance(request, Request)
            most = max(most, len(server._parser.requests))
            paths.append(request.path)
            server.end_response()
        assert server.wants_data

    assert paths == [f"/{number}" for number in range(total)]
    assert most <= MAX_PIPELINED + HEAD_PIECE // len(GET) + 1


def test_a_body_that_is_not_read_waits() -> None:
    """Beyond the read-ahead nothing more is wanted, until it is read."""
    server = connection()
    server.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    request = server.next_request()
    assert isinstance(request, Request)
    wanted = [server.wants_data]
    server.receive(b"x" * (READ_AHEAD_BYTES + 1))
    wanted.append(server.wants_data)
    assert len(request.read()) == READ_AHEAD_BYTES + 1
    wanted.append(server.wants_data)
    assert wanted == [True, False, True]


def test_a_body_behind_its_response_is_discarded() -> None:
    """Some of it, so that the connection can go on; a request behind it is read."""
    body = b"x" * 100_000
    server = connection()
    server.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
    server.next_request()
    assert b"connection: close" not in answer(server, 404)
    assert not server.closing
    assert server.next_request() is None
    server.receive(body + GET)
    assert isinstance(server.next_request(), Request)


def test_a_long_body_ends_the_connection() -> None:
    """An error that does not wait for a long body says that it is the last response."""
    server = connection()
    server.receive(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (MAX_DISCARDED_BYTES + 1)
    )
    server.next_request()
    assert b"connection: close" in answer(server, 404)
    assert server.closing


def test_chunks_behind_a_response_are_counted() -> None:
    """A body without a length is discarded up to a limit."""
    server = connection()
    server.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    server.next_request()
    answer(server, 404)
    for _ in range(MAX_PROMISED_BYTES // 0x4000):
        server.receive(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
    assert not server.discards_too_much
    server.receive(b"1\r\nx\r\n")
    assert server.discards_too_much


def test_a_client_that_waits_for_100_and_is_refused() -> None:
    """It may not send the body, so nothing on the connection can be trusted any more."""
    server = connection()
    server.receive(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    )
    request = server.next_request()
    assert isinstance(request, Request)
    assert request.expects_continue
    assert b"connection: close" in answer(server, 404)
    assert server.closing


HANDSHAKE = b"GET /w HTTP/1.1\r\nHost: a\r\nConnection: %b\r\nUpgrade: %b\r\n\r\n"


@pytest.mark.parametrize(
    ("options", "protocols"),
    [
        (b"Upgrade", b"websocket"),
        (b"keep-alive, Upgrade", b"WebSocket"),
        (b"Upgrade", b"websocket, websocket"),
        (b"upgrade\r\nConnection: keep-alive", b"h2c, websocket"),
    ],
)
def test_a_handshake_ends_http(options: bytes, protocols: bytes) -> None:
    """What follows it belongs to the other protocol."""
    server = connection()
    server.receive(HANDSHAKE % (options, protocols) + b"frames")
    assert server.next_request() is None
    handshake = server.handshake()
    assert handshake is not None
    assert handshake[0].path == "/w"
    assert handshake[1] == b"frames"


def test_a_handshake_behind_a_request_is_none() -> None:
    """No other protocol can begin before all responses; the request is an ordinary one."""
    data = GET + HANDSHAKE % (b"Upgrade", b"websocket") + GET
    assert [getattr(each, "path", None) for each in received(data)] == ["/a", "/w", "/a"]
