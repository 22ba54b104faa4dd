"""One call, many readers: who shares, who comes back, and what becomes of those who are slow."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from gateway.feeds.backoff import Backoff
from gateway.feeds.feed import Feed
from gateway.feeds.source import Event, Gap
from gateway.feeds.subscription import Subscription
from gateway.testing import ScriptedCall
from gateway.transcoding.decoding import serialize
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import (
    INTERNAL,
    NOT_FOUND,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    StatusError,
)
from tests.feeds.stage import METHODS, Reader, Request, Seen, news, settled, staged

RESTARTED = Gap(restarted=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the next try begin at once."""
    monkeypatch.setattr(Backoff, "next", lambda _self: 0)


def feed_of(reader: Reader) -> Feed:
    """Returns the feed that a reader reads."""
    assert isinstance(reader.source, Subscription)
    return reader.source.feed


# Sharing


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

    texts = [event.json(encode) for event in events if isinstance(event, Event)]
    assert texts == [b"{}"] * 5
    assert encoded == [news(1)]
    assert isinstance(events[0], Event)
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


# Joining late


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
    async with staged(max_bytes=100) as stage:
        await stage.join("Conflated")
        await stage.send(*(news(n, f"key{n}", padding=40) for n in range(1, 6)))
        late = await stage.join("Conflated")

        assert (await late.read())[0] == Gap()


async def test_a_reader_holds_no_messages() -> None:
    """One that joined and read nothing keeps nothing alive that the log has dropped."""
    async with staged(max_bytes=1000) as stage:
        await stage.join("Conflated")
        await stage.send(news(1, "a", padding=200), news(2, "b", padding=200))
        late = await stage.join("Conflated")
        await stage.send(*(news(n, "c", padding=200) for n in range(3, 30)))
        await stage.send(news(30, "a"), news(31, "b"))

        assert (await late.read())[-2:] == [30, 31]


def test_json_is_kept_in_few_forms_and_none_out_of_proportion() -> None:
    """What a caller's print options make a feed keep is bounded."""
    event = Event(b"1", b"x" * 10)
    counts: Counter[str] = Counter()

    def form(name: str, size: int) -> Callable[[bytes], bytes]:
        def encode(_message: bytes) -> bytes:
            counts[name] += 1
            return b"j" * size

        return encode

    forms = [form("huge", 10_000), form("one", 100), form("two", 100), form("three", 100)]
    for _ in range(3):
        for encode in forms:
            event.json(encode)

    assert counts == {"huge": 3, "one": 1, "two": 1, "three": 3}


async def test_who_joins_late_gets_its_first_messages_at_once() -> None:
    """What is kept does not wait for what comes."""
    async with staged() as stage:
        await stage.join("LastTwo")
        await stage.send(news(1))
        late = await stage.join("LastTwo")

        assert await late.read() == [1]
        assert await late.waits()


# Leaving


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
        assert request.reading is not None
        policy = replace(request.reading.policy, linger=0.01)
        reading = request.reading._replace(policy=policy)
        async with stage.feeds.open(replace(request, reading=reading)):
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
        assert not stage.feeds._idle


async def test_too_many_calls_that_nobody_reads_end_the_oldest() -> None:
    """Only so many go on without a reader; the one that was left first ends first."""
    async with staged(max_idle_bytes=3 * 16 * 1024) as stage:
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


# Coming back


@pytest.mark.parametrize("method", ["DropOldest", "Lingering"])
async def test_a_reader_comes_back_without_loss_or_duplicate(method: str) -> None:
    """After the id it has seen last it goes on, whether or not the call had a reader meanwhile."""
    async with staged() as stage:
        reader = await stage.join(method)
        await stage.send(news(1))
        assert await reader.read() == [1]
        await reader.leave()
        await stage.send(news(2), news(3))
        back = await stage.join(method, last_event_id=reader.ids[-1])
        assert await back.read() == [2, 3]
        await stage.send(news(4))

        assert await back.read() == [4]
        assert len(stage.upstream.calls) == 1


async def test_a_reader_that_comes_back_too_late_is_told_how_many_it_missed() -> None:
    """Of four that are kept and six that came, two are missing."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        await stage.send(news(1))
        await reader.read()
        await reader.leave()
        await stage.send(*map(news, range(2, 8)))
        back = await stage.join("DropOldest", last_event_id=reader.ids[-1])

        assert await back.read() == [Gap(missed=2), 4, 5, 6, 7]


async def test_a_reader_that_comes_back_too_late_is_not_sent_away() -> None:
    """A reader that was cut is not slow: it is told what it missed, even where the slow are cut."""
    async with staged() as stage:
        reader = await stage.join("SharedDisconnect")
        await stage.send(news(1))
        await reader.read()
        await reader.leave()
        await stage.send(*map(news, range(2, 8)))
        back = await stage.join("SharedDisconnect", last_event_id=reader.ids[-1])

        assert await back.read() == [Gap(missed=2), 4, 5, 6, 7]


async def test_a_conflated_reader_comes_back_to_the_newest_of_each_key() -> None:
    """What it missed is counted but for the newest of each key, and those it gets in order."""
    async with staged() as stage:
        reader = await stage.join("Conflated")
        await stage.send(news(1, "a"))
        await reader.read()
        await reader.leave()
        await stage.send(*(news(n, "ab"[n % 2]) for n in range(2, 10)))
        back = await stage.join("Conflated", last_event_id=reader.ids[-1])

        assert await back.read() == [Gap(missed=6), 8, 9]


@pytest.mark.parametrize("method", ["DropOldest", "Lingering", "Plain"])
@pytest.mark.parametrize("last", ["x", "0123456789abcdef-1", "0123456789abcdef-٣", "-1", "end"])
async def test_an_id_that_nobody_knows_is_a_restart(method: str, last: str) -> None:
    """The reader is told before its first message that the stream is another one."""
    async with staged() as stage:
        reader = await stage.join(method, last_event_id=last)
        await stage.send(news(1))

        assert await reader.read() == [RESTARTED, 1]


@pytest.mark.parametrize("method", ["DropOldest", "Lingering", "Plain"])
async def test_a_restart_that_fails_at_once_is_a_failure_alone(method: str) -> None:
    """The news of a restart goes with a message: without one an answer keeps its HTTP status."""
    async with staged() as stage:
        reader = await stage.join(method, last_event_id="x")
        stage.line.fail(NOT_FOUND)

        assert (await reader.failure()).code == NOT_FOUND


@pytest.mark.parametrize("other", [{"topic": "other"}, {"metadata": (("authorization", "other"),)}])
async def test_ids_of_other_requests_are_refused(other: dict[str, object]) -> None:
    """An id gives nobody what another one reads."""
    async with staged() as stage:
        reader = await stage.join("Lingering", metadata=(("authorization", "mine"),))
        await stage.send(news(1), news(2))
        await reader.read()
        thief = await stage.join("Lingering", last_event_id=reader.ids[0], **other)
        await stage.send(news(3))

        assert await thief.read() == [RESTARTED, 3]
        assert len(stage.upstream.calls) == 2
        assert await reader.waits()


async def test_an_id_from_the_future_is_a_restart() -> None:
    """A number that the stream has not come to was not given by it."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        await stage.send(news(1))
        await reader.read()
        stream, _, number = reader.ids[0].partition("-")
        liar = await stage.join("DropOldest", last_event_id=f"{stream}-{int(number) + 1}")
        await stage.send(news(2))

        assert await liar.read() == [RESTARTED, 2]


@pytest.mark.parametrize("method", ["DropOldest", "Lingering"])
async def test_a_stream_that_has_ended_is_read_to_its_end(method: str) -> None:
    """What was kept is still there within the linger, and so is the clean end."""
    async with staged() as stage:
        reader = await stage.join(method)
        await stage.send(news(1), news(2), news(3))
        await reader.read()
        stage.line.end()
        await reader.leave()
        await settled()
        back = await stage.join(method, last_event_id=reader.ids[0])
        again = await stage.join(method, last_event_id=reader.ids[2])

        if method == "DropOldest":
            assert await back.rest() == [2, 3]
        assert await again.rest() == []
        assert len(stage.upstream.calls) == 1


@pytest.mark.parametrize("code", [NOT_FOUND, UNAVAILABLE])
async def test_a_stream_that_has_failed_gives_the_rest_and_the_same_failure(code: int) -> None:
    """Who has not read all is given what is left, and then told the failure."""
    async with staged() as stage:
        reader = await stage.join("Lingering")
        await stage.send(news(1), news(2))
        await reader.read()
        stage.line.fail(code)
        await reader.leave()
        back = await stage.join("Lingering", last_event_id=reader.ids[0])

        assert await back.read() == [2]
        assert (await back.failure()).code == code
        assert len(stage.upstream.calls) == 1


@pytest.mark.parametrize(("code", "calls"), [(NOT_FOUND, 1), (UNAVAILABLE, 2)])
async def test_after_a_failure_that_may_pass_a_new_call_is_made(code: int, calls: int) -> None:
    """Who has read all, and comes back after a failure that may pass, is answered anew."""
    async with staged() as stage:
        reader = await stage.join("Lingering")
        await stage.send(news(1))
        await reader.read()
        stage.line.fail(code)
        await settled()
        await reader.leave()
        back = await stage.join("Lingering", last_event_id=reader.ids[-1])
        assert len(stage.upstream.calls) == calls
        await stage.send(news(7))

        if calls == 2:
            assert await back.read() == [RESTARTED, 7]
        else:
            assert (await back.failure()).code == code


async def test_who_comes_just_after_the_end_has_a_new_call() -> None:
    """A call that has ended is joined by nobody, not even in the moment in which it ends."""
    async with staged() as stage:
        first = await stage.join("DropOldest")
        feed = feed_of(first)
        stage.line.end()
        while not feed.ended:
            await asyncio.sleep(0)
        second = Reader(stage.feeds.open(stage.request("DropOldest")))
        stage.readers.append(second)
        await second.join()

        assert feed_of(second) is not feed


async def test_a_private_stream_has_one_reader() -> None:
    """Who comes back while its old connection still seems to live takes the place of that one."""
    async with staged() as stage:
        old = await stage.join("Lingering")
        await stage.send(news(1))
        await old.read()
        new = await stage.join("Lingering", last_event_id=old.ids[-1])
        await stage.send(news(2))

        assert (await old.failure()).code == UNAVAILABLE
        assert await new.read() == [2]
        assert len(stage.upstream.calls) == 1


async def test_one_that_waits_is_told_that_its_place_is_taken() -> None:
    """The old reader does not have to wait for a message to learn it."""
    async with staged() as stage:
        old = await stage.join("Lingering")
        await stage.send(news(1))
        await old.read()
        waiting = asyncio.ensure_future(old.failure())
        await settled()
        await stage.join("Lingering", last_event_id=old.ids[-1])

        assert (await waiting).code == UNAVAILABLE


async def test_an_evicted_reader_that_leaves_late_ends_nothing() -> None:
    """Whose place was taken has no part in the stream any more, so its leaving starts no clock."""
    async with staged() as stage:
        old = await stage.join("Lingering")
        await stage.send(news(1))
        await old.read()
        new = await stage.join("Lingering", last_event_id=old.ids[-1])
        await new.leave()
        (timer,) = stage.feeds._idle.values()
        await old.leave()

        assert list(stage.feeds._idle.values()) == [timer]


# Failures


async def test_a_shared_call_is_made_anew() -> None:
    """Readers that have begun wait, and are told once that the stream has begun anew."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        await stage.send(news(1))
        assert await reader.read() == [1]
        for _ in range(3):
            stage.line.fail(UNAVAILABLE)
            await settled()
        assert len(stage.lines) == 4
        await stage.send(news(1), news(2))

        assert await reader.read() == [RESTARTED, 1, 2]
        await stage.send(news(3))
        late = await stage.join("DropOldest")
        assert await reader.read() == [3]
        await stage.send(news(4))
        assert await late.read() == [4]


async def test_the_wait_before_a_new_call_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits grow from 0.1 to 5 s, with jitter, and begin anew after a message."""
    monkeypatch.undo()
    backoff = Backoff()
    waits = [backoff.next() for _ in range(20)]
    backoff.reset()

    assert 0.08 <= waits[0] <= 0.12
    assert all(4 <= wait <= 6 for wait in waits[10:])
    assert len(set(waits[10:])) > 1
    assert 0.08 <= backoff.next() <= 0.12


async def test_who_has_not_begun_is_told_of_a_failure_at_once() -> None:
    """An HTTP status can still say it; those that have begun wait on."""
    async with staged() as stage:
        begun = await stage.join("DropOldest")
        await stage.send(news(1))
        await begun.read()
        fresh = await stage.join("DropOldest")
        stage.line.fail(UNAVAILABLE)

        assert (await fresh.failure()).code == UNAVAILABLE
        assert await begun.waits()
        assert len(stage.lines) == 2


async def test_who_joins_while_the_call_is_down_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not wait for the next try; one that comes back does, for it would take a status for the end."""
    monkeypatch.setattr(Backoff, "next", lambda _self: 60)
    async with staged() as stage:
        begun = await stage.join("DropOldest")
        await stage.send(news(1))
        await begun.read()
        stage.line.fail(UNAVAILABLE)
        await settled()
        fresh = await stage.join("DropOldest")
        back = await stage.join("DropOldest", last_event_id=begun.ids[-1])
        stranger = await stage.join("DropOldest", last_event_id="fedcba9876543210-1")

        assert (await fresh.failure()).code == UNAVAILABLE
        assert [await reader.waits() for reader in (begun, back, stranger)] == [True] * 3


async def test_without_readers_that_have_begun_there_is_no_new_call() -> None:
    """All can be told, so all are."""
    async with staged() as stage:
        readers = [await stage.join("DropOldest") for _ in range(2)]
        stage.line.fail(UNAVAILABLE)

        assert [(await reader.failure()).code for reader in readers] == [UNAVAILABLE] * 2
        assert len(stage.lines) == 1


@pytest.mark.parametrize(
    ("method", "code"),
    [("DropOldest", NOT_FOUND), ("DropOldest", INTERNAL), ("Lingering", UNAVAILABLE)],
)
async def test_what_is_not_made_anew(method: str, code: int) -> None:
    """Other codes will not pass, and who reads alone is told and comes back himself."""
    async with staged() as stage:
        reader = await stage.join(method)
        await stage.send(news(1))
        await reader.read()
        stage.line.fail(code)

        assert (await reader.failure()).code == code
        assert len(stage.lines) == 1


async def test_who_joins_while_the_call_is_down_is_told_of_no_restart() -> None:
    """It has seen nothing that could be repeated, so nothing has begun anew for it."""
    async with staged() as stage:
        for method in ("DropOldest", "LastTwo", "Conflated"):
            begun = await stage.join(method)
            await stage.send(news(1, "a"))
            await begun.read()
            stage.line.fail(UNAVAILABLE)
            await settled()
            joiner = await stage.join(method)
            await stage.send(news(1, "a"))

            assert await joiner.read() == [1]
            assert await begun.read() == [RESTARTED, 1]


@pytest.mark.parametrize(("method", "first"), [("LastTwo", [1]), ("Conflated", [1])])
async def test_who_joins_after_a_restart_is_given_nothing_older(
    method: str, first: list[int]
) -> None:
    """Messages of the call before may be repeated by the new one, so nobody gets both unawares."""
    async with staged() as stage:
        begun = await stage.join(method)
        await stage.send(news(1, "a"), news(2, "b"))
        await begun.read()
        stage.line.fail(UNAVAILABLE)
        await settled()
        await stage.send(news(1, "a"))
        late = await stage.join(method)

        assert await late.read() == first


@pytest.mark.parametrize("sent", [1, 4, 5])
async def test_who_comes_back_after_a_restart_is_told_of_it(sent: int) -> None:
    """Whether or not what stands at the restart is still kept."""
    async with staged() as stage:
        keeper, reader = await stage.join("DropOldest"), await stage.join("DropOldest")
        await stage.send(news(1))
        assert await reader.read() == await keeper.read() == [1]
        await reader.leave()
        stage.line.fail(UNAVAILABLE)
        await settled()
        await stage.send(*map(news, range(1, sent + 1)))
        back = await stage.join("DropOldest", last_event_id=reader.ids[-1])

        first = RESTARTED if sent <= 4 else Gap(missed=1, restarted=True)
        assert await back.read() == [first, *range(max(1, sent - 3), sent + 1)]


async def test_a_reader_that_lags_over_a_restart_is_told_both_at_once() -> None:
    """What is missing is counted, and the restart is not forgotten with it."""
    async with staged() as stage:
        keeper, slow = await stage.join("DropOldest"), await stage.join("DropOldest")
        await stage.send(news(1))
        assert await slow.read() == await keeper.read() == [1]
        stage.line.fail(UNAVAILABLE)
        await settled()
        await stage.send(*map(news, range(1, 7)))

        assert await slow.read() == [Gap(missed=2, restarted=True), 3, 4, 5, 6]


async def test_a_restart_costs_a_reader_no_message() -> None:
    """All that may be kept are messages: one that is exactly so far behind misses none."""
    async with staged() as stage:
        for method in ("DropOldest", "SharedDisconnect"):
            reader = await stage.join(method)
            await stage.send(news(1))
            await reader.read()
            await stage.send(news(2), news(3))
            stage.line.fail(UNAVAILABLE)
            await settled()
            await stage.send(news(2), news(3))

            assert await reader.read() == [2, 3, RESTARTED, 2, 3]


async def test_a_fault_of_ours_is_internal_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Readers are told nothing of it but that it happened."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        with caplog.at_level(logging.ERROR, logger="gateway.feeds.feed"):
            stage.line.fail(ZeroDivisionError("secret"))
            failure = await reader.failure()

    assert (failure.code, failure.status.message) == (INTERNAL, "internal error")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_a_call_that_is_cancelled_from_elsewhere_ends_its_readers() -> None:
    """Nobody waits for a call that will say no more."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        stage.line.fail(asyncio.CancelledError())

        assert (await reader.failure()).code == UNAVAILABLE


async def test_a_failure_that_many_are_told_does_not_grow() -> None:
    """Each reader raises it; nothing of one reader is kept in it for the next."""
    async with staged() as stage:
        readers = [await stage.join("DropOldest") for _ in range(10)]
        stage.line.fail(NOT_FOUND)
        depths = []
        for reader in readers:
            traceback, depth = (await reader.failure()).__traceback__, 0
            while traceback is not None:
                traceback, depth = traceback.tb_next, depth + 1
            depths.append(depth)

    assert len(set(depths)) == 1


async def test_metadata_of_a_stream_without_messages() -> None:
    """What the server says at the start is told though no message follows."""

    async def nothing(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial, call.trailing = (("etag", "1"),), (("x", "2"),)
        messages: tuple[bytes, ...] = ()
        for message in messages:
            yield message

    async with staged() as stage:
        stage.upstream.scripts[METHODS["DropOldest"].path] = nothing
        reader = await stage.join("DropOldest")
        assert await reader.rest() == []

        assert await reader.source.initial_metadata() == (("etag", "1"),)
        assert await reader.source.trailing_metadata() == (("x", "2"),)


async def test_what_the_server_says_last_is_told_of_a_failure_too() -> None:
    """Trailing metadata belongs to the end, whichever it is."""

    async def failing(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.trailing = (("x", "2"),)
        yield news(1)
        raise StatusError.of(NOT_FOUND, "gone")

    async with staged() as stage:
        stage.upstream.scripts[METHODS["DropOldest"].path] = failing
        reader = await stage.join("DropOldest")
        assert await reader.read() == [1]
        assert (await reader.failure()).code == NOT_FOUND

        assert await reader.source.trailing_metadata() == (("x", "2"),)


# Slow readers


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
    async with staged(max_bytes=250) as stage:
        slow = await stage.join("DropOldest")
        await stage.send(*(news(number, padding=80) for number in range(1, 4)))
        assert await slow.read() == [Gap(missed=1), 2, 3]
        await stage.send(news(4), news(5, padding=1000))

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


@pytest.mark.parametrize("sizes", [(90, 10, 90), (40, 80, 80), (10, 400, 10, 400), (400, 400)])
async def test_who_holds_the_call_back_misses_nothing_for_its_size(sizes: tuple[int, ...]) -> None:
    """A message for which there is no room beside those that are unread waits for them."""
    async with staged(max_bytes=150) as stage:
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
