"""When a caller should come back, as the server says it: `google.rpc.RetryInfo` in the details of a status.

Source: google/rpc/error_details.proto.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

MAX_RETRY_SECONDS: Final = 86_400.0
"""A delay that is longer is taken for this one, so that no fault of a server keeps callers away for ever."""


def retry_seconds(status: Status) -> float | None:
    """Returns the delay in seconds, from 0 to `MAX_RETRY_SECONDS`, the longest of several; None: not said.

    A detail that is not what its type says is passed over.
    """
    found: float | None = None
    retry = RetryInfo()
    for detail in status.details:
        if not detail.Is(RetryInfo.DESCRIPTOR):
            continue
        try:
            detail.Unpack(retry)
        except DecodeError:
            continue
        delay = retry.retry_delay
        seconds = min(max(0.0, delay.seconds + delay.nanos / 1e9), MAX_RETRY_SECONDS)
        found = seconds if found is None else max(found, seconds)
    return found
