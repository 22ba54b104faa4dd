"""When a caller should come back, as the server says it in a status or in metadata.

Sources: google/rpc/error_details.proto (`RetryInfo`); RFC 9110, 10.2.3 (`Retry-After`); gRPC's A6, "Pushback"
(`grpc-retry-pushback-ms`, where less than 0 asks for no try by the client itself).
"""

from __future__ import annotations

import re
from typing import Final

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from gateway.transcoding.metadata import Metadata

MAX_RETRY_SECONDS: Final = 86_400.0
"""A delay that is longer is taken for this one, so that no fault of a server keeps callers away for ever."""
_DELAYS: Final = {"retry-after": 1.0, "grpc-retry-pushback-ms": 0.001}
"""Keys of metadata whose value is a delay, and their unit in seconds."""
_NUMBER: Final = re.compile(r"[0-9]+")
_DATE: Final = re.compile(
    rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


def retry_seconds(status: Status, metadata: Metadata = ()) -> float | None:
    """Returns the delay in seconds, from 0 to `MAX_RETRY_SECONDS`, the longest of several; None: not said.

    A detail that is not what its type says is passed over, and so is a value that is no number.
    """
    delays = [*_of_details(status), *_of_metadata(metadata)]
    return min(max(delays), MAX_RETRY_SECONDS) if delays else None


def is_date(retry_after: bytes) -> bool:
    """Whether a `Retry-After` is a date (RFC 9110, 5.6.7), in the form in which dates are to be sent."""
    return _DATE.fullmatch(retry_after) is not None


def _of_details(status: Status) -> list[float]:
    delays: list[float] = []
    retry = RetryInfo()
    for detail in status.details:
        if not detail.Is(RetryInfo.DESCRIPTOR):
            continue
        try:
            detail.Unpack(retry)
        except DecodeError:
            continue
        delay = retry.retry_delay
        delays.append(max(0.0, delay.seconds + delay.nanos / 1e9))
    return delays


def _of_metadata(metadata: Metadata) -> list[float]:
    delays: list[float] = []
    for key, value in metadata:
        unit = _DELAYS.get(key)
        if unit is not None and isinstance(value, str) and _NUMBER.fullmatch(value):
            delays.append(float(value) * unit)
    return delays
