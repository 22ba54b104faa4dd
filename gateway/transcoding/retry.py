"""Retry delays in a status or in metadata.

Sources: google/rpc/error_details.proto (`RetryInfo`); RFC 9110, 10.2.3 (`Retry-After`); gRPC's A6, "Pushback"
(`grpc-retry-pushback-ms`; a negative value, "do not retry", is ignored).
"""

from __future__ import annotations

import re
from typing import Final

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from gateway.transcoding.metadata import Metadata

MAX_RETRY_SECONDS: Final = 86_400.0
"""Maximum delay; longer ones are cut to it."""
_DELAYS: Final = {"retry-after": 1.0, "grpc-retry-pushback-ms": 0.001}
"""Metadata key of a delay -> its unit in seconds."""
_NUMBER: Final = re.compile(r"[0-9]+")
_DATE: Final = re.compile(
    rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


def retry_seconds(status: Status, metadata: Metadata = ()) -> float | None:
    """Returns the longest delay in seconds, from 0 to `MAX_RETRY_SECONDS`; None: there is none.

    A malformed `RetryInfo` is ignored, as is a metadata value that is not a number.
    """
    delays = [*_detail_delays(status), *_metadata_delays(metadata)]
    return min(max(delays), MAX_RETRY_SECONDS) if delays else None


def is_date(retry_after: bytes) -> bool:
    """Whether a `Retry-After` is a date in the preferred format (RFC 9110, 5.6.7)."""
    return _DATE.fullmatch(retry_after) is not None


def _detail_delays(status: Status) -> list[float]:
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


def _metadata_delays(metadata: Metadata) -> list[float]:
    delays: list[float] = []
    for key, value in metadata:
        unit = _DELAYS.get(key)
        if unit is not None and isinstance(value, str) and _NUMBER.fullmatch(value):
            delays.append(float(value) * unit)
    return delays
