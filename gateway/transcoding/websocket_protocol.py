"""What the WebSocket subprotocols share, and `grpc-json.v1`, the plain one.

In `grpc-json.v1` one text frame is one message, in protobuf JSON, both ways. An empty text frame from the
client is its half-close, for which a WebSocket has no word of its own. In either subprotocol the status
travels in the close frame: 1000 is OK, 4000 + code anything else, with the message as the reason, cut to what
a close frame can hold.

Source: RFC 6455, sections 5.5.1 (a reason of at most 123 bytes of UTF-8) and 7.4.2 (codes 4000-4999 are for
private use).
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Final, NamedTuple, Protocol

from gateway.transcoding.frame_encoders import gap_as_any
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import HTTP_STATUS, INVALID_ARGUMENT, OK, UNKNOWN, StatusError

CLOSE_OK: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_TOO_BIG: Final = 1009
_CLOSE_STATUS: Final = 4000
_MAX_REASON: Final = 123


class HalfClose(Enum):
    """The client has sent its last message."""

    HALF_CLOSE = "half-close"


class HeadersFrame(NamedTuple):
    """The metadata with which a client begins its call, in the form of HTTP header fields."""

    fields: tuple[tuple[bytes, bytes], ...]


class Subprotocol(Protocol):
    """How one WebSocket says what a call says; what it has no frame for, it leaves out: `""`."""

    starts_with_headers: ClassVar[bool]
    """Whether the client's first frame is its metadata, for which the call waits."""

    def read(self, text: str | None, data: bytes | None) -> HeadersFrame | bytes | HalfClose:
        """Returns what a frame from the client says; bytes are the JSON of a message.

        Raises:
            StatusError: INVALID_ARGUMENT, the frame is none of this subprotocol, or out of place.
        """
        ...

    def headers(self, metadata: Metadata) -> str:
        """Returns the frame of the initial metadata."""
        ...

    def message(self, json: bytes) -> str:
        """Returns the frame of a message."""
        ...

    def gap(self, json: bytes) -> str:
        """Returns the frame that says that messages are missing here; `json` is that of a Gap."""
        ...

    def status(self, json: bytes, trailers: Metadata) -> str:
        """Returns the frame of the end; `json` is that of a `google.rpc.Status`."""
        ...


class GrpcJson:
    """`grpc-json.v1`: messages are all that there is."""

    starts_with_headers: ClassVar = False

    def read(self, text: str | None, data: bytes | None) -> bytes | HalfClose:
        """Takes a frame for a message, and an empty one for the half-close."""
        return text_frame(text, data) or HalfClose.HALF_CLOSE

    def headers(self, _metadata: Metadata) -> str:
        """Returns nothing."""
        return ""

    def message(self, json: bytes) -> str:
        """Returns the message as it is."""
        return json.decode()

    def gap(self, json: bytes) -> str:
        """Returns the Gap as an `Any`."""
        return gap_as_any(json).decode()

    def status(self, _json: bytes, _trailers: Metadata) -> str:
        """Returns nothing: the close frame has the status."""
        return ""


def text_frame(text: str | None, data: bytes | None) -> bytes:
    """Returns the JSON of a text frame.

    Raises:
        StatusError: the frame is binary, which no subprotocol here uses.
    """
    if text is None:
        size = len(data or b"")
        raise StatusError.of(
            INVALID_ARGUMENT, f"frames are text here, and this one is binary: {size} bytes"
        )
    return text.encode()


def close_code(code: int) -> int:
    """Returns the close code for a status code; one that gRPC does not know is UNKNOWN."""
    if code == OK:
        return CLOSE_OK
    return _CLOSE_STATUS + (code if code in HTTP_STATUS else UNKNOWN)


def close_reason(message: str) -> str:
    """Cuts a message to what a close frame can hold, between two characters."""
    return message.encode()[:_MAX_REASON].decode(errors="ignore")
