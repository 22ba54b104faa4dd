"""gRPC over HTTP/2, and gRPC-Web, whose end is a frame of the body (binary or base64).

Sources: gRPC over HTTP/2, "Responses"; PROTOCOL-WEB.md, "Protocol differences vs gRPC over HTTP2".
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable
from struct import Struct
from typing import Final

from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.rpc.metadata import header_text, response_headers
from gateway.transcoding.rpc.wire import (
    NO_TRAILERS,
    Failure,
    FramedReader,
    MessagesReader,
    RpcWire,
)
from gateway.transcoding.status import UNIMPLEMENTED, StatusError, bad_request
from gateway.transcoding.violations import quoted
from grpc_wire.call.message import ACCEPTED, ENCODINGS, IDENTITY, frame, single_message
from grpc_wire.call.status import OK_TRAILERS, Status, to_trailers

PLAIN_HEAD: Final[Headers] = (ACCEPTED,)
"""Headers of a response without metadata, which most responses share."""
_DETAILS: Final = "grpc-status-details-bin"
_HEAD: Final = Struct(">BL")
_TRAILERS_FLAG: Final = 0x80
_QUARTET: Final = 4


class Grpc(RpcWire):
    """gRPC: the end is HTTP/2's trailers."""

    __slots__ = ("_encoding",)

    name = "grpc"
    needs_trailers = True

    def __init__(self, content_type: str, encoding: str) -> None:
        """Takes the request's content type, which is the response's, and its `grpc-encoding`."""
        super().__init__(content_type)
        self._encoding = encoding

    def reader(self, limit: int) -> MessagesReader:
        """See `RpcWire`."""
        if self._encoding not in ENCODINGS:
            text = f"grpc-encoding {quoted(self._encoding)} is not known here"
            raise StatusError.of(UNIMPLEMENTED, text)
        return FramedReader(limit, self._encoding)

    def single(self, body: bytes, limit: int) -> bytes | None:
        """See `RpcWire`; a message without compression."""
        return single_message(body, limit) if self._encoding == IDENTITY else None

    def head(self, initial: Metadata) -> Headers:
        """See `RpcWire`."""
        return (ACCEPTED, *response_headers(initial)) if initial else PLAIN_HEAD

    def message(self, message: bytes) -> bytes:
        """See `RpcWire`."""
        return frame(message)

    def end(self, error: StatusError | None, trailing: Metadata) -> tuple[bytes, Headers]:
        """See `RpcWire`."""
        return b"", trailers(error, trailing)

    def failure(self, error: StatusError) -> Failure:
        """See `RpcWire`: the one head is the end too (Trailers-Only), unless the server has sent both."""
        head, end = (*self.head(error.initial), *error.headers), trailers(error, ())
        if error.initial:
            return Failure(200, self.content_type, b"", head, end)
        return Failure(200, self.content_type, b"", (*head, *end))


class GrpcWeb(Grpc):
    """gRPC-Web: the end is a frame whose payload is the trailers as lines."""

    __slots__ = ()

    name = "grpc-web"
    needs_trailers = False

    def end(self, error: StatusError | None, trailing: Metadata) -> tuple[bytes, Headers]:
        """See `RpcWire`."""
        lines = b"".join(b"%b: %b\r\n" % field for field in trailers(error, trailing))
        return _HEAD.pack(_TRAILERS_FLAG, len(lines)) + lines, NO_TRAILERS

    def failure(self, error: StatusError) -> Failure:
        """See `RpcWire`."""
        body, _ = self.end(error, ())
        fields = (ACCEPTED, *response_headers(error.initial), *error.headers)
        return Failure(200, self.content_type, body, fields)


class GrpcWebText(GrpcWeb):
    """gRPC-Web in base64: each part of a response is encoded, and padded, by itself."""

    __slots__ = ()

    name = "grpc-web-text"

    def reader(self, limit: int) -> MessagesReader:
        """See `RpcWire`."""
        return TextReader(super().reader(limit))

    def single(self, body: bytes, limit: int) -> None:
        """See `RpcWire`: base64 is for `reader`."""

    def message(self, message: bytes) -> bytes:
        """See `RpcWire`."""
        return b64encode(frame(message))

    def end(self, error: StatusError | None, trailing: Metadata) -> tuple[bytes, Headers]:
        """See `RpcWire`."""
        return b64encode(super().end(error, trailing)[0]), NO_TRAILERS


class TextReader:
    """Reads messages in base64, which may be padded at the end of any part."""

    __slots__ = ("_reader", "_rest")

    def __init__(self, reader: MessagesReader) -> None:
        """Takes what reads the decoded bytes."""
        self._reader = reader
        self._rest = b""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """See `MessagesReader`."""
        text = self._rest + data
        whole = len(text) - len(text) % _QUARTET
        self._rest = text[whole:]
        return self._reader.feed(self._decode(text[:whole]))

    def close(self) -> Iterable[bytes]:
        """See `MessagesReader`."""
        rest, self._rest = self._rest, b""
        yield from self._reader.feed(self._decode(rest + b"=" * (-len(rest) % _QUARTET)))
        yield from self._reader.close()

    @staticmethod
    def _decode(text: bytes) -> bytes:
        """Returns the bytes of quartets, of which each may end in padding."""
        try:
            if text.find(b"=", 0, -2) < 0:
                return b64decode(text, validate=True)
            quartets = (text[at : at + _QUARTET] for at in range(0, len(text), _QUARTET))
            return b"".join(b64decode(each, validate=True) for each in quartets)
        except Error:
            raise bad_request([("", "the body is not base64")]) from None


def trailers(error: StatusError | None, trailing: Metadata) -> Headers:
    """Returns status, message, details and metadata as the trailers of gRPC."""
    if error is None:
        return (*OK_TRAILERS, *response_headers(trailing)) if trailing else OK_TRAILERS
    fields = to_trailers(Status(error.code, error.status.message))
    details = next((v for k, v in error.trailing if k == _DETAILS), b"")
    if not details and error.status.details:
        details = error.status.SerializeToString()
    if details:
        fields = (*fields, (_DETAILS.encode(), header_text(details)))
    return (*fields, *response_headers(error.trailing))
