"""The deadlines of all calls on one timer."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from grpc_wire.transport.deadlines import Deadlines


class Clock:
    """A loop whose time is set; it counts its timers."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        """Returns the time."""
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Any:
        """Takes a timer."""
        timer = (when, call)
        self.timers.append(timer)

        class Handle:
            cancel = staticmethod(lambda: self.timers.remove(timer))

        return Handle

    def pass_to(self, now: float) -> None:
        """Lets time pass, a timer at a time."""
        while due := sorted(each for each in self.timers if each[0] <= now):
            self.timers.remove(due[0])
            self.now = due[0][0]
            due[0][1]()
        self.now = now


@pytest.fixture
def clock() -> Clock:
    """A clock at 0."""
    return Clock()


@pytest.fixture
def deadlines(clock: Clock) -> Deadlines:
    """Deadlines on that clock."""
    loop: Any = clock
    return Deadlines(loop)


def test_each_at_its_time(clock: Clock, deadlines: Deadlines) -> None:
    """Whoever is due is called, in the order of the deadlines; one timer is enough."""
    called: list[float] = []
    for when in (3.0, 1.0, 2.0, 1.0):
        deadlines.add(when, partial(called.append, when))
        assert len(clock.timers) == 1

    clock.pass_to(0.9)
    assert called == []
    clock.pass_to(1.0)
    assert called == [1.0, 1.0]
    clock.pass_to(5.0)
    assert called == [1.0, 1.0, 2.0, 3.0]
    assert clock.timers == []


def test_what_is_dropped(clock: Clock, deadlines: Deadlines) -> None:
    """Is not called, however often it is dropped, also by another that is due at once."""
    called: list[str] = []
    first = deadlines.add(1.0, lambda: deadlines.drop(second))
    second = deadlines.add(1.0, lambda: called.append("second"))
    deadlines.add(2.0, lambda: called.append("third"))
    for _ in range(3):
        deadlines.drop(deadlines.add(0.5, lambda: called.append("fourth")))

    clock.pass_to(3.0)
    deadlines.drop(first)
    deadlines.drop(second)
    assert called == ["third"]


def test_one_that_fails(clock: Clock, deadlines: Deadlines) -> None:
    """Does not keep the others from being called."""
    called: list[str] = []

    def fail() -> None:
        raise LookupError

    deadlines.add(1.0, fail)
    deadlines.add(1.0, lambda: called.append("second"))

    with pytest.raises(LookupError):
        clock.pass_to(1.0)
    clock.pass_to(1.0)
    assert called == ["second"]


def test_one_that_begins_another(clock: Clock, deadlines: Deadlines) -> None:
    """What is called may add deadlines, also earlier ones than are known."""
    called: list[float] = []
    deadlines.add(9.0, lambda: called.append(9.0))

    def begin() -> None:
        deadlines.add(2.0, lambda: called.append(2.0))

    deadlines.add(1.0, begin)

    clock.pass_to(8.0)
    assert called == [2.0]
    assert len(clock.timers) == 1
    clock.pass_to(9.0)
    assert called == [2.0, 9.0]


def test_stopped(clock: Clock, deadlines: Deadlines) -> None:
    """Nobody is called back any more, no timer is left, and what was known may still be dropped."""
    known = deadlines.add(1.0, lambda: None)
    deadlines.stop()
    assert (len(deadlines), clock.timers) == (0, [])
    deadlines.drop(known)

    called: list[float] = []
    deadlines.add(2.0, lambda: called.append(2.0))
    clock.pass_to(3.0)
    assert called == [2.0]


def test_nothing_is_held(deadlines: Deadlines) -> None:
    """What is dropped is forgotten at once; and of many that are, no more is left than of others."""

    class Call:
        def expire(self) -> None:
            raise AssertionError

    kept = [deadlines.add(1000.0, lambda: None) for _ in range(100)]
    call = Call()
    gone = weakref.ref(call)
    deadlines.drop(deadlines.add(60.0, call.expire))
    del call
    gc.collect()
    assert gone() is None

    for _ in range(10_000):
        deadlines.drop(deadlines.add(60.0, lambda: None))
    assert len(deadlines) <= 2 * len(kept) + 100


async def test_on_a_loop() -> None:
    """The same with a real clock."""
    loop = asyncio.get_running_loop()
    deadlines, called = Deadlines(loop), loop.create_future()
    begin = loop.time()
    deadlines.add(begin + 60.0, lambda: None)
    deadlines.add(begin + 0.02, lambda: called.set_result(loop.time()))

    assert await called >= begin + 0.019
