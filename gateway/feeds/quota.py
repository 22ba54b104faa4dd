"""How many feeds there may be, and how many bytes they may keep: of one process, and of one caller."""

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
"""`RetryInfo` of a stream that is refused."""
_SHRINK_AT: Final = 64
"""All feeds are examined again only when a 64th of the bound was added, for that takes time for each."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The limits of one kind of owner; see `gateway.settings` for the defaults."""

    feeds: int
    """Maximum number of feeds."""
    bytes: int
    """Maximum memory of them, with all that they keep."""
    feeds_setting: str
    """Name of the setting that says `feeds`."""
    bytes_setting: str
    """Name of the setting that says `bytes`."""
    http_status: int
    """Status beyond the limits: 503 for the process, 429 for a caller."""


@dataclass(slots=True, eq=False)
class Account:
    """The memory of one feed."""

    caller: Metadata
    quotas: tuple[Quota, ...]
    """That of its caller, and that of the process; empty when the feed has ended."""
    fixed: int
    """Its bytes beside those of its log."""
    size: int = 0
    """Its bytes, as they are counted in its quotas."""
    idle: bool = False
    """Whether nobody reads it."""
    feed: Feed | None = None
    """None before it starts, and when it has ended."""

    def share(self) -> int:
        """Returns the bytes that its log may have if all feeds have an equal share."""
        return min((quota.share for quota in self.quotas), default=self.fixed) - self.fixed

    def shrink(self, max_bytes: int) -> None:
        """Drops the feed's oldest messages until it takes no more than so many bytes in all."""
        if self.feed is not None and self.size > max_bytes:
            self.feed.shrink(max_bytes - self.fixed)


class Quota:
    """The feeds of one owner, and their bytes."""

    __slots__ = ("_grown", "bound", "bytes", "feeds", "idle")

    def __init__(self, bound: Bound) -> None:
        """Begins without feeds."""
        self.bound = bound
        self.bytes = 0
        self.feeds: dict[Account, None] = {}
        self.idle: OrderedDict[Account, None] = OrderedDict()
        """Those of feeds that nobody reads; the first was left first."""
        self._grown = bound.bytes

    def count(self, size: int) -> bool:
        """Adds to the bytes; returns whether there are too many."""
        self.bytes += size
        if size > 0:
            self._grown += size
        return self.bytes > self.bound.bytes

    def is_full(self) -> bool:
        """Whether the maximum number of feeds is reached."""
        return len(self.feeds) >= self.bound.feeds

    def has_room(self, size: int) -> bool:
        """Whether there may be so many bytes more."""
        return self.bytes + size <= self.bound.bytes

    def may_shrink(self) -> bool:
        """Whether enough was added, since this last returned True, to examine all feeds again."""
        if self._grown * _SHRINK_AT < self.bound.bytes:
            return False
        self._grown = 0
        return True

    @property
    def share(self) -> int:
        """An equal share of the bytes, for each feed."""
        return self.bound.bytes // max(1, len(self.feeds))

    def refusal(self) -> StatusError:
        """Returns the error of a stream that is refused: RESOURCE_EXHAUSTED, with the name of the setting."""
        bound = self.bound
        if self.is_full():
            message = f"too many streams are open: {bound.feeds_setting} is {bound.feeds}"
        else:
            message = f"too much is kept of open streams: {bound.bytes_setting} is {bound.bytes}"
        retry = RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))
        return StatusError.of(RESOURCE_EXHAUSTED, message, retry, http_status=bound.http_status)
