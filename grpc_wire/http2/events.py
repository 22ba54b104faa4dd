"""Events of a connection, for whoever drives it.

Events that come with every call and message are classes with slots and a constructor of their own: a named
tuple takes twice as long to make, and so does what a generated constructor makes of compiled code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from grpc_wire.headers.section import Headers


@dataclass(slots=True, init=False)
class HeadersReceived:
    """A header section: of a request, of a response, or trailers.

    Informational responses (1xx) have no event.
    """

    stream_id: int
    headers: Headers
    end_stream: bool
    is_trailers: bool
    """Whether the stream had a header section before."""
    prefix: Headers = field(compare=False)
    """Fields at the start that other sections of this connection share; a key for caches."""
    data: bytes
    """DATA that came with the section, as in `DataReceived`; `end_stream` is behind it."""
    trailers: Headers | None
    """Trailers that came with the section; None if none did. A trailers-only response has neither these nor
    data."""

    def __init__(
        self,
        stream_id: int,
        headers: Headers,
        end_stream: bool,  # noqa: FBT001 - as the fields
        is_trailers: bool,  # noqa: FBT001 - by place, for speed
        prefix: Headers = (),
        data: bytes = b"",
        trailers: Headers | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.headers = headers
        self.end_stream = end_stream
        self.is_trailers = is_trailers
        self.prefix = prefix
        self.data = data
        self.trailers = trailers


@dataclass(slots=True, init=False)
class DataReceived:
    """Bytes of a stream, of one frame or more. They count against its window until `Connection.consumed`."""

    stream_id: int
    data: bytes
    end_stream: bool
    trailers: Headers | None
    """Trailers that came with the data; None if none did."""

    def __init__(
        self,
        stream_id: int,
        data: bytes,
        end_stream: bool,  # noqa: FBT001 - as the fields
        trailers: Headers | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.data = data
        self.end_stream = end_stream
        self.trailers = trailers


class RequestTooLarge(NamedTuple):
    """A request whose header section exceeds `Limits.header_list`; the section is dropped.

    Its stream is open: respond or reset.
    """

    stream_id: int
    sizes: str
    """Lower bound of the section's size, and the limit, as text."""


class StreamReset(NamedTuple):
    """A stream was reset: nothing more comes, and nothing can be sent.

    The peer reset it; or this side did, because of a stream error; or the peer will not process it (GOAWAY).
    In
    the last case `code` is REFUSED_STREAM, and the call may be retried elsewhere (RFC 9113, 8.7).
    """

    stream_id: int
    code: int
    reason: str
    by_peer: bool


class StreamDrained(NamedTuple):
    """The send queue of a stream is empty; only for streams that had queued data."""

    stream_id: int


class SettingsReceived(NamedTuple):
    """The peer sent SETTINGS."""

    concurrent_streams: int
    """Maximum number of streams that this side may open."""


class PingAcknowledged(NamedTuple):
    """The peer acknowledged a PING."""

    data: bytes


class GoAwayReceived(NamedTuple):
    """The peer accepts no new streams. Streams it will not process have a `StreamReset` each."""

    last_stream_id: int
    code: int
    debug: bytes

    @property
    def reason(self) -> str:
        """Text for a GOAWAY with an error; empty if the code is NO_ERROR."""
        words = self.debug.decode(errors="replace")
        return f"the peer said GOAWAY {self.code:#x} {words}" if self.code else ""


class ConnectionFailed(NamedTuple):
    """The peer caused a connection error: all streams have ended.

    Send what `take_output` returns (the GOAWAY), then close the transport.
    """

    code: int
    reason: str


ConnectionEvent: TypeAlias = (
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
