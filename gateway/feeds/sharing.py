"""How feeds are shared by a store, and the log of one as the rules of the store write it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.feeds.event_log import EventLog
from gateway.feeds.store.counts import StoreCounts
from gateway.feeds.store.port import FeedStore
from gateway.feeds.store.rules import Entry
from gateway.transcoding.event_fields import StreamSpec
from gateway.transcoding.metadata import Metadata


@dataclass(frozen=True, slots=True)
class Sharing:
    """How feeds are shared."""

    store: FeedStore
    key_of: Callable[..., bytes]
    """Returns the name of a feed in the store: a keyed hash of the bytes and texts that it is given."""
    lease: float
    """Seconds for which a leader may be silent, and for which a process waits for the store."""
    keep: float
    """Seconds for which the store keeps a message, and a feed that nobody reads."""
    max_bytes: int
    """Bytes of messages that the store keeps of a feed."""
    counts: StoreCounts = field(default_factory=StoreCounts)

    def feed(
        self, spec: StreamSpec, key: tuple[Hashable, bytes, Metadata], *, fresh: bool
    ) -> SharedFeed:
        """Returns what one feed is in the store.

        Args:
            spec: the stream options of its method, whose signature is bytes.
            key: signature, digest of the request and identity.
            fresh: whether it begins again if it has ended.
        """
        signature, digest, identity = key
        parts = (signature, digest, *(part for pair in identity for part in pair))
        return SharedFeed(self, spec, self.key_of(*parts), fresh)


class SharedFeed(NamedTuple):
    """A feed in the store."""

    sharing: Sharing
    spec: StreamSpec
    key: bytes
    fresh: bool


class LogSink:
    """Writes into the log that the readers of the process read."""

    def __init__(self, log: EventLog, on_message: Callable[[], None], counts: StoreCounts) -> None:
        """Takes the log, which has no prefix yet, and what is called after each message."""
        self._log = log
        self._on_message = on_message
        self._counts = counts

    @property
    def is_empty(self) -> bool:
        """Whether there was no message yet."""
        return self._log.bytes_appended == 0

    def begin(self, epoch: bytes, number: int) -> None:
        """Gives the next message the number behind this one, in this epoch."""
        self._log.begin(epoch, number)

    def restart(self) -> None:
        """Marks that later messages are not the next ones."""
        if not self.is_empty and self._log.call_start != self._log.end:
            self._log.mark_restart()
            self._counts.restarts += 1

    def message(self, message: bytes) -> None:
        """Takes the next message."""
        self._log.append(message)
        self._on_message()

    def newest_before(self, entries: Sequence[Entry], *, every_key: bool) -> None:
        """Takes the newest message of each key, of those that come before the first message."""
        if not every_key:
            self._log.miss_keys()
        for each in entries:
            self._log.put_newest(each.data, each.number)

    def kept(self) -> Iterable[bytes]:
        """Returns the messages that are kept, in order."""
        return self._log.messages()
