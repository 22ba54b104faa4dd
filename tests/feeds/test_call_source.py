"""The source of a stream with one reader."""

from __future__ import annotations

from collections import deque
from typing import Self

import pytest

from gateway.feeds.source import CallSource, Gap, Item, StreamEvent
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import UNAVAILABLE, StatusError


class Arrived:
    """A call, some messages of which come together; it fails after the last."""

    def __init__(self, *together: list[bytes]) -> None:
        self._together = deque(map(deque, together))
        self._come: deque[bytes] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._together:
            raise StatusError.of(UNAVAILABLE, "no more")
        self._come = self._together.popleft()
        return self._come.popleft()

    def take_message(self) -> bytes | None:
        """Returns a message that has come."""
        return self._come.popleft() if self._come else None

    async def initial_metadata(self) -> Metadata:
        """Returns none."""
        return ()

    async def trailing_metadata(self) -> Metadata:
        """Returns none."""
        return ()


def messages(items: list[Item]) -> list[bytes]:
    """Returns the messages of events."""
    return [item.message for item in items if isinstance(item, StreamEvent)]


async def test_messages_that_have_come_together_are_read_together() -> None:
    """In order; those that have not come are not waited for, and the status follows the last."""
    source = CallSource(Arrived([b"1", b"2", b"3"], [b"4"]))
    first, second = list(await anext(source)), list(await anext(source))

    assert (messages(first), messages(second)) == ([b"1", b"2", b"3"], [b"4"])
    with pytest.raises(StatusError, match="no more"):
        await anext(source)


async def test_ids_are_numbers_behind_a_prefix() -> None:
    """Each message has its own, and all have the prefix of their stream."""
    source = CallSource(Arrived([b"1", b"2"], [b"3"]))
    items = [*await anext(source), *await anext(source)]
    ids = [item.id.decode().rpartition("-") for item in items]

    assert [number for _, _, number in ids] == ["1", "2", "3"]
    assert len({prefix for prefix, _, _ in ids}) == 1


async def test_no_ids_where_nobody_reads_them() -> None:
    """A framing without ids costs none, even where the server gives its own."""
    source = CallSource(Arrived([b"1"]), read_id=lambda message: message, with_ids=False)

    assert [item.id for item in await anext(source)] == [b""]


async def test_a_gap_goes_before_all_messages() -> None:
    """Once, where the reader could not resume."""
    source = CallSource(Arrived([b"1", b"2"], [b"3"]), resume_failed=True)
    gap, *items = await anext(source)

    assert gap == Gap(restarted=True)
    assert messages(items) == [b"1", b"2"]
    assert messages(list(await anext(source))) == [b"3"]
