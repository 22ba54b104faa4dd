"""The ids of Server-Sent Events: valid ids, and reserved ones.

Source: HTML Living Standard, "Server-sent events" (no control characters; `Last-Event-ID` is UTF-8).
"""

from __future__ import annotations

from typing import Final

END_ID: Final = "end"
"""The id of the last event of a stream."""
UNKNOWN_ID: Final = "\0"
"""Replaces an invalid `Last-Event-ID`; no header can have this value."""
MAX_ID_BYTES: Final = 1024
"""Maximum bytes of an id in UTF-8. A longer one is neither sent nor accepted."""


def is_valid_event_id(event_id: str) -> bool:
    """Whether a client will send an id back unchanged in `Last-Event-ID`.

    Invalid are an empty id, leading or trailing whitespace, control characters (an event stream or a header
    cannot contain them), more than `MAX_ID_BYTES`, and the reserved `END_ID`.
    """
    return (
        event_id.isprintable()
        and event_id == event_id.strip()
        and event_id not in ("", END_ID)
        and len(event_id.encode()) <= MAX_ID_BYTES
    )
