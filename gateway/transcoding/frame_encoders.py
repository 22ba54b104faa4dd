"""Message boundaries in what the server streams: NDJSON, a JSON text sequence or array, SSE, or raw data.

Every framing has three ends that cannot be taken for one another. Clean: the HTTP message ends, with the
array closed, or an SSE `event: end`. Error: a last frame with the `google.rpc.Status`; in SSE an `event:
error`, elsewhere the Status as `google.protobuf.Any`, whose `@type` no other message has. Cut: the HTTP
message does not end. A gap, where messages are missing, is told in the same two ways.

Sources: ndjson-spec 1.0; RFC 7464; RFC 8259; HTML Living Standard, "Server-sent events".
"""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

import orjson

from gateway.transcoding.event_ids import END_ID

_ANY: Final = "type.googleapis.com/"


class FrameEncoder(Protocol):
    """What writes the messages of one answer."""

    @property
    def media_type(self) -> str:
        """The `Content-Type` of the answer."""
        ...

    def start(self) -> bytes:
        """Returns what goes out with the headers, before any message; may be nothing."""
        ...

    def message(self, json: bytes, event_id: bytes) -> bytes:
        """Returns one message; its id is written where the framing has ids."""
        ...

    def gap(self, gap: bytes, event_id: bytes) -> bytes:
        """Returns what stands for missing messages; `gap` is the JSON of a `gateway.v1.Gap`."""
        ...

    def heartbeat(self) -> bytes:
        """Returns what shows that a silent stream lives; nothing where the framing has no such thing."""
        ...

    def end(self) -> bytes:
        """Returns the clean end."""
        ...

    def error(self, status: bytes, retry: int | None) -> bytes | None:
        """Returns the end with an error, or None: the framing has no such end, the answer has to be cut.

        Args:
            status: the JSON of a `google.rpc.Status`.
            retry: the milliseconds after which it makes sense to come back; None is never.
        """
        ...


class NdjsonEncoder:
    """One JSON text a line."""

    media_type: ClassVar = "application/x-ndjson"

    def start(self) -> bytes:
        """Returns nothing."""
        return b""

    def message(self, json: bytes, _event_id: bytes) -> bytes:
        """Returns a line."""
        return json + b"\n"

    def gap(self, gap: bytes, _event_id: bytes) -> bytes:
        """Returns the Gap as an `Any`, on a line."""
        return gap_as_any(gap) + b"\n"

    def heartbeat(self) -> bytes:
        """Returns a space, which may stand before the next line's JSON."""
        return b" "

    def end(self) -> bytes:
        """Returns nothing: the end of the HTTP message is the clean end."""
        return b""

    def error(self, status: bytes, _retry: int | None) -> bytes:
        """Returns the Status as an `Any`, on the last line."""
        return status_as_any(status) + b"\n"


class JsonSeqEncoder:
    """A JSON text sequence: each text between a record separator and a line feed."""

    media_type: ClassVar = "application/json-seq"

    def start(self) -> bytes:
        """Returns nothing."""
        return b""

    def message(self, json: bytes, _event_id: bytes) -> bytes:
        """Returns a text."""
        return b"\x1e%b\n" % json

    def gap(self, gap: bytes, _event_id: bytes) -> bytes:
        """Returns the Gap as an `Any`."""
        return b"\x1e%b\n" % gap_as_any(gap)

    def heartbeat(self) -> bytes:
        """Returns a record separator: several in a row are no empty text (RFC 7464, 2.1)."""
        return b"\x1e"

    def end(self) -> bytes:
        """Returns nothing: the end of the HTTP message is the clean end."""
        return b""

    def error(self, status: bytes, _retry: int | None) -> bytes:
        """Returns the Status as an `Any`, as the last text."""
        return b"\x1e%b\n" % status_as_any(status)


class JsonArrayEncoder:
    """One JSON array for the whole stream."""

    media_type: ClassVar = "application/json"

    def __init__(self) -> None:
        self._separator = b"["

    def start(self) -> bytes:
        """Returns nothing: the bracket goes with the first element."""
        return b""

    def message(self, json: bytes, _event_id: bytes) -> bytes:
        """Returns an element, with the separator before it."""
        return self._element(json)

    def gap(self, gap: bytes, _event_id: bytes) -> bytes:
        """Returns the Gap as an `Any`, as an element."""
        return self._element(gap_as_any(gap))

    def heartbeat(self) -> bytes:
        """Returns a space, which may stand between elements."""
        return b" "

    def end(self) -> bytes:
        """Returns the closing bracket."""
        return b"]" if self._separator == b"," else b"[]"

    def error(self, status: bytes, _retry: int | None) -> bytes:
        """Returns the Status as an `Any`, as the last element."""
        return self._element(status_as_any(status)) + b"]"

    def _element(self, json: bytes) -> bytes:
        separator, self._separator = self._separator, b","
        return separator + json


class SseEncoder:
    """Server-Sent Events: a message is an event of no name; `gap`, `end` and `error` have theirs."""

    media_type: ClassVar = "text/event-stream"

    def __init__(self, retry: int) -> None:
        """Takes the milliseconds after which a caller that was cut should come back."""
        self._retry = retry

    def start(self) -> bytes:
        """Returns when to come back."""
        return b"retry: %d\n\n" % self._retry

    def message(self, json: bytes, event_id: bytes) -> bytes:
        """Returns an event; JSON on one line needs no splitting."""
        return self._id(event_id) + b"data: %b\n\n" % json

    def gap(self, gap: bytes, event_id: bytes) -> bytes:
        """Returns the event that stands for missing messages."""
        return self._id(event_id) + b"event: gap\ndata: %b\n\n" % gap

    def _id(self, event_id: bytes) -> bytes:
        return b"id: %b\n" % event_id if event_id else b""

    def heartbeat(self) -> bytes:
        """Returns a comment."""
        return b":\n\n"

    def end(self) -> bytes:
        """Returns the event by which a browser knows that it should not come back."""
        return b"id: %b\nevent: end\ndata: {}\n\n" % END_ID.encode()

    def error(self, status: bytes, retry: int | None) -> bytes:
        """Returns the event that carries the Status, and says whether to come back."""
        if retry is None:
            return b"id: %b\nevent: error\ndata: %b\n\n" % (END_ID.encode(), status)
        return b"retry: %d\nevent: error\ndata: %b\n\n" % (retry, status)


class RawEncoder:
    """The data of HttpBody messages, one after the other."""

    def __init__(self) -> None:
        self._media_type = ""

    @property
    def media_type(self) -> str:
        """What the first message says that the data is."""
        return self._media_type or "application/octet-stream"

    def set_media_type(self, media_type: str) -> None:
        """Says what the data is; the first message's word counts (google/api/httpbody.proto)."""
        self._media_type = self._media_type or media_type

    def start(self) -> bytes:
        """Returns nothing."""
        return b""

    def message(self, json: bytes, _event_id: bytes) -> bytes:
        """Returns the data as it is."""
        return json

    def gap(self, _gap: bytes, _event_id: bytes) -> bytes:
        """Returns nothing: among data there is no room for it, nor are there ids to come back by."""
        return b""

    def heartbeat(self) -> bytes:
        """Returns nothing: any byte would be data."""
        return b""

    def end(self) -> bytes:
        """Returns nothing: the end of the HTTP message is the clean end."""
        return b""

    def error(self, _status: bytes, _retry: int | None) -> None:
        """Returns None: among data there is no room for a status."""


def status_as_any(status: bytes) -> bytes:
    """Returns the JSON of a `google.rpc.Status` as that of a `google.protobuf.Any` which holds it."""
    return _as_any("google.rpc.Status", status)


def gap_as_any(gap: bytes) -> bytes:
    """Returns the JSON of a `gateway.v1.Gap` as that of a `google.protobuf.Any` which holds it."""
    return _as_any("gateway.v1.Gap", gap)


def _as_any(name: str, json: bytes) -> bytes:
    return orjson.dumps({"@type": _ANY + name} | orjson.loads(json))
