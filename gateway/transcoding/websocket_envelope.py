"""The WebSocket subprotocol `grpc-json-envelope.v1`: each frame has a kind.

A frame is a JSON object with one member, whose name is the kind. The JSON of a message is copied unparsed
between the frame and the codec, so that no digit of a number is lost.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from gateway.transcoding.codec import JsonSyntaxError, parse_json, print_json
from gateway.transcoding.metadata import Metadata, metadata_object
from gateway.transcoding.status import INVALID_ARGUMENT, StatusError, bad_request
from gateway.transcoding.violations import MAX_STEP, quoted, truncated
from gateway.transcoding.websocket_protocol import HalfClose, HeadersFrame, text_frame

_SPACE: Final = b" \t\r\n"
_MESSAGE: Final = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"message"[ \t\r\n]*:(?=[ \t\r\n]*[^ \t\r\n}])'
)
_KINDS: Final = "headers, message or half_close"


class GrpcJsonEnvelope:
    """`grpc-json-envelope.v1` on one connection."""

    starts_with_headers: ClassVar = True

    def __init__(self) -> None:
        self._started = False
        """Whether the first frame was read."""

    def read(self, text: str | None, data: bytes | None) -> HeadersFrame | bytes | HalfClose:
        """Parses a frame. `headers` must be the first frame.

        Raises:
            StatusError: INVALID_ARGUMENT, the frame is invalid or out of order.
        """
        frame = text_frame(text, data)
        message = _extract_message(frame)
        kind, value = _member(frame) if message is None else ("message", None)
        if (kind == "headers") is self._started:
            raise StatusError.of(
                INVALID_ARGUMENT, "headers must be the first frame, and the only one of their kind"
            )
        self._started = True
        if kind == "headers":
            return HeadersFrame(_fields(value))
        if kind == "half_close":
            if value != {}:
                raise StatusError.of(INVALID_ARGUMENT, "half_close: expected {}")
            return HalfClose.HALF_CLOSE
        return print_json(value) if message is None else message

    def headers(self, metadata: Metadata) -> str:
        """Returns the metadata as an object."""
        return print_json({"headers": metadata_object(metadata)}).decode()

    def message(self, json: bytes) -> str:
        """Returns the message in its envelope."""
        return f'{{"message":{json.decode()}}}'

    def gap(self, json: bytes) -> str:
        """Returns the Gap in its envelope."""
        return f'{{"gap":{json.decode()}}}'

    def status(self, json: bytes, trailers: Metadata) -> str:
        """Returns the Status, with the trailing metadata in its `trailers`."""
        members = json[1:-1] + b"," if json != b"{}" else b""
        added = print_json(metadata_object(trailers))
        return (b'{"status":{%b"trailers":%b}}' % (members, added)).decode()


def _extract_message(frame: bytes) -> bytes | None:
    """Returns the unparsed JSON of the message in a frame; None: the frame is of another form.

    The result is one JSON text if and only if the frame is an object with that one member.
    """
    opening = _MESSAGE.match(frame)
    rest = frame.rstrip(_SPACE)
    return rest[opening.end() : -1] if opening and rest.endswith(b"}") else None


def _member(frame: bytes) -> tuple[str, Any]:
    """Returns the kind and the value of a frame.

    Raises:
        StatusError: INVALID_ARGUMENT, the frame is not a JSON object with one known member.
    """
    try:
        value = parse_json(frame)
    except JsonSyntaxError as error:
        raise StatusError.of(INVALID_ARGUMENT, str(error)) from None
    if not isinstance(value, dict) or len(value) != 1:
        raise StatusError.of(INVALID_ARGUMENT, f"a frame is an object with one member: {_KINDS}")
    (member,) = value.items()
    if member[0] not in ("headers", "message", "half_close"):
        raise StatusError.of(
            INVALID_ARGUMENT, f"{quoted(member[0])} is no frame: expected {_KINDS}"
        )
    return member


def _fields(metadata: Any) -> tuple[tuple[bytes, bytes], ...]:
    """Returns the `headers` object as header fields; an array of values becomes several fields."""
    if not isinstance(metadata, dict):
        raise bad_request([("headers", "expected an object")])
    fields: list[tuple[bytes, bytes]] = []
    violations: list[tuple[str, str]] = []
    for key, value in metadata.items():
        values = value if isinstance(value, list) else [value]
        if all(isinstance(one, str) for one in values):
            fields += ((key.lower().encode(), one.encode()) for one in values)
        else:
            violations.append(
                (truncated(key, MAX_STEP), "expected a string, or an array of strings")
            )
    if violations:
        raise bad_request(violations)
    return tuple(fields)
