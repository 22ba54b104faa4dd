"""Framing of server streams: NDJSON, a JSON text sequence, a JSON array, SSE, or raw data.

Every framing has three distinct ends. Clean: the HTTP message ends, with a closed array or an SSE `event:
end`. Error: the last frame has the `google.rpc.Status`; in SSE it is an `event: error`, elsewhere a
`google.protobuf.Any`, whose `@type` distinguishes it from a message. Cut: the HTTP message is incomplete. A
gap, where messages are missing, is an `event: gap` or an `Any` too.

Sources: ndjson-spec 1.0; RFC 7464; RFC 8259; HTML Living Standard, "Server-sent events".
"""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

import orjson

from gateway.transcoding.event_ids import END_ID

_TYPE_URL_PREFIX: Final = "type.googleapis.com/"


class FrameEncoder(Protocol):
    """Frames the messages of one response."""

    @property
    def media_type(self) -> str:
        """The `Content-Type` of the response."""
        ...

    def start(self) -> bytes:
        """Returns the bytes before the first message; may be empty."""
        ...

    def message(self, json: bytes, event_id: bytes) -> bytes:
        """Returns the frame of a message; the id is written only if the framing has ids."""
        ...

    def gap(self, gap: bytes, event_id: bytes) -> bytes:
        """Returns the frame for missing messages; `gap` is the JSON of a `gateway.v1.Gap`."""
        ...

    def heartbeat(self) -> bytes:
        """Returns the bytes that keep an idle stream alive; empty if the framing has none."""
        ...

    def end(self) -> bytes:
        """Returns the clean end."""
        ...

    def error(self, status: bytes, retry: int | None) -> bytes | None:
        """Returns the end with an error; None: the framing has none, so the connection must be cut.

        Args:
            status: JSON of a `google.rpc.Status`.
            retry: milliseconds after which to reconnect; None: do not reconnect.
        """
        ...


class NdjsonEncoder:
    """One JSON text per line."""

    media_type: ClassVar = "application/x-ndjson"

    def start(self) -> bytes:
        """Returns nothing."""
        return b""

    def message(self, json: bytes, _event_id: bytes) -> bytes:
        """Returns a line."""
        return json + b"\n"

    def gap(self, gap: bytes, _event_id: bytes) -> bytes:
        """Returns a line with the Gap as an `Any`."""
        return gap_as_any(gap) + b"\n"

    def heartbeat(self) -> bytes:
        """Returns a space: whitespace before the JSON of the next line."""
        return b" "

    def end(self) -> bytes:
        """Returns nothing: the end of the HTTP message is the clean end."""
        return b""

    def error(self, status: bytes, _retry: int | None) -> bytes:
        """Returns a last line with the Status as an `Any`."""
        return status_as_any(status) + b"\n"


class JsonSeqEncoder:
    """A JSON text sequence: a record separator before each text, a line feed after it."""

    media_type: ClassVar = "application/json-seq"

    def start(self) -> bytes:
        """Returns nothing."""
        return b""

    def message(self, json: bytes, _event_id: bytes) -> bytes:
        """Returns one text."""
        return b"\x1e%b\n" % json

    def gap(self, gap: bytes, _event_id: bytes) -> bytes:
        """Returns the Gap as an `Any`."""
        return b"\x1e%b\n" % gap_as_any(gap)

    def heartbeat(self) -> bytes:
        """Returns a record separator: consecutive ones are not an empty text (RFC 7464, 2.1)."""
        return b"\x1e"

    def end(self) -> bytes:
        """Returns nothing: the end of the HTTP message is the clean end."""
        return b""

    def error(self, status: bytes, _retry: int | None) -> bytes:
        """Returns a last text with the Status as an `Any`."""
        return b"\x1e%b\n" % status_as_any(status)


class JsonArrayEncoder:
    """One JSON array for the whole stream."""

    media_type: ClassVar = "application/json"

    def __init__(self) -> None:
        self._separator = b"["

    def start(self) -> bytes:
        """Returns nothing: the opening bracket is part of the first element."""
        return b""

    def message(self, json: bytes, _event_id: bytes) -> bytes:
        """Returns an element after `[` or `,`."""
        return self._element(json)

    def gap(self, gap: bytes, _event_id: bytes) -> bytes:
        """Returns an element with the Gap as an `Any`."""
        return self._element(gap_as_any(gap))

    def heartbeat(self) -> bytes:
        """Returns a space: whitespace between elements."""
        return b" "

    def end(self) -> bytes:
        """Returns the closing bracket."""
        return b"]" if self._separator == b"," else b"[]"

    def error(self, status: bytes, _retry: int | None) -> bytes:
        """Returns a last element with the Status as an `Any`, and the closing bracket."""
        return self._element(status_as_any(status)) + b"]"

    def _element(self, json: bytes) -> bytes:
        separator, self._separator = self._separator, b","
        return separator + json


class SseEncoder:
    """Server-Sent Events: messages have the default type; `gap`, `end` and `error` are event types."""

    media_type: ClassVar = "text/event-stream"

    def __init__(self, retry: int) -> None:
        """Makes an encoder; `retry` is the reconnection time in milliseconds."""
        self._retry = retry

    def start(self) -> bytes:
        """Returns the reconnection time."""
        return b"retry: %d\n\n" % self._retry

    def message(self, json: bytes, event_id: bytes) -> bytes:
        """Returns an event; the JSON has no line breaks, so one `data` field suffices."""
        return self._id(event_id) + b"data: %b\n\n" % json

    def gap(self, gap: bytes, event_id: bytes) -> bytes:
        """Returns an `event: gap`."""
        return self._id(event_id) + b"event: gap\ndata: %b\n\n" % gap

    def _id(self, event_id: bytes) -> bytes:
        return b"id: %b\n" % event_id if event_id else b""

    def heartbeat(self) -> bytes:
        """Returns a comment."""
        return b":\n\n"

    def end(self) -> bytes:
        """Returns an `event: end`, whose id tells a browser that reconnects to stop."""
        return b"id: %b\nevent: end\ndata: {}\n\n" % END_ID.encode()

    def error(self, status: bytes, retry: int | None) -> bytes:
        """Returns an `event: error` with the Status; without `retry` its id is that of an end."""
        if retry is None:
            return b"id: %b\nevent: error\ndata: %b\n\n" % (END_ID.encode(), status)
        return b"retry: %d\nevent: error\ndata: %b\n\n" % (retry, status)


class RawEncoder:
    """The data of HttpBody messages, one after the other."""

    def __init__(self) -> None:
        self._media_type = ""

    @property
    def media_type(self) -> str:
        """The content type of the first message."""
        return self._media_type or "application/octet-stream"

    def set_media_type(self, media_type: str) -> None:
        """Sets the content type; only the first call counts (google/api/httpbody.proto)."""
        self._media_type = self._media_type or media_type

    def start(self) -> bytes:
        """Returns nothing."""
        return b""

    def message(self, json: bytes, _event_id: bytes) -> bytes:
        """Returns the data unchanged."""
        return json

    def gap(self, _gap: bytes, _event_id: bytes) -> bytes:
        """Returns nothing: raw data cannot contain a gap."""
        return b""

    def heartbeat(self) -> bytes:
        """Returns nothing: any byte would be data."""
        return b""

    def end(self) -> bytes:
        """Returns nothing: the end of the HTTP message is the clean end."""
        return b""

    def error(self, _status: bytes, _retry: int | None) -> None:
        """Returns None: raw data cannot contain a status."""


def status_as_any(status: bytes) -> bytes:
    """Returns the JSON of a `google.protobuf.Any` that contains a `google.rpc.Status`."""
    return _as_any("google.rpc.Status", status)


def gap_as_any(gap: bytes) -> bytes:
    """Returns the JSON of a `google.protobuf.Any` that contains a `gateway.v1.Gap`."""
    return _as_any("gateway.v1.Gap", gap)


def _as_any(name: str, json: bytes) -> bytes:
    return orjson.dumps({"@type": _TYPE_URL_PREFIX + name} | orjson.loads(json))
