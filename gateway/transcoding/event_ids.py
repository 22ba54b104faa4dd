"""The ids of Server-Sent Events: which can be given out, and which are read in `Last-Event-ID`.

Source: HTML Living Standard, "Server-sent events" (an id has no control characters; the header is in UTF-8).
"""

from __future__ import annotations

from typing import Final

END_ID: Final = "end"
"""The id of a stream that is over; nothing comes after it."""
UNKNOWN_ID: Final = "\0"
"""Stands for a `Last-Event-ID` that no stream can have given out; no header can have this value."""
MAX_ID_BYTES: Final = 1024
"""Maximum bytes of an id, in UTF-8. A longer one is neither given out nor read."""


def is_valid_event_id(event_id: str) -> bool:
    """Whether an id comes back in `Last-Event-ID` as it was given out.

    Not so: one that is empty, begins or ends with white space, or has control characters, which an event
    stream or a header does not carry; one above `MAX_ID_BYTES`; and `END_ID`, which has a meaning.
    """
    return (
        event_id.isprintable()
        and event_id == event_id.strip()
        and event_id not in ("", END_ID)
        and len(event_id.encode()) <= MAX_ID_BYTES
    )
