"""The direct way of HTTP/2: a unary request that has come whole is answered without a task and without ASGI.

The steps are those of every request (`gateway.exchange.serve`), run inline, and the response is two frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.doors.http.contract_door import ContractDoor
from gateway.doors.http2.plain_head import MAX_FIELD, PlainHead, keep
from gateway.doors.http2.request_head import edge_headers
from gateway.exchange.exchange import Exchange
from gateway.exchange.inline import InlineRun
from gateway.exchange.ports import ClientGone
from gateway.exchange.request import new_request_id
from gateway.exchange.response import NO_SNIFFING, HttpResponse
from gateway.exchange.serve import serve
from gateway.transcoding.deadline import shortest
from gateway.transcoding.metadata import Headers, header_value
from gateway.transcoding.request_head import REQUEST_ID
from gateway.transcoding.rpc.grpc import PLAIN_HEAD
from grpc_wire.headers.encoder import encode_length, encode_literals, encode_name
from grpc_wire.http2.events import DataReceived, HeadersReceived, StreamReset

if TYPE_CHECKING:
    from gateway.doors.http2.connection import Http2Connection

_NO_FIELDS: Final[Headers] = ()
_SPACE: Final = ord(" ")
_ID_NAME: Final = encode_name(REQUEST_ID)
_COMMON_SIZES: Final = 2048
_LENGTHS: Final = tuple(
    [encode_literals(((b"content-length", b"%d" % size),)) for size in range(_COMMON_SIZES)]
)
"""`Content-Length` of common sizes, encoded."""
_WHOLE_ALONE: Final = "the response to a unary request is whole"


class DirectStream(InlineRun):
    """One request that is answered directly: its body, its sink, its run and its stream."""

    __slots__ = (
        "_connection",
        "_door",
        "_fields",
        "_stream_id",
        "ended",
        "over_here",
        "whole_body",
    )

    def __init__(
        self, connection: Http2Connection, door: ContractDoor, event: HeadersReceived
    ) -> None:
        """Takes the request.

        Args:
            connection: on which it came.
            door: what answers.
            event: the request.
        """
        self._connection = connection
        self._door = door
        self._stream_id = event.stream_id
        self._fields = event.headers
        self.whole_body: bytes | None = event.data
        self.ended = False
        self.over_here = False
        """Whether the response was sent, or the client has left."""

    def answer(self, plain: PlainHead) -> None:
        """Starts to answer."""
        door, connection = self._door, self._connection
        request_id, metadata = plain.request_id, plain.metadata
        if not request_id:
            request_id = new_request_id()
            if door.id_key is not None:
                metadata += ((door.id_key, request_id),)
        body = sink = headers = run = self
        # by position: names would double what it takes to make an object
        exchange = Exchange(
            door.edge, plain.request, body, sink, request_id, metadata, plain.query, headers, run
        )
        if plain.timeout is not None:
            exchange.timeout = shortest(plain.timeout, exchange.timeout)
        exchange.client = connection.client
        exchange.certificate = connection.ends.certificate
        self.start_run(serve(exchange).__await__())

    # The headers, for policies.

    def all(self) -> Headers:
        """See `RequestHeaders`."""
        return tuple(edge_headers(self._fields))

    def values(self, name: bytes) -> Sequence[bytes]:
        """See `RequestHeaders`."""
        if name in (b"cookie", b"host"):
            return [value for each, value in edge_headers(self._fields) if each == name]
        return [value for each, value in self._fields if each == name]

    # What the connection calls.

    def headers_received(self, event: HeadersReceived) -> None:
        """Nothing: the request has come whole."""

    def data_received(self, event: DataReceived) -> None:
        """Nothing: the request has come whole."""

    def drained(self) -> None:
        """Leaves the stream: the client has read the response."""
        self._connection.sent(self._stream_id)

    def reset(self, event: StreamReset) -> None:
        """See `disconnect`."""
        del event
        self.disconnect()

    def lost(self, reason: str) -> None:
        """See `disconnect`."""
        del reason
        self.disconnect()

    def disconnect(self) -> None:
        """Ends the exchange: the client has left."""
        self._connection.left(self._stream_id)
        if not self.over_here:
            self.over_here = True
            self._connection.door.state.tasks.discard(self)
            self.interrupt(ClientGone())

    # What the exchange calls.

    @property
    def write_now(self) -> None:
        """See `Sink`."""

    async def read(self) -> bytes:
        """See `RequestBody`."""
        self.ended = True
        return self.whole_body or b""

    async def gone(self) -> None:
        """Waits for ever: the connection interrupts the run of a client that has left."""
        await asyncio.get_running_loop().create_future()

    def whole(self, response: HttpResponse, *, head: bool) -> None:
        """See `Sink`."""
        if self.over_here:
            raise ClientGone
        self.over_here = True
        connection, stream_id = self._connection, self._stream_id
        prefix, fields, literals = response_fields(response, connection.default_headers)
        body = b"" if head else response.body
        if connection.transport.send_whole(
            stream_id, fields, body, prefix, response.trailers, literals
        ):
            connection.waits(stream_id)
        connection.door.state.tasks.discard(self)

    async def start(self, status: int, headers: Headers) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)

    async def end(self, data: bytes, trailers: Headers = ()) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)

    def abort(self, error: Exception) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)


class _SharedHead:
    """What responses with one content type begin with, as long as all else of it stays the same.

    Attributes:
        status: the HTTP status.
        of_call: those of a call of gRPC that went well, which are always the same; else none.
        defaults: headers of the server, `Date` for one.
        fields: status, content type and those of the call.
        literals: the defaults, encoded.
    """

    __slots__ = ("defaults", "fields", "literals", "of_call", "status")

    def __init__(
        self, response: HttpResponse, of_call: Headers, defaults: Sequence[tuple[bytes, bytes]]
    ) -> None:
        self.status = response.status
        self.of_call = of_call
        self.defaults = defaults
        self.fields: Headers = (
            (b":status", b"%d" % response.status),
            (b"content-type", header_value(response.content_type)),
            NO_SNIFFING,
            *of_call,
        )
        self.literals = encode_literals(tuple(defaults))


_SHARED: Final[dict[str, _SharedHead]] = {}
"""By content type."""


def response_fields(
    response: HttpResponse, defaults: Sequence[tuple[bytes, bytes]]
) -> tuple[Headers, Headers, bytes]:
    """Returns the fields of a whole response of the edge's own.

    What many share is left to the table of a connection, where it is a byte each. Encoded as the rest is, for
    all connections alike, it would make a head of 136 bytes of one of 87, and save a quarter of a percent of
    the instructions of a request.

    Args:
        response: the response.
        defaults: headers of the server, `Date` for one, which are not changed in place.

    Returns:
        Those that many share; those of the call or of policies; and those that each response has, encoded.
    """
    if not response.content_type:
        others = (*defaults, *_stripped(tuple(response.all_headers())))
        return ((b":status", b"%d" % response.status),), others, b""
    is_grpc = response.headers is PLAIN_HEAD and len(response.trailers) > 0
    of_call = response.headers if is_grpc else _NO_FIELDS
    shared = _SHARED.get(response.content_type)
    if (
        shared is None
        or shared.status != response.status
        or shared.of_call is not of_call
        or shared.defaults is not defaults
    ):
        shared = _SharedHead(response, of_call, defaults)
        if len(response.content_type) <= MAX_FIELD:
            keep(_SHARED, response.content_type, shared)
    length = b"" if is_grpc else _content_length(len(response.body))
    request_id = response.request_id.encode()
    id_length = encode_length(len(request_id))
    literals = b"%b%b%b%b%b" % (shared.literals, length, _ID_NAME, id_length, request_id)
    return shared.fields, _NO_FIELDS if is_grpc else _stripped(response.headers), literals


def _stripped(headers: Headers) -> Headers:
    """Returns headers as fields: blanks around the value of metadata are malformed (RFC 9113, 8.2.1)."""
    for _, value in headers:
        if value and (value[0] <= _SPACE or value[-1] <= _SPACE):
            return tuple([(name, each.strip(b" \t")) for name, each in headers])
    return headers


def _content_length(size: int) -> bytes:
    if size < _COMMON_SIZES:
        return _LENGTHS[size]
    return encode_literals(((b"content-length", b"%d" % size),))
