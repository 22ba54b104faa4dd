"""What feeds keep, weighed in memory, against what they say of it."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import pytest

from gateway.feeds.accounting import FEED_BYTES
from gateway.feeds.event_log import EventLog
from gateway.feeds.source import StreamEvent
from tests.feeds.stage import LIMITS, METHODS, News, Reader, settled, staged

COUNT = 300


@contextmanager
def weighed() -> Iterator[Callable[[], int]]:
    """Gives what returns the bytes that were allocated in the block, and are not free yet."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()


def as_hex(message: bytes) -> bytes:
    """Prints a message twice as long as it is, in what orjson allocates for it."""
    return orjson.dumps({"data": message.hex()})


def as_list(message: bytes) -> bytes:
    """Prints a message in another form."""
    return orjson.dumps([message.hex()])


@pytest.mark.parametrize("size", [8, 100, 1000, 5000])
@pytest.mark.parametrize("forms", [[], [as_hex], [as_hex, as_list]])
@pytest.mark.parametrize("key", ["", "text", "number"])
def test_a_log_weighs_what_it_says(
    size: int, forms: list[Callable[[bytes], bytes]], key: str
) -> None:
    """With JSON in every number of forms, of messages of every size, and the newest of each key."""
    keys = {"": None, "text": lambda m: m[:8].hex(), "number": lambda m: hash(m[:8])}
    with weighed() as weigh:
        log = EventLog(b"0123456789abcdef", keep=COUNT, max_bytes=1 << 30, read_key=keys[key])
        log.caches_json = True
        for _ in range(3 * COUNT):
            log.append(os.urandom(size))
            for encode in forms:
                log.at(log.end - 1).json(encode)
        real = weigh()

    assert real <= log.bytes <= 1.6 * real + 16_384


def test_ids_of_the_server_are_weighed() -> None:
    """Long ids of short messages count as well."""
    with weighed() as weigh:
        log = EventLog(b"s", keep=COUNT, max_bytes=1 << 30, read_id=lambda m: m.hex().encode() * 50)
        for _ in range(2 * COUNT):
            log.append(os.urandom(8))
        real = weigh()

    assert real <= log.bytes <= 1.6 * real


def test_keys_of_any_script_are_weighed() -> None:
    """A character outside ASCII takes up to four bytes."""
    with weighed() as weigh:
        log = EventLog(
            b"s", keep=COUNT, max_bytes=1 << 30, read_key=lambda m: "\N{SNOWMAN}😀" * 100 + m.hex()
        )
        for _ in range(2 * COUNT):
            log.append(os.urandom(8))
        real = weigh()

    assert real <= log.bytes <= 1.6 * real


def test_json_that_comes_later_is_bounded_too() -> None:
    """Late readers make a log keep JSON; old messages go for it, and the newest stays."""
    log = EventLog(b"s", keep=COUNT, max_bytes=100_000)
    for _ in range(COUNT):
        log.append(bytes(200))
    log.caches_json = True
    kept = log.end - log.start
    for offset in range(log.start, log.end):
        if offset >= log.start:
            log.at(offset).json(as_hex)

    assert log.bytes <= 100_000
    assert 1 <= log.end - log.start < kept


def test_json_of_a_message_that_is_gone_is_not_kept() -> None:
    """A reader may still hold what the log has dropped; it counts nothing any more."""
    log = EventLog(b"s", keep=1, max_bytes=100_000)
    log.caches_json = True
    log.append(b"a")
    gone = log.at(0)
    log.append(b"b")
    before = log.bytes

    assert (gone.json(as_hex), log.bytes) == (as_hex(b"a"), before)


async def _read_all(reader: Reader) -> None:
    for item in await reader.items():
        if isinstance(item, StreamEvent):
            item.json(as_hex)


@pytest.mark.parametrize(("readers", "kept"), [(1, False), (2, True)])
async def test_json_is_kept_for_others_alone(readers: int, kept: bool) -> None:
    """What one reader alone reads it uses once."""
    async with staged() as stage:
        joined = [await stage.join("LastTwo") for _ in range(readers)]
        await stage.send(News(padding=bytes(1000)).SerializeToString())
        without = stage.feeds.accounting.bytes
        for reader in joined:
            await _read_all(reader)

        assert (stage.feeds.accounting.bytes > without + 2000) is kept


async def test_feeds_that_end_leave_nothing() -> None:
    """What was kept is free when the last reader has left, without waiting for a collection."""
    message = News(padding=os.urandom(1000)).SerializeToString()
    async with staged(max_idle_bytes=0) as stage:
        kept = 0
        with weighed() as weigh:
            for number in range(20):
                readers = [
                    await stage.join("LastTwo", metadata=(("authorization", str(number)),))
                    for _ in range(2)
                ]
                await stage.send(*(bytes(bytearray(message)) for _ in range(200)))
                for reader in readers:
                    await _read_all(reader)
                kept += stage.feeds.accounting.bytes
                for reader in readers:
                    await reader.leave()
                    del reader.source
                    reader._block = None  # type: ignore[assignment]
                await settled()
            stage.lines.clear()
            stage.upstream.calls.clear()

            assert kept > 20 * 200 * 2000
            assert weigh() < kept / 8


async def test_a_feed_weighs_what_its_request_weighs() -> None:
    """Its message and its metadata are kept as long as it is."""
    async with staged() as stage:
        await stage.join("LastTwo", message=bytes(0))
        small = stage.feeds.accounting.bytes
        metadata = (("authorization", "x" * 30_000), ("x-bin", bytes(10_000)))
        await stage.join("LastTwo", message=b"\n\x80\x08" + b"t" * 1024, metadata=metadata)

        assert small == FEED_BYTES + LIMITS.call_bytes
        assert stage.feeds.accounting.bytes - 2 * small >= 41_024


async def test_each_kind_of_stream_is_counted() -> None:
    """Shared or not, lingering, slow, or with nobody left to read it; and nothing is left at the end."""
    async with staged() as stage:
        for count, method in enumerate(
            ("Conflated", "LastTwo", "Lingering", "Disconnect", "PrivateDropOldest"), 1
        ):
            await stage.join(method)
            before = stage.feeds.accounting.bytes
            await stage.send(News(padding=bytes(1000)).SerializeToString())
            assert stage.feeds.accounting.bytes >= before + 1000
            assert stage.feeds.count == count
        await stage.join("Plain")
        assert (stage.feeds.count, len(METHODS)) == (5, 12)
