"""The WebSocket subprotocol `grpc-json.v1`.

One text frame is one message, in protobuf JSON, both ways. An empty text frame from the client is its
half-close, for which a WebSocket has no word of its own. The status travels in the close frame: 1000 is OK,
4000 + code anything else, with the message as the reason, cut to what a close frame can hold.

Source: RFC 6455, sections 5.5.1 (a reason of at most 123 bytes of UTF-8) and 7.4.2 (codes 4000-4999 are for
private use).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from gateway.transcoding.status import HTTP_STATUS, INVALID_ARGUMENT, OK, UNKNOWN, StatusError

SUBPROTOCOL: Final = "grpc-json.v1"
CLOSE_OK: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_TOO_BIG: Final = 1009
_CLOSE_STATUS: Final = 4000
_MAX_REASON: Final = 123


class HalfClose(Enum):
    """The client has sent its last message."""

    HALF_CLOSE = "half-close"


def read_frame(text: str | None, data: bytes | None) -> bytes | HalfClose:
    """Returns the JSON of a message, or that there are no more.

    Raises:
        StatusError: the frame is binary, which this subprotocol does not use.
    """
    if text is None:
        raise StatusError.of(
            INVALID_ARGUMENT,
            f"{SUBPROTOCOL} takes text frames, and this one is binary: {len(data or b'')} bytes",
        )
    return text.encode() if text else HalfClose.HALF_CLOSE


def close_code(code: int) -> int:
    """Returns the close code for a status code; one that gRPC does not know is UNKNOWN."""
    if code == OK:
        return CLOSE_OK
    return _CLOSE_STATUS + (code if code in HTTP_STATUS else UNKNOWN)


def close_reason(message: str) -> str:
    """Cuts a message to what a close frame can hold, between two characters."""
    return message.encode()[:_MAX_REASON].decode(errors="ignore")
