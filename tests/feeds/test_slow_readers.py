"""A reader that does not read, and what is kept for it."""

from __future__ import annotations

import pytest

from gateway.feeds.event_log import EVENT_BYTES
from gateway.feeds.source import Gap
from gateway.transcoding.decoding import serialize
from gateway.transcoding.status import (
    RESOURCE_EXHAUSTED,
)
from tests.feeds.stage import Request, Seen, news, settled, staged


async def test_a_reader_that_does_not_read_delays_nobody() -> None:
    """A fast reader gets every message as it comes, whatever the others do."""
    async with staged() as stage:
        stalled, fast = await stage.join("DropOldest"), await stage.join("DropOldest")
        for number in range(1, 20):
            await stage.send(news(number))
            assert await fast.read() == [number]

        assert await stalled.read() == [Gap(missed=15), 16, 17, 18, 19]


async def test_the_slow_may_be_sent_away() -> None:
    """One more than may be kept is too many; the others read on."""
    async with staged() as stage:
        for method in ("SharedDisconnect", "Disconnect"):
            slow = await stage.join(method)
            await stage.send(*map(news, range(1, 5)))
            assert await slow.read() == [1, 2, 3, 4]
            await stage.send(*map(news, range(5, 10)))
            failure = await slow.failure()

            assert failure.code == RESOURCE_EXHAUSTED
            assert failure.status.message == "read too slowly: 5 messages behind the newest"


async def test_bytes_bound_what_is_kept() -> None:
    """Few large messages are too many as well; the newest is always kept."""
    async with staged(max_feed_bytes=3 * EVENT_BYTES + 250) as stage:
        slow = await stage.join("DropOldest")
        await stage.send(*(news(number, padding=80) for number in range(1, 4)))
        assert await slow.read() == [Gap(missed=1), 2, 3]
        await stage.send(news(4), news(5, padding=10_000))

        assert await slow.read() == [Gap(missed=1), 5]


async def test_a_slow_reader_holds_its_own_call_back() -> None:
    """At half of what may be kept nothing more is read, and when it has read, the call goes on."""
    async with staged() as stage:
        reader = await stage.join("Lingering")
        await stage.send(*map(news, range(1, 21)))
        assert stage.line.taken == 5  # half of 8 is kept; one more waits for room
        found: list[Seen] = []
        while len(found) < 20:
            found += await reader.read()
            await settled()

        assert found == list(range(1, 21))
        assert stage.line.taken == 20


async def test_a_call_that_nobody_reads_is_held_back_too() -> None:
    """While it lingers no more is read than its reader can be given when it comes back."""
    async with staged() as stage:
        reader = await stage.join("Lingering")
        await stage.send(news(1))
        await reader.read()
        await reader.leave()
        await stage.send(*map(news, range(2, 21)))
        assert stage.line.taken == 6
        back = await stage.join("Lingering", last_event_id=reader.ids[-1])
        found: list[Seen] = []
        while len(found) < 19:
            found += await back.read()
            await settled()

        assert found == list(range(2, 21))


@pytest.mark.parametrize("sizes", [(90, 10, 90), (40, 800, 80), (10, 4000, 10, 4000), (4000, 4000)])
async def test_who_holds_the_call_back_misses_nothing_for_its_size(sizes: tuple[int, ...]) -> None:
    """A message for which there is no room beside those that are unread waits for them."""
    async with staged(max_feed_bytes=4 * EVENT_BYTES + 400) as stage:
        reader = await stage.join("Lingering")
        await stage.send(*(news(n, padding=size) for n, size in enumerate(sizes, 1)))
        stage.line.end()

        assert await reader.rest() == list(range(1, len(sizes) + 1))


async def test_messages_with_equal_maps_are_equal() -> None:
    """Requests whose messages say the same share a call, in whatever order a map was given."""
    one, other = Request(), Request()
    for n in range(20):
        one.labels[str(n)] = "x"
        other.labels[str(19 - n)] = "x"
    async with staged() as stage:
        await stage.join("DropOldest", message=serialize(one))
        await stage.join("DropOldest", message=serialize(other))

        assert len(stage.upstream.calls) == 1
