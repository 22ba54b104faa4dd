"""Limits of several edges over one real Redis: one count, and local counting without it."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.error import AdmissionError
from gateway.admission.limits.gcra import Decision, Rate
from gateway.admission.limits.memory import MemoryStore
from gateway.admission.limits.shared import SharedBuckets
from gateway.admission.limits.store import Wanted
from gateway.store.making import make_store
from gateway.store.settings import StoreSettings
from gateway.store.store import Store
from tests.edge.asgi import running
from tests.edge.conftest import MakeApp
from tests.edge.test_limits import DOORS, HOUR, WIRES, Ask, Callers, directly, rules
from tests.operations.scrapes import scrape, total
from tests.redis_server import RedisServer, cluster_of_one, form_cluster, needs_redis

GENEROUS = 10.0
"""Seconds that a request may wait for the store where its answer is what a test is about."""
FEW_RIGHTS: dict[str, Any] = {"password": "hunter2", "timeout_seconds": 3}
"""Of who may not keep feeds: the start of an edge waits for those as long as a command may take."""
PAGE = (Path(__file__).parents[2] / "docs/reference/admission.md").read_text()
LOCAL = "protoway_limits_local_requests_total"


def shared(make_app: MakeApp, server: RedisServer, *written: Any, **others: Any) -> FastAPI:
    """Makes an edge whose rules count in a store."""
    seconds = others.pop("shared_timeout_seconds", GENEROUS)
    limits = rules(*written, shared=True, shared_timeout_seconds=seconds)
    store = {"url": server.url, "timeout_seconds": 30} | others.pop("store", {})
    return make_app(limits=limits, store=store, admin_port=0, **others)


def store_of(server: RedisServer, **settings: Any) -> Store:
    """Makes a store."""
    made = make_store(StoreSettings(url=server.url, timeout_seconds=30, **settings))
    assert made is not None
    return made


async def until_up(app: FastAPI) -> None:
    """Waits until an edge has its store."""
    await asyncio.wait_for(app.state.store.wait_until_up(), 30)


@WIRES
async def test_two_edges_count_one_limit(
    make_app: MakeApp, redis_server: RedisServer, wire: Ask
) -> None:
    """A caller has as many tokens at both together as at one; others have their own."""
    async with AsyncExitStack() as stack:
        edges = [
            await stack.enter_async_context(running(shared(make_app, redis_server, {"limit": 4})))
            for _ in range(2)
        ]
        seen = [(await wire(edges[n % 2], "/v1/echo", "192.0.2.1")).status for n in range(6)]
        other = await wire(edges[1], "/v1/echo", "192.0.2.2")

    assert [status in (101, 200) for status in seen] == [True] * 4 + [False] * 2
    assert seen[4:] == [429, 429]
    assert other.status in (101, 200)


async def test_callers_are_told_what_is_left_as_without_a_store(
    make_app: MakeApp, redis_server: RedisServer
) -> None:
    """By the same headers, also of two rules, of which one needs an identity."""
    written = (
        {"name": "a", "limit": 5, "costs": {"*": 2}},
        {"name": "b", "limit": 3, "by": ("identity",)},
    )
    edges = [
        shared(make_app, redis_server, *written, policies=[Callers()]),
        make_app(limits=rules(*written), policies=[Callers()]),
    ]
    seen: list[Any] = []
    for edge in edges:
        async with running(edge) as app:
            answers = [await directly(app, "/v1/echo", **{"x-caller": "ann"}) for _ in range(3)]
        seen.append(
            [
                (each.status, each.headers["ratelimit-policy"], each.headers["ratelimit"])
                for each in answers
            ]
        )

    assert seen[0] == seen[1]
    assert [status for status, _, _ in seen[0]] == [200, 200, 429]


async def test_requests_of_one_turn_are_one_command(
    make_app: MakeApp, redis_server: RedisServer
) -> None:
    """However many come at once, and exactly as many are admitted as there are tokens."""
    async with running(shared(make_app, redis_server, {"limit": 30})) as app:
        answers = await asyncio.gather(
            *(directly(app, "/v1/echo", "192.0.2.1") for _ in range(100))
        )
        commands = app.state.store.durations["limits"].count

    assert sorted(each.status for each in answers) == [200] * 30 + [429] * 70
    assert commands <= 3


async def test_the_store_sees_no_caller_and_forgets_all(
    make_app: MakeApp, redis_server: RedisServer
) -> None:
    """Keys are HMACs, and end when their buckets are full."""
    app = shared(
        make_app,
        redis_server,
        {"limit": 10, "seconds": 100},
        {"name": "who", "limit": 10, "seconds": 100, "by": ("identity",)},
        policies=[Callers()],
        store={"secret": "of all replicas"},
    )
    async with running(app):
        await directly(app, "/v1/echo", "192.0.2.77", **{"x-caller": "ann"})
    keys = redis_server.command("KEYS", "*").split()
    written = " ".join(keys) + " ".join(redis_server.command("GET", key) for key in keys)

    assert len(keys) == 2
    assert all(key.startswith("protoway:{limits}:") for key in keys)
    assert "192" not in " ".join(keys)
    assert "ann" not in written
    assert all(0 < int(redis_server.command("TTL", key)) <= 11 for key in keys)


@DOORS
async def test_a_killed_store_is_done_without_and_comes_back(
    make_app: MakeApp, redis_server: RedisServer, door: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile an edge counts by itself, from what it knows, and says so in metrics, and in the log once."""
    async with running(shared(make_app, redis_server, {"limit": 10})) as app:
        before = [(await door(app, "/v1/echo", "192.0.2.1")).status for _ in range(3)]
        redis_server.kill()
        without = [(await door(app, "/v1/echo", "192.0.2.1")).status for _ in range(8)]
        samples = scrape(app)
        redis_server.start()
        await until_up(app)
        after = await door(app, "/v1/echo", "192.0.2.2")
        later = scrape(app)

    assert (before, without) == ([200] * 3, [200] * 7 + [429])
    assert total(samples, LOCAL, reason="failed") + total(samples, LOCAL, reason="down") == 7
    assert (after.status, after.headers["ratelimit"].partition(";t")[0]) == (200, '"r";r=9')
    assert total(later, LOCAL) == total(samples, LOCAL)
    told = [each for each in caplog.messages if each.startswith("limits are counted by")]
    assert len(told) == 1


async def test_a_halted_store_costs_the_timeout_once(
    make_app: MakeApp, redis_server: RedisServer
) -> None:
    """Requests that wait for it are counted locally after the timeout, others at once, until it is back."""
    app = shared(make_app, redis_server, {"limit": 1000}, shared_timeout_seconds=0.02)
    async with running(app):
        redis_server.pause()
        started = time.monotonic()
        first = await directly(app, "/v1/echo", "192.0.2.1")
        waited = time.monotonic() - started
        rest = [(await directly(app, "/v1/echo", "192.0.2.1")).status for _ in range(100)]
        samples = scrape(app)
        redis_server.resume()
        asked = app.state.store.durations["limits"]
        async with asyncio.timeout(30):
            while asked.count < 2:
                await directly(app, "/v1/echo", "192.0.2.1")
                await asyncio.sleep(0.01)

    assert first.status == 200
    assert 0.02 <= waited < 10
    assert rest == [200] * 100
    assert total(samples, LOCAL, reason="late") >= 101


RIGHTS = re.findall(r"[~+][^ `]+", re.findall(r"^- \*\*Rights\*\* .*$", PAGE, re.MULTILINE)[0])
"""Those that the page names for limits and tickets, in a cluster too."""


@needs_redis
async def test_a_cluster_counts_on_one_node(make_app: MakeApp, tmp_path: Path) -> None:
    """By a script whose keys have one hash tag; a user with the rights that the page names is enough."""
    with cluster_of_one(tmp_path / "redis") as server:
        form_cluster(server)
        server.add_user("edge", "hunter2", *RIGHTS)
        url = f"redis+cluster://edge@127.0.0.1:{server.port}"
        store = {"url": url} | FEW_RIGHTS
        written = {"name": "a", "limit": 2}, {"name": "b", "limit": 9, "by": ()}
        async with running(shared(make_app, server, *written, store=store)) as app:
            seen = [(await directly(app, "/v1/echo")).status for _ in range(3)]
            local, failures = total(scrape(app), LOCAL), app.state.store.failures

    assert seen == [200, 200, 429]
    assert local == 0
    assert not failures


async def test_few_rights_are_enough(make_app: MakeApp, redis_server: RedisServer) -> None:
    """A user of the ACL that the page names, and nothing else."""
    redis_server.add_user(
        "edge", "hunter2", *(each for each in RIGHTS if not each.startswith("+c"))
    )
    store = {"url": redis_server.url.replace("//", "//edge@")} | FEW_RIGHTS
    async with running(shared(make_app, redis_server, {"limit": 2}, store=store)) as app:
        seen = [(await directly(app, "/v1/echo")).status for _ in range(3)]
        failures = app.state.store.failures

    assert seen == [200, 200, 429]
    assert not failures


async def test_limits_are_shared_over_tls(make_app: MakeApp, redis_server: RedisServer) -> None:
    """With the CA of the settings."""
    store = {"url": redis_server.tls_url, "ca": redis_server.ca}
    async with running(shared(make_app, redis_server, {"limit": 2}, store=store)) as app:
        seen = [(await directly(app, "/v1/echo")).status for _ in range(3)]
        local = total(scrape(app), LOCAL)

    assert (seen, local) == ([200, 200, 429], 0)


async def test_a_store_that_is_full_is_done_without(
    make_app: MakeApp, redis_server: RedisServer
) -> None:
    """Redis refuses to write beyond `maxmemory`; the edge counts by itself."""
    async with running(shared(make_app, redis_server, {"limit": 2})) as app:
        redis_server.command("CONFIG", "SET", "maxmemory", "1")
        seen = [(await directly(app, "/v1/echo")).status for _ in range(3)]
        is_up, local = app.state.store.is_up, total(scrape(app), LOCAL, reason="failed")

    assert seen == [200, 200, 429]
    assert is_up
    assert local == 2


def test_without_a_store_nothing_is_shared(make_app: MakeApp) -> None:
    """The start says so."""
    with pytest.raises(AdmissionError, match=r"limits_shared: .* set feed_store"):
        make_app(limits=rules({"limit": 1}, shared=True))


async def taken(buckets: SharedBuckets, *wanted: Wanted) -> list[Decision]:
    """Takes tokens."""
    answer = buckets.take(wanted)
    assert answer is not None
    decisions = await answer
    assert decisions is not None
    return list(decisions)


async def test_the_script_decides_as_memory_does(redis_server: RedisServer) -> None:
    """For any rate, burst and costs: what is admitted, what is left, and when to come back."""
    async with store_of(redis_server) as store, SharedBuckets(store, GENEROUS) as buckets:
        number = 0
        loop = asyncio.get_running_loop()

        @given(
            limit=st.integers(1, 1000),
            burst=st.integers(1, 1000),
            seconds=st.floats(1000.0, 31 * 86_400.0),
            costs=st.lists(st.integers(1, 20), max_size=8),
        )
        def agree(limit: int, burst: int, seconds: float, costs: list[int]) -> None:
            nonlocal number
            number += 1
            rate = Rate.of("x", limit, seconds, burst)
            table = MemoryStore(10).table(rate)
            cases.append(([Wanted(rate, str(number), cost) for cost in costs], table))

        cases: list[tuple[list[Wanted], Any]] = []
        agree()
        assert loop.is_running()
        for wanted, table in cases:
            started = time.monotonic()
            for each in wanted:
                expected = table.take("x", each.cost, 0.0)
                (decision,) = await taken(buckets, each)
                spent = time.monotonic() - started
                assert decision.admitted == expected.admitted
                assert (
                    abs(decision.remaining - expected.remaining) <= 1 + spent / each.rate.interval
                )
                assert decision.full_seconds <= expected.full_seconds + 1e-3
                assert decision.full_seconds >= expected.full_seconds - spent - 1e-3


async def test_a_bucket_behind_one_that_refuses_keeps_its_tokens(redis_server: RedisServer) -> None:
    """Also among other requests of the same command; those before it have given theirs."""
    rates = [Rate.of(name, limit, HOUR, limit) for name, limit in (("a", 3), ("b", 1), ("c", 9))]
    async with store_of(redis_server) as store, SharedBuckets(store, GENEROUS) as buckets:
        wanted = [Wanted(rate, "k", 1) for rate in rates]
        answers = await asyncio.gather(*(taken(buckets, *wanted) for _ in range(3)))
        left = await taken(buckets, Wanted(rates[0], "k", 1))
        last = await taken(buckets, Wanted(rates[2], "k", 1))

    assert [[each.admitted for each in answer] for answer in answers] == [
        [True, True, True],
        [True, False],
        [True, False],
    ]
    assert [each.admitted for each in left] == [False]
    assert [each.remaining for each in last] == [7]


async def test_a_clock_that_was_ahead_locks_nobody_out(redis_server: RedisServer) -> None:
    """After a failover to a server whose clock is behind, a bucket is at worst empty."""
    rate = Rate.of("a", 10, 10, 10)
    async with store_of(redis_server) as store, SharedBuckets(store, GENEROUS) as buckets:
        await taken(buckets, Wanted(rate, "k", 1))
        (key,) = redis_server.command("KEYS", "*").split()
        redis_server.command("SET", key, f"{float(redis_server.command('GET', key)) + 3.6e9:.3f}")
        (decision,) = await taken(buckets, Wanted(rate, "k", 1))

    assert not decision.admitted
    assert 0.9 < decision.retry_seconds <= 1.0
