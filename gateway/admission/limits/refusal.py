"""What a caller is told that has asked for too much.

Sources: google/rpc/error_details.proto (`RetryInfo`, `QuotaFailure`); RFC 6585, 4 (429); RFC 9110, 10.2.3
(`Retry-After`, which `error_headers` makes of `RetryInfo`).
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError

RETRY_SECONDS: Final = 1.0
"""Delay of a retry where nobody knows when something that is under way ends."""
_CACHED: Final = 1024
_WORDS: Final = {
    "requests": "too many requests",
    "messages": "too many messages",
    "bytes": "too many bytes",
    "calls": "too many calls at a time",
    "streams": "too many streams at a time",
}


def refusal(name: str, counts: str, seconds: float) -> StatusError:
    """Makes the error of a rule.

    Args:
        name: of the rule.
        counts: what it counts.
        seconds: after which to come back; they are rounded up to whole ones.
    """
    return StatusError(_status(name, counts, max(1, ceil(seconds))))


@lru_cache(maxsize=_CACHED)
def _status(name: str, counts: str, seconds: int) -> Status:
    """Returns a status, which is read by many errors: a flood of refusals must cost little."""
    words = _WORDS[counts]
    status = Status(code=RESOURCE_EXHAUSTED, message=f"{words}; the limit is {name!r}")
    retry = RetryInfo(retry_delay=Duration(seconds=seconds))
    violation = QuotaFailure.Violation(subject=f"limit:{name}", description=words)
    for detail in (retry, QuotaFailure(violations=[violation])):
        status.details.add().Pack(detail)
    return status
