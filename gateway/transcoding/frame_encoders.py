"""Message boundaries in what the server streams: NDJSON, a JSON array, SSE, or data that has none.

Every framing has three ends that cannot be taken for one another. Clean: the HTTP message ends, with the
array closed, or an SSE `event: end`. Error: a last frame with the `google.rpc.Status`; in SSE an `event:
error`, elsewhere the Status as `google.protobuf.Any`, whose `@type` no other message has. Cut: the HTTP
message does not end.

Sources: ndjson-spec 1.0; RFC 8259; HTML Living Standard, "Server-sent events".
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import orjson


class FrameEncoder(Protocol):
    """What writes the messages of one answer."""

    @property
    def media_type(self) -> str:
        """The `Content-Type` of the answer."""
        ...

    def start(self) -> bytes:
        """Returns what goes out with the headers, before any message; may be nothing."""
        ...

    def message(self, json: bytes) -> bytes:
        """Returns one message."""
        ...

    def idle(self) -> bytes:
        """Returns what shows that a silent stream lives; nothing where the framing has no such thing."""
        ...

    def end(self) -> bytes:
        """Returns the clean end."""
        ...

    def error(self, status: bytes) -> bytes | None:
        """Returns the end with an error; `status` is the JSON of a `google.rpc.Status`.

        None means that the framing has no such end, and the answer has to be cut.
        """
        ...


class NdjsonEncoder:
    """One JSON text a line."""

    media_type: ClassVar = "application/x-ndjson"

    def start(self) -> bytes:
        """Returns nothing."""
        return b""

    def message(self, json: bytes) -> bytes:
        """Returns a line."""
        return json + b"\n"

    def idle(self) -> bytes:
        """Returns a space, which may stand before the next line's JSON."""
        return b" "

    def end(self) -> bytes:
        """Returns nothing: the end of the HTTP message is the clean end."""
        return b""

    def error(self, status: bytes) -> bytes:
        """Returns the Status as an `Any`, on the last line."""
        return status_as_any(status) + b"\n"


class JsonArrayEncoder:
    """One JSON array for the whole stream."""

    media_type: ClassVar = "application/json"

    def __init__(self) -> None:
        self._separator = b"["

    def start(self) -> bytes:
        """Returns nothing: the bracket goes with the first element."""
        return b""

    def message(self, json: bytes) -> bytes:
        """Returns an element, with the separator before it."""
        separator, self._separator = self._separator, b","
        return separator + json

    def idle(self) -> bytes:
        """Returns a space, which may stand between elements."""
        return b" "

    def end(self) -> bytes:
        """Returns the closing bracket."""
        return b"]" if self._separator == b"," else b"[]"

    def error(self, status: bytes) -> bytes:
        """Returns the Status as an `Any`, as the last element."""
        return self.message(status_as_any(status)) + b"]"


class SseEncoder:
    """Server-Sent Events: each message an event of no name, the ends events named `end` and `error`."""

    media_type: ClassVar = "text/event-stream"

    def start(self) -> bytes:
        """Returns nothing."""
        return b""

    def message(self, json: bytes) -> bytes:
        """Returns an event; JSON on one line needs no splitting."""
        return b"data: " + json + b"\n\n"

    def idle(self) -> bytes:
        """Returns a comment."""
        return b":\n\n"

    def end(self) -> bytes:
        """Returns the event by which a browser knows that it should not come back."""
        return b"event: end\ndata: {}\n\n"

    def error(self, status: bytes) -> bytes:
        """Returns the event that carries the Status."""
        return b"event: error\ndata: " + status + b"\n\n"


class RawEncoder:
    """The data of HttpBody messages, one after the other."""

    def __init__(self) -> None:
        self._media_type = ""

    @property
    def media_type(self) -> str:
        """What the first message says that the data is."""
        return self._media_type or "application/octet-stream"

    def begin(self, media_type: str) -> None:
        """Says what the data is; the first message's word counts (google/api/httpbody.proto)."""
        self._media_type = self._media_type or media_type

    def start(self) -> bytes:
        """Returns nothing."""
        return b""

    def message(self, json: bytes) -> bytes:
        """Returns the data as it is."""
        return json

    def idle(self) -> bytes:
        """Returns nothing: any byte would be data."""
        return b""

    def end(self) -> bytes:
        """Returns nothing: the end of the HTTP message is the clean end."""
        return b""

    def error(self, status: bytes) -> None:
        """Returns None: among data there is no room for a status."""


def status_as_any(status: bytes) -> bytes:
    """Returns the JSON of a Status as that of a `google.protobuf.Any` which holds it."""
    url = {"@type": "type.googleapis.com/google.rpc.Status"}
    return orjson.dumps(url | orjson.loads(status))
