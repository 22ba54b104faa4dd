"""The Connect protocol: unary calls as plain HTTP bodies, streams in frames whose last one is the end.

Source: the Connect protocol, "Unary RPCs", "Streaming RPCs" and "Error end-stream".
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from gateway.transcoding.content_coding import ContentDecoder, content_decoder
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.rpc.metadata import response_headers
from gateway.transcoding.rpc.wire import NO_TRAILERS, Failure, FramedReader, RpcWire
from gateway.transcoding.scalars import bytes_from_json
from gateway.transcoding.status import (
    HTTP_STATUS,
    RESOURCE_EXHAUSTED,
    UNIMPLEMENTED,
    StatusError,
    bad_request,
    code_name,
)
from gateway.transcoding.violations import quoted
from grpc_wire.call.message import ENCODINGS, frame

_JSON: Final = "application/json"
_HEAD: Final = Struct(">BL")
_END_FLAG: Final = 2
_ACCEPTED: Final = "gzip,deflate"
_OF_THE_REQUEST: Final = (404, 405, 415)
"""HTTP statuses of a request that is no RPC, whatever the code of its error."""
_TRAILER: Final = b"trailer-"


class _Connect(RpcWire):
    """What both kinds of calls share: messages are JSON, or the protobuf's own bytes."""

    __slots__ = ("_decode", "_encode")

    def __init__(self, content_type: str, *, is_json: bool) -> None:
        super().__init__(content_type, is_json=is_json)
        self._decode: Callable[[bytes], bytes] | None = None
        self._encode: Callable[[bytes], bytes] | None = None

    def bind(self, endpoint: Endpoint) -> None:
        """See `RpcWire`."""
        if self.is_json:
            self._decode = lambda body: endpoint.decode_frame(body or b" ", step="")
            self._encode = endpoint.encode_response

    def read(self, message: bytes) -> bytes:
        """See `RpcWire`."""
        return message if self._decode is None else self._decode(message)

    def message(self, message: bytes) -> bytes:
        """See `RpcWire`."""
        return message if self._encode is None else self._encode(message)


class ConnectUnary(_Connect):
    """A unary call by POST: request and response are the message itself."""

    __slots__ = ("_content_encoding",)

    name = "connect"
    is_whole = True

    def __init__(self, *, is_json: bool, content_encoding: str) -> None:
        """Takes how messages are written, and the coding of the request's body."""
        super().__init__(_JSON if is_json else "application/proto", is_json=is_json)
        self._content_encoding = content_encoding

    def reader(self, limit: int) -> WholeReader:
        """See `RpcWire`."""
        return WholeReader(limit, decoder_of(self._content_encoding))

    def single(self, body: bytes, limit: int) -> bytes | None:
        """See `RpcWire`; a body without a coding is the message."""
        return None if self._content_encoding or len(body) > limit else body

    def head(self, initial: Metadata) -> Headers:
        """See `RpcWire`."""
        return response_headers(initial)

    def end(self, error: StatusError | None, trailing: Metadata) -> tuple[bytes, Headers]:
        """See `RpcWire`: the trailers are headers."""
        metadata = trailing if error is None else error.trailing
        return b"", response_headers(metadata, _TRAILER)

    def failure(self, error: StatusError) -> Failure:
        """See `RpcWire`."""
        headers = (*response_headers(error.initial), *self.end(error, ())[1], *error.headers)
        status = error.http_status
        if status not in _OF_THE_REQUEST:
            status = HTTP_STATUS.get(error.code, 500)
        return Failure(status, _JSON, orjson.dumps(error_json(error)), headers)


class ConnectGet(ConnectUnary):
    """A unary call by GET, of a method without side effects: the query has the message."""

    __slots__ = ("_query",)

    def __init__(self, query: bytes) -> None:
        """Takes the query, with `connect=v1`."""
        pairs = (part.partition(b"=") for part in query.split(b"&"))
        self._query = {name: unquote_to_bytes(v.replace(b"+", b" ")) for name, _, v in pairs}
        super().__init__(
            is_json=self._query.get(b"encoding") == b"json",
            content_encoding=self._query.get(b"compression", b"").decode("latin-1"),
        )

    def single(self, body: bytes, limit: int) -> None:
        """See `RpcWire`: the query has the message."""

    def reader(self, limit: int) -> WholeReader:
        """See `RpcWire`; the message of the query is read already."""
        query = self._query
        if query.get(b"encoding") not in (b"json", b"proto"):
            raise bad_request([("encoding", "expected proto or json")])
        if b"message" not in query:
            raise bad_request([("message", "it is missing")])
        data = query[b"message"]
        if query.get(b"base64") == b"1":
            try:
                data = bytes_from_json(data.decode("latin-1"))
            except ValueError:
                raise bad_request([("message", "it is not base64")]) from None
        reader = super().reader(limit)
        reader.feed(data)
        return reader


class ConnectStream(_Connect):
    """A streaming call: both ways messages in frames."""

    __slots__ = ("_encoding",)

    name = "connect-stream"

    def __init__(self, *, is_json: bool, encoding: str) -> None:
        """Takes how messages are written, and the `connect-content-encoding` of the request."""
        content_type = f"application/connect+{'json' if is_json else 'proto'}"
        super().__init__(content_type, is_json=is_json)
        self._encoding = encoding or "identity"

    def reader(self, limit: int) -> FramedReader:
        """See `RpcWire`."""
        if self._encoding not in ENCODINGS:
            raise _unknown_coding(self._encoding)
        return FramedReader(limit, self._encoding)

    def head(self, initial: Metadata) -> Headers:
        """See `RpcWire`."""
        accepted = (b"connect-accept-encoding", _ACCEPTED.encode())
        return (accepted, *response_headers(initial))

    def message(self, message: bytes) -> bytes:
        """See `RpcWire`."""
        return frame(super().message(message))

    def end(self, error: StatusError | None, trailing: Metadata) -> tuple[bytes, Headers]:
        """See `RpcWire`: the end is a frame of JSON."""
        end: dict[str, Any] = {} if error is None else {"error": error_json(error)}
        values: dict[str, list[str]] = {}
        for name, value in response_headers(trailing if error is None else error.trailing):
            values.setdefault(name.decode(), []).append(value.decode())
        if values:
            end["metadata"] = values
        text = orjson.dumps(end)
        return _HEAD.pack(_END_FLAG, len(text)) + text, NO_TRAILERS

    def failure(self, error: StatusError) -> Failure:
        """See `RpcWire`."""
        headers = (*self.head(error.initial), *error.headers)
        return Failure(200, self.content_type, self.end(error, ())[0], headers)


class WholeReader:
    """Reads a body that is one message."""

    __slots__ = ("_decoder", "_limit", "_parts", "_size")

    def __init__(self, limit: int, decoder: ContentDecoder) -> None:
        """Takes the limit in bytes, and the decoder of the body's coding."""
        self._limit = limit
        self._decoder = decoder
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterable[bytes]:
        """See `MessagesReader`."""
        for piece in self._decoder.feed(data):
            self._size += len(piece)
            if self._size > self._limit:
                text = f"the message is larger than {self._limit} bytes"
                raise StatusError.of(RESOURCE_EXHAUSTED, text)
            self._parts.append(piece)
        return ()

    def close(self) -> Iterable[bytes]:
        """See `MessagesReader`."""
        self._decoder.close()
        return (b"".join(self._parts),)


def decoder_of(coding: str) -> ContentDecoder:
    """Returns the decoder of a body.

    Raises:
        StatusError: UNIMPLEMENTED, the coding is not known, which is what Connect asks for.
    """
    try:
        return content_decoder(coding)
    except StatusError:
        raise _unknown_coding(coding) from None


def _unknown_coding(coding: str) -> StatusError:
    return StatusError.of(
        UNIMPLEMENTED, f"unknown compression {quoted(coding)}: supported are {_ACCEPTED}"
    )


def error_json(error: StatusError) -> dict[str, Any]:
    """Returns an error as Connect prints it."""
    code = code_name(error.code)
    printed: dict[str, Any] = {
        "code": "canceled" if code == "CANCELLED" else code.lower() if code.isupper() else "unknown"
    }
    if error.status.message:
        printed["message"] = error.status.message
    if error.status.details:
        printed["details"] = [
            {
                "type": each.type_url.rpartition("/")[2],
                "value": b64encode(each.value).rstrip(b"=").decode(),
            }
            for each in error.status.details
        ]
    return printed
