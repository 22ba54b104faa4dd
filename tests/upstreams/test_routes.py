"""Several upstreams behind one edge: which call goes where, with which credentials, within which bounds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.contract.method_patterns import fitting_prefix, prefix_of
from gateway.settings import Settings
from gateway.upstream.transport import TargetError
from tests.edge.asgi import ask, running, start
from tests.upstreams.contract import shop_app, shop_server

BODY = b'{"name":"a"}'


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("shop.v1.Orders.Get", "shop.v1.Orders.Get"),
        ("shop.v1.Orders.Place", "shop.v1.Orders"),
        ("shop.v1.OrdersOld.Get", "shop.v1"),
        ("shop.v2.Orders.Get", ""),
    ],
)
def test_the_longest_pattern_counts(method: str, expected: str) -> None:
    """Patterns fit whole names only, and the most specific one wins."""
    patterns = ("shop.v1.Orders/Get", "shop.v1.Orders/*", "shop.v1.*", "*")
    prefixes = {prefix_of(each): each for each in patterns}

    assert fitting_prefix(method, prefixes) == expected
    assert fitting_prefix("library.v1.Books.Get", {"shop": "a"}) is None


@pytest.mark.parametrize(
    ("upstreams", "problem"),
    [
        ([{"name": "a", "methods": "x.*", "addresses": "h:1"}] * 2, "the name 'a' is taken"),
        ([{"name": "default", "methods": "x.*", "addresses": "h:1"}], "'default' is taken"),
        (
            [
                {"name": "a", "methods": "x.Y/*", "addresses": "h:1"},
                {"name": "b", "methods": "x.Y", "addresses": "h:1"},
            ],
            "'x.Y' is taken by both a and b",
        ),
        ([{"name": "a", "methods": "x*", "addresses": "h:1"}], "should match pattern"),
        ([{"name": "a", "methods": "x.*", "addresses": []}], "at least 1 item"),
        (
            [{"name": "a", "methods": "x.*", "addresses": "h:1", "metadata": [{"key": "k"}]}],
            "has no value; give value or value_file",
        ),
        (
            [
                {
                    "name": "a",
                    "methods": "x.*",
                    "addresses": "h:1",
                    "metadata": [{"key": "k-bin", "value": "x"}],
                }
            ],
            "is binary metadata",
        ),
        (
            [
                {
                    "name": "a",
                    "methods": "x.*",
                    "addresses": "h:1",
                    "metadata": [{"key": "grpc-timeout", "value": "x"}],
                }
            ],
            "grpc-timeout",
        ),
    ],
)
def test_wrong_settings_are_named(upstreams: Any, problem: str) -> None:
    """What is wrong with an entry, or with two of them, stops the start."""
    with pytest.raises(ValidationError, match=problem):
        Settings(descriptor_set=Path("x"), upstreams=upstreams)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"methods": "shop.v1.Ordres"}, r"upstreams\[orders\]: 'shop.v1.Ordres' fits no method"),
        ({"addresses": "https://h"}, r"upstreams\[orders\]: upstream: 'https://…' is a URL"),
        (
            {"metadata": [{"key": "k", "value": "two\nlines"}]},
            r"upstreams\[orders\].metadata\[0\]: the value of k",
        ),
    ],
)
def test_what_does_not_fit_stops_the_start(tmp_path: Path, changed: Any, problem: str) -> None:
    """A pattern without a method, an address that is none and a value that cannot be sent are named."""
    entry = {"name": "orders", "methods": "shop.v1.Orders", "addresses": "127.0.0.1:1"}
    with pytest.raises(TargetError, match=problem) as error:
        shop_app(tmp_path, [entry | changed])
    assert "two\n" not in str(error.value)


async def test_each_method_goes_to_its_own_upstream(tmp_path: Path) -> None:
    """Calls go by the longest pattern, the others to the default; each server sees its own metadata only."""
    (tmp_path / "token").write_text("stock-secret\n")
    async with shop_server() as orders, shop_server() as stock, shop_server() as default:
        app = shop_app(
            tmp_path,
            [
                {
                    "name": "orders",
                    "methods": ["shop.v1.Orders"],
                    "addresses": orders.address,
                    "metadata": [{"key": "x-key", "value": "orders-secret"}],
                },
                {
                    "name": "stock",
                    "methods": ["shop.v1.Stock.*"],
                    "addresses": stock.address,
                    "transport": "grpcio",
                    "metadata": [{"key": "authorization", "value_file": tmp_path / "token"}],
                },
            ],
            upstream=default.address,
            request_headers=("authorization", "x-key"),
        )
        async with running(app):
            headers = {"x-key": "forged", "authorization": "Bearer caller"}
            for path in ("/orders", "/stock"):
                answer = await ask(app, "POST", path, BODY, headers)
                assert (answer.status, answer.json) == (200, {"name": "a"})
            watched = await ask(
                app, "GET", "/orders:watch?name=b", headers=headers | {"accept": "application/json"}
            )
            assert watched.json == [{"name": "b"}]
            ready = await ask(app, "GET", "/readyz")

    assert orders.calls == ["/shop.v1.Orders/Get", "/shop.v1.Orders/Watch"]
    assert stock.calls == ["/shop.v1.Stock/Get"]
    assert default.calls == []
    assert orders.metadata["x-key"] == "orders-secret"
    assert orders.metadata["authorization"] == "Bearer caller"
    assert stock.metadata["authorization"] == "stock-secret"
    assert stock.metadata["x-key"] == "forged"
    # no method goes to the default one, so it is not asked
    assert list(ready.json["checks"]) == [
        "contract",
        "upstream:orders",
        "upstream:stock",
        "shutdown",
    ]
    assert ready.status == 200


async def test_one_method_may_leave_its_service(tmp_path: Path) -> None:
    """A pattern of a method wins over that of its service, and what no pattern fits goes to the default."""
    async with shop_server() as one, shop_server() as default:
        entry = {"name": "one", "methods": "shop.v1.Orders/Place", "addresses": one.address}
        app = shop_app(tmp_path, [entry], upstream=default.address)
        async with running(app):
            for path in ("/orders", "/orders:place"):
                assert (await ask(app, "POST", path, BODY)).status == 200
    assert one.calls == ["/shop.v1.Orders/Place"]
    assert default.calls == ["/shop.v1.Orders/Get"]


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_a_hung_upstream_holds_its_own_callers_only(tmp_path: Path, transport: str) -> None:
    """Its calls are refused beyond a bound and wait no longer than its timeout; other upstreams go on."""
    async with shop_server() as hung, shop_server() as well:
        hung.hangs = True
        app = shop_app(
            tmp_path,
            [
                {
                    "name": "orders",
                    "methods": "shop.v1.Orders",
                    "addresses": hung.address,
                    "transport": transport,
                    "max_calls": 2,
                    "max_streams": 1,
                    "timeout_seconds": 2,
                },
            ],
            upstream=well.address,
            admin_port=0,
        )
        async with running(app):
            waiting = [start(app, "POST", "/orders", BODY) for _ in range(2)]
            waiting.append(start(app, "GET", "/orders:watch"))
            while len(hung.calls) < 3:
                await asyncio.sleep(0.01)
            refused = [
                await ask(app, "POST", "/orders", BODY),
                await ask(app, "GET", "/orders:watch"),
            ]
            others = [(await ask(app, "POST", "/stock", BODY)).status for _ in range(20)]
            samples = app.state.metrics.snapshot()
            ended = [await each.ended() for each in waiting[:2]]
            waiting[2].arrives("http.disconnect")
            await waiting[2].ended()
            after = app.state.metrics.snapshot()

    assert [each.status for each in refused] == [503, 503]
    assert refused[0].json["code"] == 8
    assert others == [200] * 20
    assert [each.status for each in ended] == [504, 504]
    assert samples["protoway_upstream_calls_open"] == [
        (("orders", "unary"), 2),
        (("orders", "stream"), 1),
    ]
    assert samples["protoway_upstream_refused_calls_total"] == [
        (("orders", "unary"), 1),
        (("orders", "stream"), 1),
    ]
    assert [count for _, count in after["protoway_upstream_calls_open"]] == [0, 0]
    names = {labels[0] for labels, _ in samples["protoway_upstream_connections"]}
    assert names == {"default", "orders"}


async def test_a_missing_upstream_is_told_and_takes_nothing_down(tmp_path: Path) -> None:
    """`/readyz` names it and stays 200, unless it is required; its callers get 503, the others an answer."""
    async with shop_server() as well:
        entry = {"name": "orders", "methods": "shop.v1.Orders", "addresses": "127.0.0.1:1"}
        for required in (False, True):
            app = shop_app(tmp_path, [entry | {"required": required}], upstream=well.address)
            async with running(app):
                ready = await ask(app, "GET", "/readyz")
                lost = await ask(app, "POST", "/orders", BODY)
                found = await ask(app, "POST", "/stock", BODY)
            assert ready.status == (503 if required else 200)
            checks = ready.json["checks"]
            assert checks["upstream"]["status"] == "SERVING"
            assert checks["upstream:orders"]["status"] == "NOT_SERVING"
            assert (lost.status, found.status) == (503, 200)


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_calls_go_to_the_addresses_in_turn(tmp_path: Path, transport: str) -> None:
    """Round robin over several addresses, over either transport."""
    async with shop_server() as one, shop_server() as two:
        addresses = [one.address, two.address]
        app = _balanced(tmp_path, addresses, transport=transport)
        async with running(app):
            for _ in range(10):
                assert (await ask(app, "POST", "/orders", BODY)).status == 200
    assert (len(one.calls), len(two.calls)) == (5, 5)


async def test_calls_go_where_the_fewest_are(tmp_path: Path) -> None:
    """With `least_outstanding` a slow address gets no more calls while it has some under way."""
    async with shop_server() as slow, shop_server() as fast:
        slow.hangs = True
        app = _balanced(tmp_path, [slow.address, fast.address], balance="least_outstanding")
        async with running(app):
            hanging = start(app, "GET", "/orders:watch")
            while not slow.calls:
                await asyncio.sleep(0.01)
            for _ in range(10):
                assert (await ask(app, "POST", "/orders", BODY)).status == 200
            hanging.arrives("http.disconnect")
            await hanging.ended()
    assert (len(slow.calls), len(fast.calls)) == (1, 10)


def _balanced(folder: Path, addresses: list[str], **fields: Any) -> Any:
    entry = {"name": "orders", "methods": "shop.v1.Orders", "addresses": addresses}
    return shop_app(folder, [entry | fields])
