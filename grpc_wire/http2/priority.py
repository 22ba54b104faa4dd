"""Priorities of responses (RFC 9218), of which the urgency is obeyed: pure functions."""

from __future__ import annotations

import re
from typing import Final

from grpc_wire.http2.errors import ConnectionFault, ErrorCode

USUAL: Final = 3
"""Urgency of what has none (4.1); 0 is sent first, 7 last."""
_URGENCY: Final = re.compile(rb"(?:^|[, \t])u=([0-7])(?:$|[,; \t])")
_ID_BYTES: Final = 4
_LARGEST_ID: Final = 2**31 - 1


def urgency_of(value: bytes) -> int | None:
    """Returns the urgency that a priority field value says (4.1); None if it says none."""
    found = _URGENCY.search(value)
    return None if found is None else int(found[1])


def read_update(payload: bytes) -> tuple[int, int]:
    """Returns the stream that PRIORITY_UPDATE names, and its urgency (7.1).

    Raises:
        ConnectionFault: the frame is too short, or names no stream.
    """
    if len(payload) < _ID_BYTES:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY_UPDATE")
    stream_id = int.from_bytes(payload[:_ID_BYTES]) & _LARGEST_ID
    if stream_id % 2 == 0:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY_UPDATE of no request")
    urgency = urgency_of(payload[_ID_BYTES:])
    return stream_id, USUAL if urgency is None else urgency
