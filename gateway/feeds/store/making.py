"""Makes what feeds share, of the store of settings."""

from __future__ import annotations

from gateway.feeds.sharing import Sharing
from gateway.store.settings import StoreSettings
from gateway.store.store import Store


def make_sharing(store: Store | None, settings: StoreSettings, max_bytes: int) -> Sharing | None:
    """Returns how feeds are shared; None: there is no store.

    Args:
        store: the connection of the process.
        settings: its section of the settings.
        max_bytes: bytes of messages that the store keeps of a feed.
    """
    if store is None:
        return None
    from gateway.feeds.store.redis_store import RedisFeedStore  # noqa: PLC0415 - it needs an extra

    # one hash tag for all feeds: in a cluster they are in one slot
    feeds = RedisFeedStore(store.connect, store.key("feeds").encode(), timeout=store.timeout)

    def key_of(*parts: bytes | str) -> bytes:
        _, _, digest = store.key("feed", *parts).rpartition("{")
        return digest.removesuffix("}").encode()

    return Sharing(
        feeds,
        key_of,
        lease=settings.feed_lease_seconds,
        keep=settings.feed_keep_seconds,
        max_bytes=max_bytes,
    )
