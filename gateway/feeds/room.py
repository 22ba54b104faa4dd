"""The memory of all feeds of a process, and what is given up when a limit is reached.

First, feeds that nobody reads end, the one that was left first before the others. Then those that keep more
than an equal share drop messages. Then new feeds are refused; and where all keep as little as they can and
there is still too much, the largest ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from gateway.feeds.feed import Feed
from gateway.feeds.quota import Account, Bound, Quota
from gateway.transcoding.metadata import Metadata

FEED_BYTES: Final = 4 * 1024
"""Bytes of a feed beside its call, its messages, its request and its metadata."""
_PAIR_BYTES: Final = 256
"""Bytes of a pair of metadata beside its characters."""
_ADDRESS: Final = ":address"
"""Stands for a key where a caller is known by its address; no metadata have it."""
_NETWORK_BYTES: Final = 8
"""Bytes of the prefix of an IPv6 address; the other 64 bits a client chooses (RFC 4291, 2.5.1)."""
_SHRUNK: Final = 3, 4
"""Three quarters: feeds shrink to so much of an equal share, so that the next message fits too."""


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """The limits of the feeds of a process; sizes are bytes of memory."""

    max_feed_bytes: int
    """Of what one feed keeps beside its newest message; as much again for the newest message of each key."""
    max_idle_bytes: int
    """Of all feeds that nobody reads; beyond that the oldest end."""
    max_feeds: int
    max_bytes: int
    """Of all feeds."""
    max_caller_feeds: int
    max_caller_bytes: int
    """Of all feeds of one caller."""
    caller_keys: frozenset[str]
    """Metadata keys that tell callers apart; callers without any of them are told apart by address."""
    call_bytes: int
    """Of the call upstream of each feed."""

    @property
    def of_process(self) -> Bound:
        """The bound of all feeds."""
        return Bound(self.max_feeds, self.max_bytes, "max_feeds", "max_total_feed_bytes", 503)

    @property
    def of_caller(self) -> Bound:
        """The bound of the feeds of one caller."""
        return Bound(
            self.max_caller_feeds,
            self.max_caller_bytes,
            "max_caller_feeds",
            "max_caller_feed_bytes",
            429,
        )


class Room:
    """The quotas of all feeds."""

    def __init__(self, limits: FeedLimits, close: Callable[[Feed], None]) -> None:
        """Begins without feeds.

        Args:
            limits: what they may take.
            close: ends a feed, and calls `remove`.
        """
        self._limits = limits
        self._close = close
        self._of_caller = limits.of_caller
        self._callers: dict[Metadata, Quota] = {}
        self._all = Quota(limits.of_process)
        self._idle_bytes = 0

    @property
    def bytes(self) -> int:
        """What all feeds take."""
        return self._all.bytes

    @property
    def is_empty(self) -> bool:
        """Whether nothing is counted."""
        return not (self.bytes or self._idle_bytes or self._callers or self._all.feeds)

    def admit(
        self, message_bytes: int, metadata: Metadata, identity: Metadata, client: str = ""
    ) -> Account:
        """Makes room for one more feed.

        Args:
            message_bytes: the size of its request.
            metadata: what goes upstream with that.
            identity: those of the metadata that keep requests apart.
            client: address of the client, by which a caller is known whose metadata name nobody.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, there is none.
        """
        pairs = sum(_PAIR_BYTES + len(key) + len(value) for key, value in metadata)
        size = FEED_BYTES + self._limits.call_bytes + message_bytes + pairs
        caller = tuple(pair for pair in identity if pair[0] in self._limits.caller_keys)
        caller = caller or ((_ADDRESS, _network(client)),)
        of_caller = self._callers.get(caller) or Quota(self._of_caller)
        quotas = of_caller, self._all
        for quota in quotas:
            if not self._has_place(quota) or not self._make_room(quota, size):
                raise quota.refusal()
        self._callers[caller] = of_caller
        return Account(caller, quotas, size)

    def enter(self, account: Account, feed: Feed) -> None:
        """Counts a feed that was admitted."""
        account.feed = feed
        for quota in account.quotas:
            quota.feeds[account] = None
        self.count(account, 0)

    def leave(self, account: Account) -> None:
        """Counts a feed as idle, since nobody reads it; it may end at once."""
        account.idle = True
        for quota in account.quotas:
            quota.idle[account] = None
        self._idle_bytes += account.size
        self._bound_idle()

    def come_back(self, account: Account) -> None:
        """Counts an idle feed as read again."""
        account.idle = False
        for quota in account.quotas:
            del quota.idle[account]
        self._idle_bytes -= account.size

    def remove(self, account: Account) -> None:
        """Removes a feed, which must not be idle, from its quotas."""
        for quota in account.quotas:
            del quota.feeds[account]
            quota.count(-account.size)
        if not account.quotas[0].feeds:
            self._callers.pop(account.caller, None)
        account.quotas, account.feed = (), None

    def count(self, account: Account, size: int) -> None:
        """Takes the new size of a feed's log; makes room where there are too many bytes."""
        grown = account.fixed + size - account.size
        account.size += grown
        full = False
        for quota in account.quotas:
            full |= quota.count(grown)
        if account.idle:
            self._idle_bytes += grown
            self._bound_idle()
        if not full or grown <= 0:
            return
        for quota in account.quotas:
            if not quota.has_room(0) and not self._make_room(quota, grown=account):
                self._end_largest(quota)

    def _bound_idle(self) -> None:
        while self._idle_bytes > self._limits.max_idle_bytes:
            self._end(next(iter(self._all.idle)))

    def _end(self, account: Account) -> None:
        if account.feed is not None:
            self._close(account.feed)

    def _has_place(self, quota: Quota) -> bool:
        """Whether there may be one feed more, if need be in the place of the oldest that nobody reads."""
        if quota.is_full() and quota.idle:
            self._end(next(iter(quota.idle)))
        return not quota.is_full()

    def _make_room(self, quota: Quota, size: int = 0, grown: Account | None = None) -> bool:
        """Makes room for some bytes, and returns whether there is; `grown` has to keep less before others."""
        while not quota.has_room(size) and quota.idle:
            self._end(next(iter(quota.idle)))
        if grown is not None and not quota.has_room(size):
            grown.shrink(quota.share)
        if not quota.has_room(size) and quota.may_shrink():
            kept, of = _SHRUNK
            most = quota.share * kept // of
            for account in quota.feeds:
                account.shrink(most)
        return quota.has_room(size)

    def _end_largest(self, quota: Quota) -> None:
        """Ends the feeds that take the most, where all keep as little as they can."""
        while not quota.has_room(0):
            account = max(quota.feeds, key=lambda each: each.size)
            if account.feed is not None:
                account.feed.abort(quota.refusal())
            self._end(account)


def _network(address: str) -> str:
    """Returns the network of an IPv6 address, and other addresses as they are."""
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return address
    return str(parsed.ipv4_mapped or parsed.packed[:_NETWORK_BYTES].hex())
