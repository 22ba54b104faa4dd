"""Plain heads: read without httptools, and the same as by httptools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.doors.http1.plain_heads import END_OF_HEAD, MAX_ENTRIES, PlainHeads, PlainRequest
from gateway.exchange.request import parse_head
from gateway.reload.compiling import compile_contract
from gateway.settings import Settings
from gateway.transcoding.metadata import DEFAULT_REQUEST_HEADERS, MetadataFilter
from tests.contracts import echo_contract

ALLOWED = MetadataFilter((*DEFAULT_REQUEST_HEADERS, "x-user"), ())
SERVED = compile_contract(echo_contract(), Settings(descriptor_set=Path()), lambda _: ())
ROUTER = SERVED.router
_POST = b"POST /v1/echo?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n%b"
_CHROMIUM = (
    b"GET /rates/USD?target_currencies=EUR HTTP/1.1\r\n"
    b"Host: localhost:8080\r\nConnection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="156", "Not_A Brand";v="99"\r\nsec-ch-ua-mobile: ?0\r\n'
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n"
    b"Accept: */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
    b"Referer: http://localhost:8080/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-US,en;q=0.9\r\nCookie: session=0123456789abcdef\r\n"
    b"Authorization: Bearer aaaa.bbbb.cccc\r\n"
    b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"
)


class Httptools:
    """What httptools reads of some bytes that are one request."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.target = self.body = b""
        self.begun = self.complete = 0
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.begun = -1
            return
        self.method = parser.get_method().decode()
        self.version = parser.get_http_version()
        self.keep_alive = parser.should_keep_alive()
        self.upgrade = parser.should_upgrade()

    @property
    def is_one_request(self) -> bool:
        """Whether they are one whole request, with nothing unusual, on a connection that is kept."""
        return (
            (self.begun, self.complete) == (1, 1)
            and self.version == "1.1"
            and self.keep_alive
            and not self.upgrade
        )

    def on_message_begin(self) -> None:
        """See httptools."""
        self.begun += 1

    def on_message_complete(self) -> None:
        """See httptools."""
        self.complete += 1

    def on_url(self, part: bytes) -> None:
        """See httptools."""
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        # httptools keeps blanks behind a value, which are none of it (RFC 9112, section 5.1)
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_body(self, part: bytes) -> None:
        """See httptools."""
        self.body += part


def empty() -> PlainHeads:
    """Returns what reads heads, with empty caches, for a contract of a few paths without variables."""
    return PlainHeads(ALLOWED, SERVED)


@pytest.fixture
def heads() -> PlainHeads:
    """With empty caches."""
    return empty()


def parse(heads: PlainHeads, data: bytes) -> PlainRequest | None:
    """Reads some bytes as the door does."""
    end = data.find(END_OF_HEAD)
    return None if end < 0 else heads.parse(data, end)


def same(heads: PlainHeads, data: bytes) -> bool:
    """Compares with httptools; returns whether the head was plain."""
    parsed, other = parse(heads, data), Httptools(data)
    if parsed is None:
        return False
    request = parsed.request
    assert other.is_one_request
    body = data[len(data) - parsed.length :]
    assert (request.http_method, body) == (other.method, other.body)
    path, _, query = other.target.partition(b"?")
    assert (request.path.encode(), parsed.query) == (path, query)
    assert heads.headers(data) == tuple(other.headers)
    head, error = parse_head(other.headers, ALLOWED)
    assert (request.error is None) == (error is None)
    if error is not None:
        return True
    length = request.head.content_length
    given = replace(request.head, metadata=[], request_id=head.request_id)
    assert given == replace(head, metadata=[], content_length=length)
    assert parsed.request_id == head.request_id
    assert sorted(map(repr, parsed.metadata)) == sorted(map(repr, head.metadata))
    return True


@pytest.mark.parametrize(
    "data",
    [
        _CHROMIUM,
        _POST % (2, b"", b"{}"),
        _POST % (0, b"", b""),
        b"GET / HTTP/1.1\r\nhost:x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: \r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: a\tb\xff\r\n\r\n",
        b"OPTIONS /a:b?%20 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\naccept: a/b\r\naccept:  c/d \r\nx-user: \t1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx-request-id: 7\r\nx-request-id: 8\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx-request-id: a b\r\ngrpc-metadata-a-bin: AAA\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nlast-event-id: 7\r\ngrpc-timeout: 5S\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ngrpc-timeout: soon\r\naccept: %b\r\n\r\n" % (b"a" * 300),
        b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: \xff\r\n\r\n",
    ],
)
def test_what_clients_send_is_plain(heads: PlainHeads, data: bytes) -> None:
    """The heads of browsers, curl and HTTP libraries, twice: the second time from the cache."""
    assert same(heads, data)
    assert same(heads, data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        _CHROMIUM[:-1],
        _CHROMIUM + b"x",
        _CHROMIUM + _CHROMIUM,
        _POST % (2, b"", b"{"),
        _POST % (2, b"Content-Length: 2\r\n", b"{}"),
        _POST % (2, b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        _POST % (2, b" folded\r\n", b"{}"),
        _POST % (2, b"a : b\r\n", b"{}"),
        _POST % (2, b"a: b\nc: d\r\n", b"{}"),
        _POST % (2, b"a: b\rc\r\n", b"{}"),
        _POST % (2, b"a: b\x00\r\n", b"{}"),
        _POST % (2, b"Connection: close\r\n", b"{}"),
        _POST % (2, b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"{}"),
        _POST % (2, b"Expect: 100-continue\r\n", b"{}"),
        _POST % (2, b"Host: y\r\n", b"{}"),
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2, 2\r\n\r\n{}",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\nhost: x\r\n\r\n",
        b"GET http://x/ HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_what_is_unusual_is_left_to_httptools(heads: PlainHeads, data: bytes) -> None:
    """More or less than one request, and all that changes how a request is read."""
    assert not same(heads, data)


_PIECES = st.lists(
    st.sampled_from(
        [
            *(
                b"\r\n",
                b"\r",
                b"\n",
                b": ",
                b":",
                b" ",
                b"\t",
                b"x",
                b"host: x\r\n",
                b"\x80",
                b"\x00",
            ),
            *(b"content-length: 2\r\n", b"transfer-encoding: chunked\r\n", b"GET / HTTP/1.1\r\n"),
            *(b"{}", b"0\r\n\r\n", b"connection: close\r\n", b"a: b\r\n", b" a\r\n", b"#", b'"'),
            *(b"x-request-id: 1\r\n", b"grpc-timeout: 1S\r\n", b"authorization: \x80\r\n"),
        ]
    ),
    max_size=6,
).map(b"".join)


@given(
    st.integers(0, 60),
    st.integers(0, 4),
    _PIECES,
    st.sampled_from([_POST, b"GET /a?b HTTP/1.1\r\nhost: x\r\n%.0d%b\r\n%b"]),
    _PIECES,
    st.sampled_from([b"", b"{}"]),
)
@example(26, 0, b"", _POST, b"a: b\r\n", b"{}")
def test_whatever_is_accepted_is_what_httptools_reads(
    at: int, cut: int, put: bytes, form: bytes, lines: bytes, body: bytes
) -> None:
    """Heads with pieces of HTTP put in anywhere: never another request than httptools sees."""
    data = form % (len(body), lines, body)
    heads = empty()
    for each in (data, data[:at] + put + data[at + cut :], data):
        same(heads, each)


def test_credentials_are_not_cached(heads: PlainHeads) -> None:
    """A line of a header that may have a secret, or a value of one request alone, is read each time."""
    assert same(heads, _CHROMIUM)

    cached = b"\n".join((*heads._lines._numbers, *heads._lines._before))
    for secret in (b"session=", b"Bearer", b"traceparent", b"Referer"):
        assert secret not in cached
    assert b"User-Agent" in cached


def test_only_heads_that_say_nothing_of_the_caller_are_shared(heads: PlainHeads) -> None:
    """A cookie, a token, a trace, an id, a query or a variable in the path makes a head its caller's own."""
    get = b"GET %b HTTP/1.1\r\nhost: x\r\naccept: */*\r\n%b\r\n"

    def is_shared(target: bytes, lines: bytes) -> bool:
        parsed = [parse(heads, get % (target, lines)) for _ in range(2)][-1]
        assert parsed is not None
        return parsed.is_shared

    assert is_shared(b"/v1/echo", b"")
    assert is_shared(b"/v1/echo", b"content-length: 0\r\n")
    assert not is_shared(b"/v1/echo?token=1", b"")
    assert not is_shared(b"/v1/fail/7", b"")
    for name in (b"cookie", b"authorization", b"traceparent", b"x-request-id", b"x-api-key"):
        assert not is_shared(b"/v1/echo", b"%b: 1\r\n" % name)


def test_the_cache_is_bounded(heads: PlainHeads) -> None:
    """In number, and each line in length."""
    sizes: list[int] = []
    get: Callable[[bytes], bytes] = (
        b"GET /v1/echo HTTP/1.1\r\nhost: x\r\naccept: %b\r\n\r\n".__mod__
    )
    for number in range(MAX_ENTRIES + 20):
        assert same(heads, get(b"%d" % number))
        assert len(heads._lines) <= MAX_ENTRIES + 2
        assert len(heads._heads) <= MAX_ENTRIES
        assert len(heads._requests) <= MAX_ENTRIES
        sizes.append(len(heads._heads))
    assert sizes != sorted(sizes), "the cache was never emptied"
    assert not same(heads, get(b"x" * 600))
    assert all(len(line) <= 512 for line in heads._lines._numbers)
