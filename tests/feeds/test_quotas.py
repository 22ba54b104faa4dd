"""How many feeds there may be, and what all of them may keep: of one caller, and in all."""

from __future__ import annotations

from typing import Any

import pytest
from google.rpc.error_details_pb2 import RetryInfo

from gateway.feeds.accounting import FEED_BYTES
from gateway.feeds.event_log import EVENT_BYTES
from gateway.feeds.source import Gap
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, UNAVAILABLE, StatusError
from tests.feeds.stage import LIMITS, Reader, Seen, Stage, news, settled, staged

FEED = FEED_BYTES + LIMITS.call_bytes


def caller(name: str, **others: str) -> Metadata:
    """Returns the metadata of a caller."""
    return (("authorization", name), *others.items())


async def refused(stage: Stage, method: str, **request: Any) -> StatusError:
    """Returns why a stream is not opened."""
    calls = len(stage.upstream.calls)
    with pytest.raises(StatusError) as failure:
        await stage.join(method, **request)
    stage.readers.pop()
    assert len(stage.upstream.calls) == calls
    return failure.value


def told(error: StatusError) -> tuple[int, int, str, bool]:
    """Returns code, HTTP status, message, and whether it says when to come back."""
    retry = RetryInfo()
    says = any(detail.Unpack(retry) for detail in error.status.details)
    return error.code, error.http_status, error.status.message, says


@pytest.mark.parametrize("method", ["LastTwo", "Lingering", "Disconnect"])
async def test_a_caller_has_so_many_feeds(method: str) -> None:
    """One more is refused before any call; of others there may be more."""
    async with staged(max_caller_feeds=3) as stage:
        for topic in "abc":
            await stage.join(method, topic=topic, metadata=caller("me"))
        refusal = await refused(stage, method, topic="d", metadata=caller("me"))
        await stage.join(method, topic="d", metadata=caller("other"))
        await stage.join(method, topic="d")

        message = "too many streams are open: max_caller_feeds is 3"
        assert told(refusal) == (RESOURCE_EXHAUSTED, 429, message, True)


@pytest.mark.parametrize(
    "others", [{"accept-language": "{}"}, {"x-mine": "{}"}, {"traceparent": "{}"}]
)
async def test_a_caller_is_not_another_by_what_else_it_says(others: dict[str, str]) -> None:
    """Other metadata split feeds, and make nobody another caller."""
    async with staged(max_caller_feeds=3) as stage:
        for n in range(3):
            said = {key: value.format(n) for key, value in others.items()}
            await stage.join("LastTwo", topic=str(n), metadata=caller("me", **said))

        said = {key: value.format(4) for key, value in others.items()}
        refusal = await refused(stage, "LastTwo", topic="4", metadata=caller("me", **said))
        assert refusal.http_status == 429


async def test_who_names_nobody_is_one_caller() -> None:
    """All requests without credentials have one share, where no address is known."""
    async with staged(max_caller_feeds=2) as stage:
        await stage.join("LastTwo", topic="a")
        await stage.join("LastTwo", topic="b", metadata=(("accept-language", "de"),))

        assert (await refused(stage, "LastTwo", topic="c")).http_status == 429


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        (("10.0.0.1",), "10.0.0.2"),
        (("2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"), "2001:db8:0:1::1"),
        (("::ffff:10.0.0.1", "10.0.0.1"), "::ffff:10.0.0.2"),
        (("fe80::1%eth0", "fe80::2%eth1"), "fe80:0:0:1::1"),
        (("a.sock",), "b.sock"),
    ],
)
async def test_who_names_nobody_is_told_by_its_address(mine: tuple[str, ...], others: str) -> None:
    """One who has used up the share of an address, or of an IPv6 network, shuts no other out."""
    async with staged(max_caller_feeds=3) as stage:
        for n in range(3):
            await stage.join("LastTwo", topic=str(n), client=mine[n % len(mine)])

        refusal = await refused(stage, "LastTwo", topic="3", client=mine[0])
        assert refusal.http_status == 429
        await stage.join("LastTwo", topic="3", client=others)
        await stage.join("LastTwo", topic="4", client=mine[0], metadata=caller("me"))


async def test_an_address_is_not_told_beside_credentials() -> None:
    """A caller who goes from one address to another is the same."""
    async with staged(max_caller_feeds=1) as stage:
        await stage.join("LastTwo", topic="0", client="10.0.0.1", metadata=caller("me"))

        other = {"client": "10.0.0.2", "metadata": caller("me")}
        assert (await refused(stage, "LastTwo", topic="1", **other)).http_status == 429


async def test_there_are_so_many_feeds_in_all() -> None:
    """Whoever asks; but an equal request shares one that there is, and costs nothing."""
    async with staged(max_feeds=3) as stage:
        for name in "abc":
            await stage.join("LastTwo", metadata=caller(name))
        refusal = await refused(stage, "LastTwo", metadata=caller("d"))
        await stage.join("LastTwo", metadata=caller("a"))
        await stage.join("Plain", metadata=caller("d"))

        message = "too many streams are open: max_feeds is 3"
        assert told(refusal) == (RESOURCE_EXHAUSTED, 503, message, True)


async def test_a_feed_that_has_gone_makes_place() -> None:
    """As soon as its last reader has left, where it does not linger."""
    async with staged(max_feeds=1) as stage:
        reader = await stage.join("NoLinger", topic="a")
        await refused(stage, "NoLinger", topic="b")
        await reader.leave()

        await stage.join("NoLinger", topic="b")


async def test_a_feed_that_nobody_reads_goes_first() -> None:
    """The one that was left first, and of the caller whose share is used up."""
    async with staged(max_caller_feeds=3) as stage:
        other = await stage.join("Lingering", metadata=caller("other"))
        mine = [
            await stage.join("Lingering", topic=topic, metadata=caller("me")) for topic in "abc"
        ]
        for reader in (other, mine[1], mine[0]):
            await reader.leave()
        await stage.join("Lingering", topic="d", metadata=caller("me"))
        await settled()

        assert [line.call.ended.is_set() for line in stage.lines] == [
            *(False, False, True, False, False)
        ]


async def test_who_comes_back_has_its_place() -> None:
    """A reader that goes on in a feed that is there needs no other."""
    async with staged(max_feeds=1) as stage:
        reader = await stage.join("Lingering")
        await stage.send(news(1))
        await reader.read()
        await reader.leave()
        back = await stage.join("Lingering", last_event_id=reader.ids[-1])
        await stage.send(news(2))

        assert await back.read() == [2]


async def test_requests_count_among_the_bytes() -> None:
    """A caller whose requests are large has fewer feeds."""
    async with staged(max_caller_bytes=3 * FEED) as stage:
        await stage.join("LastTwo", metadata=caller("me"))
        large = caller("me", note="x" * 2 * FEED)
        refusal = await refused(stage, "LastTwo", metadata=large)
        await stage.join("LastTwo", topic="b", metadata=caller("me"))

        message = f"too much is kept of open streams: max_caller_feed_bytes is {3 * FEED}"
        assert told(refusal) == (RESOURCE_EXHAUSTED, 429, message, True)


async def flood(stage: Stage, lines: int, each: int, padding: int) -> list[int]:
    """Sends messages by all calls in turn; returns what is kept after each."""
    sizes = []
    for number in range(1, each + 1):
        for line in stage.lines[-lines:]:
            line.send(news(number, padding=padding))
        await settled()
        sizes.append(stage.feeds.accounting.bytes)
    return sizes


@pytest.mark.parametrize("limit", ["max_bytes", "max_caller_bytes"])
async def test_active_feeds_keep_no_more_than_all_may(limit: str) -> None:
    """Each keeps less where there are many; a reader that keeps up misses nothing."""
    most = 20 * (FEED + 30 * EVENT_BYTES)
    async with staged(**{limit: most}) as stage:
        readers = [await stage.join("LastTwo", topic=str(n)) for n in range(20)]
        fast = readers[0]
        found: list[Seen] = []
        for _ in range(100):
            assert max(await flood(stage, 20, 1, 100)) <= most
            found += await fast.read()

        assert found == [1] * 100
        (gap, *rest) = await readers[1].read()
        assert isinstance(gap, Gap)
        assert gap.missed + len(rest) == 100


async def test_one_that_keeps_much_makes_room_for_those_that_keep_little() -> None:
    """A stream of large messages is cut back before one of small ones is."""
    most = 3 * FEED + 300_000
    async with staged(max_bytes=most) as stage:
        small = await stage.join("LastTwo", topic="small")
        quiet = stage.lines[-1]
        quiet.send(*map(news, range(1, 21)))
        large = await stage.join("LastTwo", topic="large")
        await stage.join("LastTwo", topic="large too")
        sizes = await flood(stage, 2, 60, 9_000)

        assert max(sizes) <= most
        assert await small.read() == list(range(1, 21))
        assert isinstance((await large.read())[0], Gap)


async def test_who_holds_its_server_back_misses_nothing() -> None:
    """Where there is little room, less is read ahead, and nothing is dropped."""
    most = 10 * (FEED + 6 * EVENT_BYTES)
    async with staged(max_bytes=most) as stage:
        readers = [await stage.join("Lingering", topic=str(n)) for n in range(10)]
        for line in stage.lines:
            line.send(*(news(n, padding=2_000) for n in range(1, 21)))
            line.end()
        await settled()
        assert stage.feeds.accounting.bytes <= most
        for reader in readers:
            found: list[Seen] = []
            while len(found) < 20:
                found += await reader.read()
                await settled()
                assert stage.feeds.accounting.bytes <= most

            assert found == list(range(1, 21))


async def test_where_nothing_can_be_dropped_the_largest_ends() -> None:
    """One message is kept of each stream in any case; it tells its reader why it ends."""
    async with staged(max_bytes=4 * FEED + 60_000) as stage:
        readers = [await stage.join("LastTwo", topic=str(n)) for n in range(4)]
        for line, size in zip(stage.lines, (10_000, 30_000, 10_000, 20_000), strict=True):
            line.send(news(1, padding=size))
            await settled()

        message = f"too much is kept of open streams: max_total_feed_bytes is {4 * FEED + 60_000}"
        assert told(await readers[1].failure()) == (RESOURCE_EXHAUSTED, 503, message, True)
        assert [await reader.read() for reader in (readers[0], *readers[2:])] == [[1]] * 3
        await settled()
        assert [line.call.ended.is_set() for line in stage.lines] == [False, True, False, False]


async def test_a_feed_whose_call_is_down_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for its server with all that it keeps."""
    monkeypatch.setattr("gateway.feeds.feed.Backoff.next", lambda _self, _least: 60)
    async with staged(max_feeds=1) as stage:
        reader = await stage.join("LastTwo")
        await stage.send(news(1))
        await reader.read()
        stage.line.fail(UNAVAILABLE)
        await settled()

        assert (await refused(stage, "LastTwo", topic="b")).http_status == 503
        assert stage.feeds.accounting.bytes > FEED


async def test_messages_that_come_after_the_end_are_not_kept() -> None:
    """A call that is told to end may have more to give before it hears of it."""
    async with staged(max_bytes=FEED + 20_000) as stage:
        reader: Reader = await stage.join("LastTwo")
        stage.line.send(*(news(n, padding=30_000) for n in range(1, 50)))
        await settled()

        assert (await reader.failure()).code == RESOURCE_EXHAUSTED
        assert (stage.feeds.count, stage.feeds.accounting.bytes) == (0, 0)
