"""Who shares a call, what a reader that joins late is given, and when the call ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from gateway.feeds.accounting import FEED_BYTES
from gateway.feeds.event_log import EventLog
from gateway.feeds.source import Gap, StreamEvent
from gateway.testing import ScriptedCall
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import (
    UNAVAILABLE,
    StatusError,
)
from tests.feeds.stage import LIMITS, METHODS, Reader, news, settled, staged


async def test_equal_requests_share_one_call() -> None:
    """Many readers are one call upstream, and each gets every message."""
    async with staged() as stage:
        readers = [await stage.join("DropOldest") for _ in range(5)]
        await stage.send(news(1), news(2))

        assert [await reader.read() for reader in readers] == [[1, 2]] * 5
        assert len(stage.upstream.calls) == 1


async def test_json_is_made_once() -> None:
    """A message is encoded once for all who want it alike, and once more for others."""
    encoded: list[bytes] = []

    def encode(message: bytes) -> bytes:
        encoded.append(message)
        return b"{}"

    def otherwise(message: bytes) -> bytes:
        encoded.append(message)
        return b"[]"

    async with staged() as stage:
        readers = [await stage.join("DropOldest") for _ in range(5)]
        await stage.send(news(1))
        events = [item for reader in readers for item in await reader.items()]
        texts = [event.json(encode) for event in events if isinstance(event, StreamEvent)]
        assert texts == [b"{}"] * 5
        assert encoded == [news(1)]
        assert isinstance(events[0], StreamEvent)
        assert (events[0].json(otherwise), events[0].json(encode)) == (b"[]", b"{}")
        assert encoded == [news(1)] * 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"metadata": (("authorization", "a"),)}, {"metadata": (("authorization", "b"),)}),
        ({"metadata": (("authorization", "a"),)}, {}),
        ({"metadata": (("x-bin", b"a"),)}, {"metadata": (("x-bin", b"b"),)}),
        ({"metadata": (("a", "1"), ("a", "2"))}, {"metadata": (("a", "2"), ("a", "1"))}),
        ({"topic": "a"}, {"topic": "b"}),
    ],
)
async def test_what_is_not_equal_is_not_shared(
    one: dict[str, object], other: dict[str, object]
) -> None:
    """Another message, other credentials, or values in another order are another call."""
    async with staged() as stage:
        await stage.join("DropOldest", **one)
        await stage.join("DropOldest", **other)

        assert len(stage.upstream.calls) == 2


async def test_other_methods_and_private_streams_are_not_shared() -> None:
    """A call is shared by callers of one method only, and only if the contract says so."""
    async with staged() as stage:
        for method in ("DropOldest", "LastTwo", "Lingering", "Lingering", "Plain", "Plain"):
            await stage.join(method)

        assert len(stage.upstream.calls) == 6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((("traceparent", "a"), ("x-request-id", "1")), (("traceparent", "b"),)),
        ((("tracestate", "a"),), (("baggage", "b"),)),
        ((("a", "1"), ("b", "2")), (("b", "2"), ("a", "1"))),
        ((("x-bin", b"1"), ("x", "2")), (("x", "2"), ("x-bin", b"1"))),
    ],
)
async def test_tracing_and_the_order_of_names_make_no_difference(
    one: Metadata, other: Metadata
) -> None:
    """What only tells one request from another does not keep them apart."""
    async with staged() as stage:
        await stage.join("DropOldest", metadata=one)
        await stage.join("DropOldest", metadata=other)

        assert len(stage.upstream.calls) == 1


async def test_a_shared_call_has_no_readers_deadline() -> None:
    """The deadline of a caller ends its own stream alone."""
    async with staged() as stage:
        other = await stage.join("DropOldest")
        with pytest.raises(StatusError, match="DEADLINE_EXCEEDED"):
            async with stage.feeds.open(stage.request("DropOldest", timeout=0.01)) as source:
                await anext(source)
        await stage.send(news(1))

        assert await other.read() == [1]
        assert [call.timeout for call in stage.upstream.calls] == [None]


async def test_a_timeout_of_another_kind_is_not_the_deadline() -> None:
    """A socket that gives up says so by the same exception, and is not answered as a deadline."""
    async with staged() as stage:
        with pytest.raises(TimeoutError, match="the socket"):
            async with stage.feeds.open(stage.request("DropOldest", timeout=60)):
                raise TimeoutError("the socket")


async def test_a_private_call_has_its_readers_deadline() -> None:
    """Nobody else reads a private call, so the server is told how long it is wanted."""
    async with staged() as stage:
        await stage.join("Lingering", timeout=30)

        assert [call.timeout for call in stage.upstream.calls] == [30]


@pytest.mark.parametrize(
    ("method", "first"), [("DropOldest", []), ("LastTwo", [3, 4]), ("Conflated", [2, 4])]
)
async def test_who_joins_late_gets_what_the_contract_says(method: str, first: list[int]) -> None:
    """Nothing, the last K, or the newest of each key; then what comes, once."""
    async with staged() as stage:
        await stage.join(method)
        await stage.send(news(1, "a"), news(2, "b"), news(3, "a"), news(4, "a"))
        late = await stage.join(method)
        got = await late.read() if first else []
        await stage.send(news(5, "a"))

        assert [*got, *await late.read()] == [*first, 5]


async def test_who_joins_late_and_reads_later_gets_what_is_newest_then() -> None:
    """What has been superseded meanwhile it was not owed, and is not told of."""
    async with staged() as stage:
        await stage.join("Conflated")
        await stage.send(news(1, "a"), news(2, "b"))
        late = await stage.join("Conflated")
        await stage.send(news(3, "a"))

        assert await late.read() == [2, 3]


async def test_who_joins_where_not_every_key_is_kept_is_told_that_some_are_missing() -> None:
    """A snapshot that is not whole begins with a gap of unknown size."""
    async with staged(max_feed_bytes=1000) as stage:
        await stage.join("Conflated")
        await stage.send(*(news(n, f"key{n}", padding=40) for n in range(1, 6)))
        late = await stage.join("Conflated")

        assert (await late.read())[0] == Gap()


async def test_a_reader_holds_no_messages() -> None:
    """One that joined and read nothing keeps nothing alive that the log has dropped."""
    async with staged(max_feed_bytes=2000) as stage:
        await stage.join("Conflated")
        await stage.send(news(1, "a", padding=200), news(2, "b", padding=200))
        late = await stage.join("Conflated")
        await stage.send(*(news(n, "c", padding=200) for n in range(3, 30)))
        await stage.send(news(30, "a"), news(31, "b"))

        assert (await late.read())[-2:] == [30, 31]


def test_json_is_kept_in_few_forms_and_none_out_of_proportion() -> None:
    """What a caller's print options make a feed keep is bounded."""
    log = EventLog(b"s", keep=1, max_bytes=1 << 20)
    log.caches_json = True
    log.append(b"x" * 10)
    counts: Counter[str] = Counter()

    def form(name: str, size: int) -> Callable[[bytes], bytes]:
        def encode(_message: bytes) -> bytes:
            counts[name] += 1
            return b"j" * size

        return encode

    forms = [form("huge", 10_000), form("one", 100), form("two", 100), form("three", 100)]
    for _ in range(3):
        for encode in forms:
            assert log.at(0).json(encode) == encode(b"")

    assert counts == {"huge": 6, "one": 4, "two": 4, "three": 6}


async def test_who_joins_late_gets_its_first_messages_at_once() -> None:
    """What is kept does not wait for what comes."""
    async with staged() as stage:
        await stage.join("LastTwo")
        await stage.send(news(1))
        late = await stage.join("LastTwo")

        assert await late.read() == [1]
        assert await late.waits()


async def test_the_last_leaver_ends_the_call() -> None:
    """Without linger, the call goes on as long as one reads it, and no longer."""
    async with staged() as stage:
        one, two = await stage.join("NoLinger"), await stage.join("NoLinger")
        await one.leave()
        await settled()
        assert not stage.line.call.ended.is_set()
        await two.leave()
        await asyncio.wait_for(stage.line.call.ended.wait(), 5)

        assert not stage.line.call.finished


async def test_a_call_that_nobody_reads_ends_after_its_linger() -> None:
    """The call waits for a reader for as long as the contract says, then it ends."""
    async with staged() as stage:
        request = stage.request("DropOldest")
        assert request.stream_spec is not None
        policy = replace(request.stream_spec.policy, linger=0.01)
        reading = request.stream_spec._replace(policy=policy)
        async with stage.feeds.open(replace(request, stream_spec=reading)):
            await settled()
        assert not stage.line.call.ended.is_set()

        await asyncio.wait_for(stage.line.call.ended.wait(), 5)


async def test_who_joins_while_it_lingers_keeps_the_call() -> None:
    """A reader that comes within the linger reads the same call, and stops the clock."""
    async with staged() as stage:
        await (await stage.join("DropOldest")).leave()
        joiner = await stage.join("DropOldest")
        await stage.send(news(1))

        assert await joiner.read() == [1]
        assert len(stage.upstream.calls) == 1
        assert not stage.feeds.accounting._all.idle


async def test_too_many_calls_that_nobody_reads_end_the_oldest() -> None:
    """Only so many go on without a reader; the one that was left first ends first."""
    async with staged(max_idle_bytes=3 * (FEED_BYTES + LIMITS.call_bytes)) as stage:
        readers = [await stage.join("Lingering", topic=str(n)) for n in range(3)]
        for index in (1, 0, 2):
            await readers[index].leave()
        await settled()

        assert [line.call.ended.is_set() for line in stage.lines] == [False, True, False]


async def test_no_idle_calls_at_all() -> None:
    """A bound of none ends each call with its last reader."""
    async with staged(max_idle_bytes=0) as stage:
        await (await stage.join("Lingering")).leave()
        await settled()

        assert stage.line.call.ended.is_set()


async def test_the_end_of_the_feeds_is_told_to_readers() -> None:
    """Whoever still reads is told UNAVAILABLE, even of a call that has not begun."""
    async with staged() as stage:
        waiting = await stage.join("DropOldest")
        unbegun = Reader(stage.feeds.open(stage.request("Lingering")))
        stage.readers.append(unbegun)
        await unbegun.join()
        await stage.feeds.__aexit__()

        assert (await waiting.failure()).code == UNAVAILABLE
        assert (await unbegun.failure()).code == UNAVAILABLE


async def test_the_end_of_the_feeds_waits_for_calls_that_are_ending() -> None:
    """A call whose reader has left may take its time to end; the upstream is not closed before."""
    cleaned = asyncio.Event()

    async def slow_to_end(_call: ScriptedCall) -> AsyncIterator[bytes]:
        try:
            yield news(1)
            await asyncio.Event().wait()
        finally:
            await settled()
            cleaned.set()

    async with staged() as stage:
        stage.upstream.scripts[METHODS["NoLinger"].path] = slow_to_end
        reader = await stage.join("NoLinger")
        assert await reader.read() == [1]
        await reader.leave()

    assert cleaned.is_set()
