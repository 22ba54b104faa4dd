"""Memory accounting of all feeds of a process, and eviction when a limit is reached.

Idle feeds end first, longest idle first. Then feeds above an equal share drop messages. Then new feeds are
refused. If every feed is as small as it can be and the limit is still exceeded, the largest feed ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from gateway.feeds.feed import Feed
from gateway.feeds.quota import Account, Quota, QuotaLimits
from gateway.transcoding.metadata import Metadata

FEED_BYTES: Final = 4 * 1024
"""Bytes of a feed without its call, messages, request and metadata."""
_PAIR_BYTES: Final = 256
"""Overhead of a metadata pair in bytes, without its characters."""
_ADDRESS: Final = ":address"
"""Key of a caller that is identified by its address; no metadata key can have this name."""
_NETWORK_BYTES: Final = 8
"""Length of the IPv6 network prefix in bytes; a client chooses the other 64 bits (RFC 4291, 2.5.1)."""
_SHRINK_TO: Final = 3, 4
"""Feeds shrink to three quarters of an equal share, so that the next message fits too."""


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """The limits of the feeds of a process; sizes are bytes of memory."""

    max_feed_bytes: int
    """Per feed, besides its newest message; as much again for the newest message of each key."""
    max_idle_bytes: int
    """Of all idle feeds; beyond it the longest idle ones end."""
    max_feeds: int
    """Number of feeds in the process."""
    max_bytes: int
    """Of all feeds in the process."""
    max_caller_feeds: int
    """Number of feeds per caller."""
    max_caller_bytes: int
    """Of all feeds per caller."""
    caller_keys: frozenset[str]
    """Metadata keys that identify a caller; a caller without any of them is identified by its address."""
    call_bytes: int
    """Of the upstream call, per feed."""
    unshared_keys: frozenset[str] = frozenset()
    """Metadata keys that tell of a client's connection; requests that differ in them alone are equal."""

    @property
    def per_process(self) -> QuotaLimits:
        """The limits of all feeds."""
        return QuotaLimits(self.max_feeds, self.max_bytes, "max_feeds", "max_total_feed_bytes", 503)

    @property
    def per_caller(self) -> QuotaLimits:
        """The limits of the feeds of one caller."""
        return QuotaLimits(
            self.max_caller_feeds,
            self.max_caller_bytes,
            "max_caller_feeds",
            "max_caller_feed_bytes",
            429,
        )


class FeedAccounting:
    """Admits feeds, counts their bytes, and evicts feeds beyond the limits."""

    def __init__(self, limits: FeedLimits, close: Callable[[Feed], None]) -> None:
        """Starts without feeds.

        Args:
            limits: the limits.
            close: ends a feed, and calls `remove`.
        """
        self._limits = limits
        self._close = close
        self._caller_limits = limits.per_caller
        self._callers: dict[Metadata, Quota] = {}
        self._all = Quota(limits.per_process)
        self._idle_bytes = 0

    @property
    def bytes(self) -> int:
        """Bytes of all feeds."""
        return self._all.bytes

    @property
    def is_empty(self) -> bool:
        """Whether nothing is counted."""
        return not (self.bytes or self._idle_bytes or self._callers or self._all.feeds)

    def admit(
        self, message_bytes: int, metadata: Metadata, identity: Metadata, client: str = ""
    ) -> Account:
        """Admits one more feed, and evicts others for it if need be.

        Args:
            message_bytes: size of the request message.
            metadata: forwarded metadata of the request.
            identity: the metadata that distinguish requests; a subset of `metadata`.
            client: address of the client, which identifies a caller without `FeedLimits.caller_keys`.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the quota of the caller or of the process is used up.
        """
        pairs = sum(_PAIR_BYTES + len(key) + len(value) for key, value in metadata)
        size = FEED_BYTES + self._limits.call_bytes + message_bytes + pairs
        caller = tuple(pair for pair in identity if pair[0] in self._limits.caller_keys)
        caller = caller or ((_ADDRESS, _network(client)),)
        caller_quota = self._callers.get(caller) or Quota(self._caller_limits)
        quotas = caller_quota, self._all
        for quota in quotas:
            if not self._free_slot(quota) or not self._free_bytes(quota, size):
                raise quota.refusal()
        self._callers[caller] = caller_quota
        return Account(caller, quotas, size)

    def add(self, account: Account, feed: Feed) -> None:
        """Counts an admitted feed."""
        account.feed = feed
        for quota in account.quotas:
            quota.feeds[account] = None
        self.set_log_bytes(account, 0)

    def mark_idle(self, account: Account) -> None:
        """Counts a feed without a reader as idle; it may be evicted at once."""
        account.idle = True
        for quota in account.quotas:
            quota.idle[account] = None
        self._idle_bytes += account.size
        self._limit_idle()

    def mark_active(self, account: Account) -> None:
        """Counts an idle feed as read again."""
        account.idle = False
        for quota in account.quotas:
            del quota.idle[account]
        self._idle_bytes -= account.size

    def remove(self, account: Account) -> None:
        """Removes a feed, which must not be idle, from its quotas."""
        for quota in account.quotas:
            del quota.feeds[account]
            quota.add_bytes(-account.size)
        if not account.quotas[0].feeds:
            self._callers.pop(account.caller, None)
        account.quotas, account.feed = (), None

    def set_log_bytes(self, account: Account, size: int) -> None:
        """Updates the size of a feed's log; evicts feeds or messages beyond the limits."""
        change = account.fixed + size - account.size
        account.size += change
        exceeded = False
        for quota in account.quotas:
            exceeded |= quota.add_bytes(change)
        if account.idle:
            self._idle_bytes += change
            self._limit_idle()
        if not exceeded or change <= 0:
            return
        for quota in account.quotas:
            if not quota.fits(0) and not self._free_bytes(quota, grown=account):
                self._end_largest(quota)

    def _limit_idle(self) -> None:
        while self._idle_bytes > self._limits.max_idle_bytes:
            self._end(next(iter(self._all.idle)))

    def _end(self, account: Account) -> None:
        if account.feed is not None:
            self._close(account.feed)

    def _free_slot(self, quota: Quota) -> bool:
        """Returns whether one more feed is within the limit; evicts the longest idle feed for it."""
        if quota.is_full() and quota.idle:
            self._end(next(iter(quota.idle)))
        return not quota.is_full()

    def _free_bytes(self, quota: Quota, size: int = 0, grown: Account | None = None) -> bool:
        """Returns whether `size` more bytes are within the limit; evicts for them, from `grown` first."""
        while not quota.fits(size) and quota.idle:
            self._end(next(iter(quota.idle)))
        if grown is not None and not quota.fits(size):
            grown.shrink(quota.fair_share)
        if not quota.fits(size) and quota.is_shrink_due():
            numerator, denominator = _SHRINK_TO
            max_bytes = quota.fair_share * numerator // denominator
            for account in quota.feeds:
                account.shrink(max_bytes)
        return quota.fits(size)

    def _end_largest(self, quota: Quota) -> None:
        """Ends the largest feeds until the quota is met."""
        while not quota.fits(0):
            account = max(quota.feeds, key=lambda each: each.size)
            if account.feed is not None:
                account.feed.abort(quota.refusal())
            self._end(account)


def _network(address: str) -> str:
    """Returns the /64 network of an IPv6 address; other addresses unchanged."""
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return address
    return str(parsed.ipv4_mapped or parsed.packed[:_NETWORK_BYTES].hex())
