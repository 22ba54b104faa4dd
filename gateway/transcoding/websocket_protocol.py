"""The WebSocket subprotocols: their common interface, and `grpc-json.v1`.

In `grpc-json.v1` a text frame is a message in protobuf JSON, in both directions. An empty text frame from the
client is its half-close. In all subprotocols the close frame has the status: code 1000 is OK, otherwise 4000
+ the status code; the reason is the status message, truncated.

Source: RFC 6455, sections 5.5.1 (a reason has at most 123 bytes of UTF-8) and 7.4.2 (codes 4000-4999 are for
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
    """The request metadata of a call, as HTTP header fields."""

    fields: tuple[tuple[bytes, bytes], ...]


class Subprotocol(Protocol):
    """The frames of one WebSocket. A frame that the subprotocol lacks is empty: `""`."""

    starts_with_headers: ClassVar[bool]
    """Whether the client's first frame has the request metadata."""

    def read(self, text: str | None, data: bytes | None) -> HeadersFrame | bytes | HalfClose:
        """Parses a frame from the client, text or binary; bytes are the JSON of a message.

        Raises:
            StatusError: INVALID_ARGUMENT, the frame is invalid or out of order.
        """
        ...

    def headers(self, metadata: Metadata) -> str:
        """Returns the frame for the initial metadata."""
        ...

    def message(self, json: bytes) -> str:
        """Returns the frame for a message."""
        ...

    def gap(self, json: bytes) -> str:
        """Returns the frame for missing messages; `json` is a `gateway.v1.Gap`."""
        ...

    def status(self, json: bytes, trailers: Metadata) -> str:
        """Returns the last frame; `json` is a `google.rpc.Status`."""
        ...


class GrpcJson:
    """`grpc-json.v1`: frames are messages only."""

    starts_with_headers: ClassVar = False

    def read(self, text: str | None, data: bytes | None) -> bytes | HalfClose:
        """Returns the message; for an empty frame the half-close."""
        return text_frame(text, data) or HalfClose.HALF_CLOSE

    def headers(self, _metadata: Metadata) -> str:
        """Returns nothing."""
        return ""

    def message(self, json: bytes) -> str:
        """Returns the message unchanged."""
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
        StatusError: INVALID_ARGUMENT, the frame is binary.
    """
    if text is None:
        size = len(data or b"")
        raise StatusError.of(
            INVALID_ARGUMENT, f"frames are text here, and this one is binary: {size} bytes"
        )
    return text.encode()


def close_code(code: int) -> int:
    """Returns the close code for a status code; an undefined one counts as UNKNOWN."""
    if code == OK:
        return CLOSE_OK
    return _CLOSE_STATUS + (code if code in HTTP_STATUS else UNKNOWN)


def close_reason(message: str) -> str:
    """Truncates a message to 123 bytes of UTF-8, at a character boundary."""
    return message.encode()[:_MAX_REASON].decode(errors="ignore")
