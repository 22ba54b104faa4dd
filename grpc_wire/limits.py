"""What a peer may ask of a connection: each defence is a number with a name.

Sources: RFC 9113, section 10.5 (denial-of-service considerations); CVE-2019-9511 to 9518 (floods of
ping, settings, empty frames, window updates, resets); CVE-2023-44487 (rapid reset); CVE-2024-27316 and
its kin (endless CONTINUATION).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection; sizes in bytes."""

    concurrent_streams: int = 1000
    """How many streams the peer may have open; one more is refused (SETTINGS_MAX_CONCURRENT_STREAMS)."""
    header_list: int = 16 * 1024
    """One header section, decoded, as HPACK counts it (SETTINGS_MAX_HEADER_LIST_SIZE)."""
    header_block: int = 32 * 1024
    """One header section as it comes, in HEADERS and CONTINUATION; more is the end of the connection."""
    continuations: int = 32
    """Frames of one header section beside the first."""
    header_table: int = 4096
    """The table of compressed headers either way (SETTINGS_HEADER_TABLE_SIZE)."""
    frame: int = 16 * 1024
    """The largest frame (SETTINGS_MAX_FRAME_SIZE); at least 16,384."""
    stream_window: int = 64 * 1024
    """What a peer may send on a stream unread; grows for a message that is larger (`Connection.expect`)."""
    connection_window: int = 1024 * 1024
    """What a peer may send on all streams before this side has seen it; seen is enough, read need not be."""
    queued: int = 64 * 1024
    """Of a stream, what waits for the peer's windows; above it, senders are to wait."""
    control_frames: int = 1000
    """Frames that ask for an answer or for work and carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE
    without effect, empty DATA, unknown types), beyond what is earned: each byte of messages earns a little."""
    resets: int = 200
    """Streams that the peer opened and gave up before they were answered, in one period."""
    period: float = 10.0
    """Seconds in which `control_frames` and `resets` are forgiven."""
    unsent: int = 1024 * 1024
    """Answers to control frames that the transport has not taken yet; a peer that asks and does not read
    is cut."""


DEFAULT = Limits()
