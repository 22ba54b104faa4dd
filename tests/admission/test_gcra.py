"""Token buckets, on a simulated clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.limits.gcra import Rate, decide
from gateway.admission.limits.memory import MemoryStore, Slots

STEPS = st.lists(
    st.tuples(st.floats(0, 5, allow_subnormal=False), st.integers(0, 7)), min_size=1, max_size=80
)
"""Seconds since the last request, and what the request costs."""


@given(
    limit=st.integers(1, 1000),
    seconds=st.floats(0.1, 3600),
    burst=st.integers(1, 50),
    steps=STEPS,
    start=st.floats(0, 1e7),
)
def test_never_more_than_the_burst_and_what_has_come_back(
    limit: int, seconds: float, burst: int, steps: list[tuple[float, int]], start: float
) -> None:
    """In no period, from any request to any later one."""
    rate = Rate.of("x", limit, seconds, burst)
    arrival, now = 0.0, start
    taken: list[tuple[float, int]] = []
    for pause, cost in steps:
        now += pause
        arrival, decision = decide(rate, arrival, cost, now)
        assert 0 <= decision.remaining <= burst
        if decision.admitted:
            taken.append((now, cost))
    for first, (begin, _) in enumerate(taken):
        total = 0
        for end, cost in taken[first:]:
            total += cost
            assert total <= burst + (end - begin) * limit / seconds + 1e-5 * limit / seconds


@given(limit=st.integers(1, 1000), seconds=st.floats(0.1, 3600), burst=st.integers(1, 50))
def test_all_of_the_burst_is_there_at_once_and_comes_back(
    limit: int, seconds: float, burst: int
) -> None:
    """To the last token; the next is admitted exactly when it is said to be."""
    rate = Rate.of("x", limit, seconds, burst)
    arrival, now = 0.0, 1000.0
    for left in reversed(range(burst)):
        arrival, decision = decide(rate, arrival, 1, now)
        assert (decision.admitted, decision.remaining) == (True, left)
    arrival, refused = decide(rate, arrival, 1, now)
    assert not refused.admitted
    assert refused.remaining == 0
    assert refused.retry_seconds == pytest.approx(seconds / limit, rel=1e-3)
    assert not decide(rate, arrival, 1, now + refused.retry_seconds * 0.99)[1].admitted
    assert decide(rate, arrival, 1, now + refused.retry_seconds)[1].admitted
    assert decide(rate, arrival, burst, now + refused.full_seconds)[1].admitted


@given(steps=STEPS, size=st.integers(0, 10_000))
def test_what_may_owe_takes_any_cost_and_pays_it_later(
    steps: list[tuple[float, int]], size: int
) -> None:
    """So bytes are at most the burst, what has come back, and one message."""
    rate = Rate.of("x", 10, 1, 20, may_owe=True)
    arrival, now, total = 0.0, 1000.0, 0
    for pause, cost in [(0.0, size), *steps]:
        now += pause
        arrival, decision = decide(rate, arrival, cost, now)
        if decision.admitted:
            assert total <= 20 + (now - 1000) * 10 + 1e-5
            total += cost


def test_a_time_that_has_passed_is_a_full_bucket() -> None:
    """However long ago it was; nothing is saved up beyond the burst."""
    rate = Rate.of("x", 1, 1, 3)
    assert decide(rate, 0.0, 3, 1e9)[1] == (0, 0.0, 3.0)
    assert not decide(rate, 0.0, 4, 1e9)[1].admitted


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=200))
def test_slots_are_never_negative_nor_more_than_the_limit(steps: list[tuple[str, bool]]) -> None:
    """Whoever comes and goes; and who has none takes no memory."""
    slots = Slots(3)
    held = dict.fromkeys("abc", 0)
    for key, comes in steps:
        if comes:
            assert slots.take(key) is (held[key] < 3)
            held[key] = min(3, held[key] + 1)
        elif held[key]:
            slots.release(key)
            held[key] -= 1
        assert slots.taken(key) == held[key]
    assert len(slots) == sum(1 for count in held.values() if count)


def test_memory_is_bounded_whoever_comes() -> None:
    """A newcomer takes the place of a full bucket; nobody's empty bucket is forgotten."""
    table = MemoryStore(100).table(Rate.of("x", 1, 3600, 2))
    for number in range(100):
        for _ in range(2):
            assert table.take(f"old {number}", 1, 1.0).admitted
    for number in range(20_000):
        table.take(f"new {number}", 1, 2.0)

    assert len(table) == 100
    for number in range(100):
        assert not table.take(f"old {number}", 1, 3.0).admitted


def test_a_full_table_gives_nobody_a_fresh_bucket() -> None:
    """Those without a place share buckets, so more addresses give an attacker no more than those hold."""
    table = MemoryStore(10).table(Rate.of("x", 1, 3600, 2))
    admitted = sum(
        table.take(f"{number}", 1, 1.0).admitted for _ in range(5) for number in range(20_000)
    )

    assert admitted <= 2 * (10 + 4096)


def test_a_full_table_refuses_no_newcomer_by_itself() -> None:
    """The first one after an attack is admitted, and keeps a bucket of its own when there is room."""
    table = MemoryStore(10).table(Rate.of("x", 1, 1, 2))
    for number in range(10):
        table.take(f"{number}", 2, 1.0)
    assert table.take("newcomer", 1, 1.0).remaining == 1
    assert table.take("newcomer", 1, 1.0).remaining == 0

    assert not table.take("newcomer", 2, 3.5 - 1).admitted  # it has the place of one that is full
    assert table.take("newcomer", 1, 100.0).remaining == 1
    assert len(table) == 10


def test_places_of_full_buckets_are_used_before_the_table_grows() -> None:
    """So memory follows those who come in the time of a bucket, not all who ever came."""
    table = MemoryStore(100_000).table(Rate.of("x", 1000, 1, 10))
    for number in range(20_000):
        table.take(f"{number}", 1, number / 100)

    assert len(table) < 10
