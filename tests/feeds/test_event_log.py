"""The log of a feed, against one that keeps everything."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.event_log import EVENT_BYTES, KEY_BYTES, EventLog


def log_of(
    *messages: bytes | None, keep: int = 4, max_bytes: int = 1 << 20, keyed: bool = False
) -> EventLog:
    """Makes a log; None is a restart, and a message's key is its first byte."""
    log = EventLog(
        b"s", keep=keep, max_bytes=max_bytes, read_key=(lambda m: m[:1]) if keyed else None
    )
    for message in messages:
        if message is None:
            log.mark_restart()
        else:
            log.append(message)
    return log


def test_an_empty_log() -> None:
    """Nothing is kept, and there is room for anything."""
    log = log_of()

    assert (log.start, log.end, log.call_start) == (0, 0, -1)
    assert log.offset_of_last(3) == 0
    assert log.newest_of_each_key() == []
    assert log.can_append(0, 10_000, 0)


def test_messages_are_numbered() -> None:
    """An id is that of the stream and the number of the message, from 1."""
    log = log_of(b"a", b"b")

    assert [log.at(offset).id for offset in range(2)] == [b"s-1", b"s-2"]


def test_ids_of_the_server_are_its_own() -> None:
    """Where the contract names a field for the id, that is the id."""
    log = EventLog(b"s", keep=1, max_bytes=1, read_id=lambda message: b"<" + message + b">")
    log.append(b"a")

    assert log.at(0).id == b"<a>"


@pytest.mark.parametrize(
    ("unread", "size", "room"),
    [
        ([], 10_000, True),
        ([10], 90, True),
        ([10], 91, False),
        ([EVENT_BYTES + 101], 0, False),
        ([1, 1, 1], 1, False),
    ],
)
@pytest.mark.parametrize("bound", ["of the log", "of now"])
def test_room_is_half_of_what_may_be_kept(
    unread: list[int], size: int, room: bool, bound: str
) -> None:
    """In number and in bytes, with the message that waits; but one message always has room."""
    most = 2 * (EVENT_BYTES * 2 + len(b"s-1") + 100)
    large = 100 * most
    log = log_of(
        *(b"read", *(b"x" * each for each in unread)),
        keep=6,
        max_bytes=most if bound == "of the log" else large,
    )

    assert log.can_append(1, size, most if bound == "of now" else large) is room


class Kept(NamedTuple):
    """A message of the naive log."""

    offset: int
    message: bytes
    call_start: int

    @property
    def size(self) -> int:
        """Its bytes in memory."""
        return EVENT_BYTES + len(b"s-%d" % (self.offset + 1)) + len(self.message)


@given(
    st.lists(st.none() | st.binary(min_size=1, max_size=6), max_size=40),
    st.integers(1, 6),
    st.integers(1, 4 * (EVENT_BYTES + KEY_BYTES)),
    st.data(),
)
def test_a_log_is_the_end_of_all_that_came(
    steps: list[bytes | None], keep: int, max_bytes: int, data: st.DataObject
) -> None:
    """What is kept is the longest end of everything that is within the bounds, but the newest always.

    By key too: of the newest messages of each key in the newest call, those that came last.
    """
    log = log_of(*steps, keep=keep, max_bytes=max_bytes, keyed=True)
    everything: list[Kept] = []
    call_start = -1
    by_key: dict[bytes, Kept] = {}
    for step in steps:
        if step is None:
            call_start, by_key = len(everything), {}
        else:
            everything.append(Kept(len(everything), step, call_start))
            by_key.pop(step[:1], None)
            by_key[step[:1]] = everything[-1]
            by_key = {
                kept.message[:1]: kept
                for kept in _end(list(by_key.values()), keep, max_bytes, KEY_BYTES)
            }
    end = _end(everything, keep, max_bytes)

    assert (log.end, log.call_start) == (len(everything), call_start)
    assert log.bytes == sum(kept.size for kept in {*end, *by_key.values()}) + KEY_BYTES * len(
        by_key
    )
    assert log.start == (end[0].offset if end else 0)
    assert [log.at(offset).message for offset in range(log.start, log.end)] == [
        kept.message for kept in end
    ]
    assert [log.at(offset).call_start for offset in range(log.start, log.end)] == [
        kept.call_start for kept in end
    ]
    count = data.draw(st.integers(0, keep))
    newest = [kept for kept in end if kept.call_start == call_start]
    assert log.end - log.offset_of_last(count) == min(count, len(newest))
    offset = data.draw(st.integers(0, log.end))
    assert [entry.message for entry in log.newest_of_each_key(offset)] == [
        kept.message for kept in by_key.values() if kept.offset >= offset
    ]


def _end(everything: list[Kept], keep: int, max_bytes: int, beside: int = 0) -> list[Kept]:
    """Returns the last messages that the bounds allow, and the newest in any case."""
    count = min(len(everything), 1)
    while (
        count < min(len(everything), keep)
        and sum(kept.size + beside for kept in everything[-count - 1 :]) <= max_bytes
    ):
        count += 1
    return everything[len(everything) - count :]
