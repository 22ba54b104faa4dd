"""What a connection tells whoever drives it.

What every call and every message brings is a class with slots, which is made in half the time of a tuple
with names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from grpc_wire.headers.section import Headers


@dataclass(slots=True)
class HeadersReceived:
    """A header section: of a request, of an answer, or the trailers of either."""

    stream_id: int
    headers: Headers
    end_stream: bool
    trailers: bool
    """Whether headers were received on this stream before; 1xx answers do not count, nor are they told."""
    begin: Headers = field(default=(), compare=False)
    """What they begin with as others of this connection do, and what was made of those holds for these."""
    data: bytes = b""
    """What has come with it, as `DataReceived` has it; `end_stream` is after that."""
    ending: Headers | None = None
    """The trailers that have come with it. An answer that is but a head has neither these nor data."""


@dataclass(slots=True)
class DataReceived:
    """Bytes of a stream, of one frame or many. They count against its window until `Connection.consumed`."""

    stream_id: int
    data: bytes
    end_stream: bool
    ending: Headers | None = None
    """The trailers that have come with them."""


class RequestTooLarge(NamedTuple):
    """A request whose header section is larger than `Limits.header_list`, which is not kept.

    Its stream is open: it is to be answered, or reset.
    """

    stream_id: int
    sizes: str
    """That of the section, at least, and the limit, for people."""


class StreamReset(NamedTuple):
    """A stream ended before its time; nothing more comes of it, and nothing can be sent.

    The peer has reset it, or this side has, for the peer broke a rule; or the peer will not process it
    (GOAWAY): then `code` is REFUSED_STREAM, and the stream may be tried again elsewhere (RFC 9113, 8.7).
    """

    stream_id: int
    code: int
    reason: str
    by_peer: bool


class StreamDrained(NamedTuple):
    """What was queued for a stream has been let out; told only of streams that had something queued."""

    stream_id: int


class SettingsReceived(NamedTuple):
    """The peer's settings have changed, or came for the first time."""

    concurrent_streams: int
    """How many streams the peer lets this side open."""


class PingAcknowledged(NamedTuple):
    """The peer has answered a ping."""

    data: bytes


class GoAwayReceived(NamedTuple):
    """The peer takes no new streams; those it will not process are told as `StreamReset` beside this."""

    last_stream_id: int
    code: int
    debug: bytes

    @property
    def reason(self) -> str:
        """What it says of a fault, in words; empty if there is none."""
        words = self.debug.decode(errors="replace")
        return f"the peer said GOAWAY {self.code:#x} {words}" if self.code else ""


class ConnectionFailed(NamedTuple):
    """The peer broke a rule of the connection: all its streams have ended.

    What `take_output` still gives (the GOAWAY) is to be sent; then the transport is to be closed.
    """

    code: int
    reason: str


Event: TypeAlias = (
    HeadersReceived
    | DataReceived
    | RequestTooLarge
    | StreamReset
    | StreamDrained
    | SettingsReceived
    | PingAcknowledged
    | GoAwayReceived
    | ConnectionFailed
)
