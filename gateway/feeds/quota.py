"""Quotas for feeds: the number of feeds and their bytes, per process and per caller."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo

from gateway.feeds.feed import Feed
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError

RETRY_SECONDS: Final = 5
"""`RetryInfo.retry_delay` of a refused stream."""
_SHRINK_FRACTION: Final = 64
"""All feeds are examined again after 1/64 of the quota was added: a pass takes time for each feed."""


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """The limits of a quota; the defaults are in `gateway.settings`."""

    feeds: int
    """Maximum number of feeds."""
    bytes: int
    """Maximum bytes of memory of these feeds."""
    feeds_setting: str
    """Name of the setting for `feeds`, for error messages."""
    bytes_setting: str
    """Name of the setting for `bytes`, for error messages."""
    http_status: int
    """HTTP status of a refused stream: 503 for the process, 429 for a caller."""


@dataclass(slots=True, eq=False)
class Account:
    """The memory of one feed."""

    caller: Metadata
    """Identifies the caller that opened the feed."""
    quotas: tuple[Quota, ...]
    """The quota of its caller and that of the process; empty after the feed has ended."""
    fixed: int
    """Bytes of the feed without its log."""
    size: int = 0
    """Bytes of the feed as counted in its quotas."""
    idle: bool = False
    """Whether the feed has no reader."""
    feed: Feed | None = None
    """None before the feed has started and after it has ended."""

    def fair_share(self) -> int:
        """Returns the bytes that the log may have if all feeds of a quota have an equal share."""
        return min((quota.fair_share for quota in self.quotas), default=self.fixed) - self.fixed

    def shrink(self, max_bytes: int) -> None:
        """Drops the oldest messages of the feed until its size is at most `max_bytes`."""
        if self.feed is not None and self.size > max_bytes:
            self.feed.shrink(max_bytes - self.fixed)


class Quota:
    """The feeds of the process or of one caller, and their bytes."""

    __slots__ = ("_added", "bytes", "feeds", "idle", "limits")

    def __init__(self, limits: QuotaLimits) -> None:
        """Creates a quota without feeds."""
        self.limits = limits
        self.bytes = 0
        self.feeds: dict[Account, None] = {}
        self.idle: OrderedDict[Account, None] = OrderedDict()
        """Accounts of feeds without a reader, longest idle first."""
        self._added = limits.bytes

    def add_bytes(self, size: int) -> bool:
        """Adds to the bytes; returns whether the limit is exceeded."""
        self.bytes += size
        if size > 0:
            self._added += size
        return self.bytes > self.limits.bytes

    def is_full(self) -> bool:
        """Whether the maximum number of feeds is reached."""
        return len(self.feeds) >= self.limits.feeds

    def fits(self, size: int) -> bool:
        """Whether `size` more bytes are within the limit."""
        return self.bytes + size <= self.limits.bytes

    def is_shrink_due(self) -> bool:
        """Whether enough bytes were added since this last returned True to examine all feeds again."""
        if self._added * _SHRINK_FRACTION < self.limits.bytes:
            return False
        self._added = 0
        return True

    @property
    def fair_share(self) -> int:
        """An equal share of the bytes for each feed."""
        return self.limits.bytes // max(1, len(self.feeds))

    def refusal(self) -> StatusError:
        """Returns RESOURCE_EXHAUSTED for a refused stream; its message names the setting."""
        limits = self.limits
        if self.is_full():
            message = f"too many streams are open: {limits.feeds_setting} is {limits.feeds}"
        else:
            message = f"too much is kept of open streams: {limits.bytes_setting} is {limits.bytes}"
        retry = RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))
        return StatusError.of(RESOURCE_EXHAUSTED, message, retry, http_status=limits.http_status)
