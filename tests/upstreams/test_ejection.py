"""Addresses that fail or are slow are left out, come back, and are counted; callers notice little."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from gateway.settings import Settings
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import INTERNAL, UNAVAILABLE, StatusError
from gateway.upstream.ejection import EjectionPolicy, Endpoint, Outliers
from tests.edge.asgi import ask, running
from tests.upstreams.contract import Server, shop_app, shop_server

BODY = b'{"name":"a"}'


def balanced(folder: Path, servers: list[Server], **fields: Any) -> FastAPI:
    """Makes an edge before several addresses."""
    addresses = [each.address for each in servers]
    entry = {"name": "shop", "methods": "shop.*", "addresses": addresses} | fields
    return shop_app(folder, [entry], admin_port=0)


def sample(app: FastAPI, name: str, label: str = "") -> Any:
    """Returns the value of a series of the upstream with this label."""
    samples = dict(app.state.metrics.snapshot()[name])
    return samples["shop", label] if label else samples["shop",]


async def until(app: FastAPI, name: str, label: str = "") -> None:
    """Waits until a series is above 0."""
    async with asyncio.timeout(20):
        while not sample(app, name, label):
            await asyncio.sleep(0.02)


async def statuses(app: FastAPI, count: int, path: str = "/orders") -> list[int]:
    """Makes calls one after the other; returns their HTTP statuses."""
    return [(await ask(app, "POST", path, BODY)).status for _ in range(count)]


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_a_failing_address_is_ejected_and_returns(tmp_path: Path, transport: str) -> None:
    """After its failures in a row the others take all calls; it returns after its time, and is counted."""
    async with shop_server() as bad, shop_server() as good:
        bad.code = grpc.StatusCode.UNAVAILABLE
        ejection = {"consecutive_failures": 3, "seconds": 1, "slow_start_seconds": 0}
        app = balanced(tmp_path, [bad, good], transport=transport, ejection=ejection)
        async with running(app):
            before = await statuses(app, 6)
            assert sample(app, "protoway_upstream_ejections_total", "failures") == 1
            assert sample(app, "protoway_upstream_addresses", "ejected") == 1
            after = await statuses(app, 10)
            bad.code = grpc.StatusCode.OK
            await until(app, "protoway_upstream_returns_total")
            seen = len(bad.calls)
            back = await statuses(app, 10)
            assert sample(app, "protoway_upstream_addresses", "ejected") == 0

    assert sorted(before) == [200] * 3 + [503] * 3
    assert after == [200] * 10
    assert back == [200] * 10
    assert len(bad.calls) - seen == 5


async def test_a_slow_address_is_ejected(tmp_path: Path) -> None:
    """Its answers are right, and take too long: by latency, not by failures."""
    async with shop_server() as slow, shop_server() as fast:
        slow.delay = 0.6
        ejection = {"slow_seconds": 0.5, "consecutive_slow": 2, "seconds": 60}
        app = balanced(tmp_path, [slow, fast], ejection=ejection)
        async with running(app):
            assert await statuses(app, 4) == [200] * 4
            assert sample(app, "protoway_upstream_ejections_total", "latency") == 1
            await statuses(app, 6)
    assert (len(slow.calls), len(fast.calls)) == (2, 8)


async def test_callers_cannot_eject_an_address(tmp_path: Path) -> None:
    """A deadline that a caller sets and an error that its request brings about do not count."""
    async with shop_server() as one, shop_server() as two:
        one.hangs = two.hangs = True
        app = balanced(tmp_path, [one, two], ejection={"consecutive_failures": 1})
        async with running(app):
            for _ in range(4):
                answer = await ask(app, "POST", "/orders", BODY, {"grpc-timeout": "50m"})
                assert answer.status == 504
            one.hangs = two.hangs = False
            one.code = two.code = grpc.StatusCode.INTERNAL
            assert await statuses(app, 4) == [500] * 4
            assert sample(app, "protoway_upstream_ejections_total", "failures") == 0


async def test_retries_hide_a_failing_address(tmp_path: Path) -> None:
    """A call that fails at one address is made again at the other, and the first one is ejected."""
    async with shop_server() as bad, shop_server() as good:
        bad.code = grpc.StatusCode.UNAVAILABLE
        app = balanced(
            tmp_path,
            [bad, good],
            ejection={"consecutive_failures": 2, "seconds": 60},
            retry={"initial_backoff_seconds": 0.01},
        )
        async with running(app):
            assert await statuses(app, 20) == [200] * 20
    assert len(bad.calls) == 2


async def test_an_address_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    """Once an attempt to connect has failed, calls go to the others; both states are told."""
    async with shop_server() as gone:
        pass
    async with shop_server() as good:
        app = balanced(tmp_path, [gone, good])
        async with running(app):
            await statuses(app, 2)
            await until(app, "protoway_upstream_addresses", "unreachable")
            assert await statuses(app, 10) == [200] * 10
            assert sample(app, "protoway_upstream_addresses", "live") == 1


async def test_an_upstream_is_ready_if_one_address_is(tmp_path: Path) -> None:
    """Readiness asks the addresses in turn, until one answers."""
    async with shop_server() as gone:
        pass
    async with shop_server() as good:
        app = balanced(tmp_path, [gone, good], required=True)
        async with running(app):
            assert (await ask(app, "GET", "/readyz")).status == 200


async def test_others_notice_nothing(tmp_path: Path) -> None:
    """One upstream hangs, one is gone, one is slow: calls to a fourth are answered, all at the same time."""
    async with shop_server() as gone:
        lost = gone.address
    async with shop_server() as hung, shop_server() as slow, shop_server() as well:
        hung.hangs, slow.delay = True, 0.5
        app = shop_app(
            tmp_path,
            [
                {"name": "hung", "methods": "shop.v1.Orders/Get", "addresses": hung.address}
                | {"timeout_seconds": 2, "max_calls": 5},
                {"name": "gone", "methods": "shop.v1.Orders/Place", "addresses": lost},
                {"name": "slow", "methods": "shop.v1.Orders/Watch", "addresses": slow.address},
            ],
            upstream=well.address,
        )
        async with running(app):
            watched = [asyncio.create_task(ask(app, "GET", "/orders:watch")) for _ in range(5)]
            of_hung, of_gone, of_well = await asyncio.gather(
                asyncio.gather(*(ask(app, "POST", "/orders", BODY) for _ in range(10))),
                statuses(app, 10, "/orders:place"),
                statuses(app, 50, "/stock"),
            )
            of_slow = [(await each).status for each in watched]

    assert of_well == [200] * 50
    assert sorted(each.status for each in of_hung) == [503] * 5 + [504] * 5
    assert of_gone == [503] * 10
    assert of_slow == [200] * 5


def failure() -> StatusError:
    """Returns what a server that is not available ends a call with."""
    error = StatusError.of(UNAVAILABLE, "no")
    error.by_upstream = True
    return error


async def test_some_addresses_always_stay() -> None:
    """No more than the share is ejected, and one may be even of two; the time grows with each ejection."""
    policy = EjectionPolicy(failures=1, max_share=0.5, time=60)
    for count, most in ((2, 1), (3, 1), (4, 2)):
        endpoints = [Endpoint(str(each), ScriptedUpstream({})) for each in range(count)]
        outliers = Outliers("x", endpoints, policy)
        for each in endpoints:
            outliers.called(each, failure())
        assert len(outliers.live) == count - most
        outliers.stop()


async def test_only_failures_in_a_row_count() -> None:
    """A success between them begins anew, and so does another status."""
    endpoints = [Endpoint(str(each), ScriptedUpstream({})) for each in range(2)]
    outliers = Outliers("x", endpoints, EjectionPolicy(failures=2))
    for between in (None, StatusError.of(INTERNAL, "x")):
        outliers.called(endpoints[0], failure())
        outliers.called(endpoints[0], between)
    outliers.called(endpoints[0], failure())
    before = outliers.live
    outliers.called(endpoints[0], failure())
    assert (before, outliers.live) == (tuple(endpoints), (endpoints[1],))
    outliers.stop()


async def test_a_returned_address_starts_slowly() -> None:
    """Its share of calls grows with the time since it returned, up to all of them."""
    endpoints = [Endpoint(str(each), ScriptedUpstream({})) for each in range(2)]
    policy = EjectionPolicy(failures=1, time=0.01, slow_start=10)
    outliers = Outliers("x", endpoints, policy)
    outliers.called(endpoints[0], failure())
    async with asyncio.timeout(20):
        while not outliers.returns:
            await asyncio.sleep(0.01)
    returned = endpoints[0].returned_at
    assert returned is not None
    shares = [outliers.share(endpoints[0], returned + each) for each in (0, 5, 10)]
    assert shares == [0.1, 0.5, 1.0]
    assert not outliers.warming


def test_ejection_needs_several_addresses() -> None:
    """The only address would never be left out, so the setting is refused."""
    entry: Any = {"name": "a", "methods": "x.*", "addresses": "h:1", "ejection": {}}
    with pytest.raises(ValidationError, match="ejection needs several addresses"):
        Settings(descriptor_set=Path("x"), upstreams=(entry,))
