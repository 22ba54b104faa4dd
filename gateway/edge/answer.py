"""Whole answers over HTTP: a body with its status, and errors as `google.rpc.Status`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gateway.edge.client import ClientGone
from gateway.edge.compression import Compression
from gateway.edge.types import Event, Send, Write
from gateway.transcoding.endpoint import EncodedBody
from gateway.transcoding.error_body import PROBLEM_JSON, STATUS_JSON
from gateway.transcoding.error_headers import error_headers
from gateway.transcoding.metadata import Headers, MetadataFilter, header_value
from gateway.transcoding.negotiation import prefers_problem
from gateway.transcoding.request_head import RequestHead
from gateway.transcoding.status import StatusError
from gateway.transcoding.transcoder import Transcoder, allow_header

_KEPT: Final = 64
"""Media types are few; those of HttpBody may be many."""
_LONGEST_KEPT: Final = 256
"""Characters of the longest of them that is kept: an HttpBody may say anything."""
_kept_value: Final = lru_cache(maxsize=_KEPT)(header_value)
_RESET_CONTENT: Final = 205
"""The one status without content whose answer has to say so by its length (RFC 9112, 6.3)."""
_STARTS: Final = ("http.response.start", "websocket.http.response.start")


@dataclass(slots=True)
class Whole:
    """A whole answer over HTTP."""

    status: int
    body: bytes = b""
    content_type: str = ""
    """Empty is an answer that has no body."""
    headers: Headers = ()
    """Those beside."""

    def compress(self, compression: Compression, accept_encoding: str) -> None:
        """Compresses the body, where the caller's `Accept-Encoding` asks for it and it pays; once."""
        self.headers, self.body = compression.of_whole(
            self.content_type, self.headers, self.body, accept_encoding
        )

    def named(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Returns all headers, and the one that names the request."""
        of_body: Headers = ()
        if self.content_type:
            length = b"%d" % len(self.body)
            of_body = ((b"content-type", _value(self.content_type)), (b"content-length", length))
        elif self.status == _RESET_CONTENT:
            of_body = ((b"content-length", b"0"),)
        return [*of_body, *self.headers, (b"x-request-id", request_id.encode())]

    def lines(self, request_id: str) -> bytes:
        """Returns the same as lines of HTTP/1.1."""
        if not self.content_type:
            return header_lines(*self.named(request_id))
        others = header_lines(*self.headers) if self.headers else b""
        return b"content-type: %b\r\ncontent-length: %d\r\n%bx-request-id: %b\r\n" % (
            _value(self.content_type),
            len(self.body),
            others,
            request_id.encode(),
        )


def header_lines(*headers: tuple[bytes, bytes]) -> bytes:
    """Returns headers as lines of HTTP/1.1."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def _value(media_type: str) -> bytes:
    return (_kept_value if len(media_type) <= _LONGEST_KEPT else header_value)(media_type)


class Answer:
    """A `send` that names the request in the answer, and knows whether the answer has begun.

    An answer to HEAD has no body: it would be read as the next answer (RFC 9110, 9.3.2). A server may say
    by an OSError that the client has left (ASGI 2.4).
    """

    __slots__ = ("_compression", "_send", "head", "request", "started", "write")

    def __init__(
        self, send: Send, compression: Compression, *, head: bool, write: Write | None = None
    ) -> None:
        self._send = send
        self._compression = compression
        self.head = head
        self.write = write
        """Writes a part of a body that has begun, where the server offers that."""
        self.request = RequestHead()
        self.started = False

    async def __call__(self, event: Event) -> None:
        """Sends one event."""
        self.started = True
        if event["type"] in _STARTS:
            event["headers"].append((b"x-request-id", self.request.request_id.encode()))
        elif event["type"] == "http.response.body" and self.head:
            event = {**event, "body": b""}
        try:
            await self._send(event)
        except OSError as error:
            raise ClientGone from error

    async def whole(self, whole: Whole) -> None:
        """Sends a whole answer over HTTP, compressed where its caller asks and it pays."""
        self.started = True
        whole.compress(self._compression, self.request.accept_encoding)
        headers = whole.named(self.request.request_id)
        body = b"" if self.head else whole.body
        try:
            await self._send(
                {"type": "http.response.start", "status": whole.status, "headers": headers}
            )
            await self._send({"type": "http.response.body", "body": body})
        except OSError as error:
            raise ClientGone from error

    async def give_up(self, scope_type: str) -> None:
        """Ends an answer that nobody waits for; middleware still sees what became of the request."""
        if not self.started and scope_type == "http":
            with suppress(ClientGone):
                await self.whole(Whole(499))


def options(methods: list[str]) -> Whole:
    """Makes the answer to OPTIONS: the methods that a path takes."""
    return Whole(204, headers=(allow_header(methods),))


def failure(
    transcoder: Transcoder, metadata: MetadataFilter, error: StatusError, accept: str
) -> Whole:
    """Makes the answer that is an error: the JSON of its Status, or problem details for who asks for them.

    Its headers have the metadata of the call that failed, as those of a success do.
    """
    media_type, body = error_body(transcoder, error, accept)
    return Whole(error.http_status, body, media_type, error_headers(error, metadata))


def error_body(transcoder: Transcoder, error: StatusError, accept: str) -> EncodedBody:
    """Returns the body of an error in the form that the caller asks for."""
    if prefers_problem(accept):
        return PROBLEM_JSON, transcoder.errors.problem(error)
    return STATUS_JSON, transcoder.errors.status(error.status)
