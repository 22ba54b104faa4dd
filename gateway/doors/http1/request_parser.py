"""Requests out of received bytes: httptools reads the grammar, the limits are held while it reads.

httptools has no way to pause, so it is fed in pieces: of a head and of chunks small ones, of a body with a
length all that is left of that. Between two pieces its owner may stop. It takes a request that asks for an
upgrade to end with its head, and would go on behind it as if another request began there; so such a request
is parsed again without the header that asks, unless the connection is upgraded (decision 25).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gateway.doors.http.limits import Limits
from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Headers, Request
from gateway.doors.http.request_head import (
    head_without_upgrade,
    is_websocket_handshake,
    make_request,
)

HEAD_PIECE: Final = 4096
"""Bytes that are parsed at once where requests begin: at most some 150 of them."""
CHUNK_PIECE: Final = 16 * 1024
"""Bytes that are parsed at once of a body in chunks."""
CHUNK_OVERHEAD: Final = 16
"""Bytes around its chunks that a body may have for each of its own; and the limit of a head besides."""
_NO_VERSION: Final = "Invalid HTTP version"
"""What httptools says of a well-formed version that it does not know."""
_METHODS: Final[dict[bytes, str]] = {
    name.encode(): name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
}


class RequestParser:
    """Parses the requests of one connection.

    Attributes:
        requests: those whose heads have arrived, in order; their owner removes them.
        current: the request whose body arrives; None between two requests.
        in_message: whether a request has begun to arrive, and not to its end.
        new_head: set when a head begins to arrive; its owner unsets it.
        stopped: whether nothing further is parsed: for one of the next three reasons.
        handshake: the WebSocket handshake that ended the parsing.
        rejection: what was wrong, which ended the parsing.
        finished: whether no further request is parsed, since the last one closes the connection.
    """

    __slots__ = (
        "_chunked",
        "_head_bytes",
        "_headers",
        "_left",
        "_limits",
        "_overhead",
        "_parser",
        "_piece_bytes",
        "_received",
        "_since_chunk",
        "_target",
        "_trims",
        "current",
        "finished",
        "handshake",
        "in_message",
        "new_head",
        "rejection",
        "requests",
        "stopped",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self.requests: deque[Request] = deque()
        self.current: Request | None = None
        self.in_message = self.new_head = self.stopped = False
        self.handshake: Request | None = None
        self.rejection: Rejection | None = None
        self.finished = False
        self._target = b""
        self._headers: Headers = []
        self._head_bytes = 0
        self._piece_bytes = 0
        self._left = 0
        self._chunked = self._trims = False
        self._received = self._overhead = self._since_chunk = 0

    @property
    def in_head(self) -> bool:
        """Whether a head has begun to arrive."""
        return self.in_message and self.current is None

    @property
    def known_headers(self) -> Headers:
        """Headers of the request that arrives, as far as they are known: the line behind each has begun."""
        if not self.in_message:
            return []
        return self._headers if self.current is None else self.current.headers

    @property
    def piece_size(self) -> int:
        """The number of bytes that `feed` takes next."""
        if self.current is None:
            return min(HEAD_PIECE, self._limits.max_head + 1 - self._head_bytes)
        return CHUNK_PIECE if self._chunked else max(self._left, 1)

    def feed(self, piece: bytes, *, may_upgrade: bool) -> bytes:
        """Parses a piece, of `piece_size` bytes at most; returns what of it is still to be parsed.

        Args:
            piece: what was received.
            may_upgrade: whether a WebSocket handshake may be taken, since no other request is open.
        """
        parser = self._parser
        assert parser is not None  # noqa: S101 - it is not closed yet
        self._piece_bytes = len(piece)
        current, received = self.current, self._received
        if self._chunked:
            self._since_chunk += len(piece)
        if self._chunked or current is None:
            goes_on = self.in_message and current is None
            self._trims = goes_on or b" \r\n" in piece or b"\t\r\n" in piece
        try:
            parser.feed_data(piece)
        except HttpParserUpgrade as upgrade:
            return self._upgraded(piece[upgrade.args[0] :], may_upgrade=may_upgrade)
        except HttpParserError as error:
            self._failed(error)
            return b""
        if self.in_message:
            if self.current is None:
                self._head_bytes += self._piece_bytes
                self._check_head()
            elif self._chunked and self.current is current:
                self._check_chunks(len(piece), received)
        return b""

    def close(self) -> None:
        """Parts this and the parser, which hold each other."""
        self._parser = None

    def _failed(self, error: HttpParserError) -> None:
        """Keeps what was wrong; what follows the last request of a connection is not looked at."""
        self.stopped = True
        if self.rejection is None and not self.finished:
            if str(error) == _NO_VERSION:
                self.rejection = Rejection(505, "the version of HTTP is neither 1.0 nor 1.1")
            else:
                self.rejection = Rejection(400, "the request is not HTTP/1.1")

    def _reject(self, status: int, message: str) -> None:
        """Ends the parsing."""
        self.rejection = Rejection(status, message)
        self.stopped = True

    def _check_head(self) -> None:
        limit = self._limits.max_head
        if self._head_bytes <= limit:
            return
        if not self._headers and len(self._target) > limit // 2:
            self._reject(414, f"the target is longer than {limit} bytes")
        else:
            self._reject(431, f"the head is longer than {limit} bytes")

    def _check_chunks(self, size: int, received: int) -> None:
        """Bounds what is not the body: chunk extensions, tiny chunks and trailers."""
        body = self._received - received
        self._since_chunk -= min(body, self._since_chunk)
        self._overhead += size - body
        limit = self._limits.max_head
        if self._since_chunk > limit or self._overhead > limit + CHUNK_OVERHEAD * self._received:
            self._reject(431, "the chunks of the body have too much around them")

    # Upgrades.

    def _upgraded(self, rest: bytes, *, may_upgrade: bool) -> bytes:
        """Decides about a request that asks for an upgrade; returns what is still to be parsed."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - it has called
        method, version = _method(parser), parser.get_http_version()
        if method == "CONNECT":
            # what follows is not HTTP (RFC 9110, section 9.3.6)
            self._reject(400, "CONNECT is not taken")
            return b""
        headers = self._headers
        if may_upgrade and not self.requests and is_websocket_handshake(method, version, headers):
            try:
                self.handshake = make_request(
                    method, self._target, version, headers, self._limits.max_headers
                )
            except Rejection as rejection:
                self.rejection = rejection
            self.stopped = True
            return rest
        head = head_without_upgrade(method, self._target, version, headers)
        self._parser = HttpRequestParser(self)
        self._piece_bytes = 0
        self._head_bytes = -len(head)
        try:
            self._parser.feed_data(head)
        except HttpParserError as error:
            self._failed(error)
            return b""
        return rest

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Starts a request; what of the piece belongs to the one before does not count."""
        self._head_bytes = -self._piece_bytes if self.requests else 0
        self.in_message = self.new_head = True
        self._target = b""
        self._headers = []

    def on_url(self, part: bytes) -> None:
        """Takes the target, or a part of it."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header, or a trailer, which is none (RFC 9110, 6.5.1) and is dropped."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Makes the request; one that asks for an upgrade waits for the decision about that."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - it has called
        headers = self._headers
        if self._trims:
            self._headers = headers = [(name, value.rstrip(b" \t")) for name, value in headers]
        if parser.should_upgrade():
            return
        try:
            request = make_request(
                _method(parser),
                self._target,
                parser.get_http_version(),
                headers,
                self._limits.max_headers,
            )
        except Rejection as rejection:
            self.rejection = rejection
            raise  # which stops the parser
        request.keep_alive = request.version == "1.1" and parser.should_keep_alive()
        self._left = request.length or 0
        if request.length is None:
            self._chunked = True
            self._received = self._overhead = self._since_chunk = 0
            self._headers = []  # of trailers
        self.current = request
        self.requests.append(request)

    def on_chunk_header(self) -> None:
        """Takes the size of a chunk: there is progress."""
        self._since_chunk = 0

    def on_body(self, part: bytes) -> None:
        """Takes a part of the body."""
        assert self.current is not None  # noqa: S101 - its head came first
        self.current.append(part)
        self._received += len(part)
        self._left -= len(part)

    def on_message_complete(self) -> None:
        """Ends the request; a trailer may have asked for the end of the connection."""
        if self._chunked and len(self._headers) > self._limits.max_headers:
            self._reject(431, f"the request has more than {self._limits.max_headers} trailers")
            raise HttpParserError  # which stops the parser
        request, self.current = self.current, None
        if request is None:
            return
        assert self._parser is not None  # noqa: S101 - it has called
        self._head_bytes = 0
        self.in_message = self._chunked = False
        request.complete = True
        if not (request.keep_alive and self._parser.should_keep_alive()):
            request.keep_alive = False
            self.finished = self.stopped = True


def _method(parser: HttpRequestParser) -> str:
    name: bytes = parser.get_method()
    return _METHODS.get(name) or name.decode("ascii")
