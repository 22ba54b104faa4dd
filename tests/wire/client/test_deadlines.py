"""Many deadlines behind one timer: each call ends at its own, and none is forgotten."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

from grpc_wire.client_deadlines import Deadlines

SOON = 0.03
LATE = 0.5
"""Seconds that a busy machine may take."""


@dataclass(eq=False)
class Call:
    """One that notes when it has ended."""

    calls: set[Call]
    deadline: float | None
    over: asyncio.Future[float] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def __post_init__(self) -> None:
        self.calls.add(self)

    def expired(self) -> None:
        """Ends."""
        self.calls.remove(self)
        self.over.set_result(asyncio.get_running_loop().time())


class Calls:
    """Begins calls as a balancer does."""

    def __init__(self) -> None:
        self.calls: set[Call] = set()
        self.now = asyncio.get_running_loop().time()
        self.deadlines = Deadlines(asyncio.get_running_loop(), self.calls)

    def after(self, seconds: float) -> Call:
        """Begins one."""
        call = Call(self.calls, self.now + seconds)
        if self.now + seconds < self.deadlines.next:
            self.deadlines.watch(self.now + seconds)
        return call


async def test_order() -> None:
    """Each ends at its own deadline, whatever the order that they began in."""
    begun = Calls()
    Call(begun.calls, None)
    calls = [begun.after(factor * SOON) for factor in (3, 1, 4, 2, 2)]
    for call in calls:
        assert call.deadline is not None
        assert -0.002 < await call.over - call.deadline < LATE
    assert len(begun.calls) == 1
    assert begun.deadlines.next == math.inf


async def test_ended_before() -> None:
    """The deadline of a call that has ended is passed over, and not the next."""
    begun = Calls()
    first, second = begun.after(SOON), begun.after(2 * SOON)
    begun.calls.remove(first)
    await second.over
    assert not first.over.done()


async def test_begun_at_the_end_of_another() -> None:
    """What an expired call begins is watched as well."""
    begun = Calls()
    later = begun.after(3 * SOON)

    class Retrying(Call):
        def expired(self) -> None:
            """Ends, and begins another."""
            super().expired()
            self.next = begun.after(2 * SOON)

    first = Retrying(begun.calls, begun.now + SOON)
    begun.deadlines.watch(begun.now + SOON)
    await first.over
    assert await first.next.over <= await later.over


async def test_many() -> None:
    """A thousand that end one by one are looked at a few times."""
    begun = Calls()
    calls = [begun.after(SOON + number / 20_000) for number in range(1_000)]
    looks = 0
    watch = begun.deadlines.watch

    def counted(deadline: float) -> None:
        nonlocal looks
        looks += 1
        watch(deadline)

    begun.deadlines.watch = counted  # type: ignore[method-assign]
    await asyncio.gather(*(call.over for call in calls))
    assert 0 < looks < 20


async def test_stop() -> None:
    """None ends by it any more."""
    begun = Calls()
    call, other = begun.after(SOON), Calls()
    begun.deadlines.stop()
    await other.after(2 * SOON).over
    assert not call.over.done()


async def test_one_that_fails() -> None:
    """It holds up neither those that are due with it, nor those that are due later."""
    begun = Calls()
    loop = asyncio.get_running_loop()
    failures: asyncio.Queue[BaseException] = asyncio.Queue()
    loop.set_exception_handler(lambda _loop, context: failures.put_nowait(context["exception"]))

    class Failing(Call):
        def expired(self) -> None:
            """Ends badly."""
            self.calls.remove(self)
            raise ZeroDivisionError

    Failing(begun.calls, begun.now + SOON)
    now, later = begun.after(SOON), begun.after(2 * SOON)
    await asyncio.gather(now.over, later.over)
    assert isinstance(await failures.get(), ZeroDivisionError)
