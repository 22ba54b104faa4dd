"""A contract is replaced while requests are under way."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.contract.method import Method
from gateway.doors.http1.direct import DirectDoor
from gateway.doors.http2.heads import Heads
from gateway.reload.state import Result
from tests.edge.asgi import Request, ask, running, start
from tests.reload.conftest import Shop
from tests.reload.versions import (
    binding_moved,
    field_added,
    method_added,
    method_removed,
)

MakeShop = Callable[..., Shop]


def events(request: Request) -> list[str]:
    """Returns the events of a stream, each as the text of its lines, without comments."""
    found = request.body.decode().split("\n\n")
    return [each for each in found if each and not each.startswith((":", "retry"))]


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def direct(door: DirectDoor, target: str) -> tuple[int, bytes] | None:
    """Sends a GET by the direct door, whose upstream answers within; None: it is none of its requests."""
    told: list[tuple[int, bytes]] = []
    response = door.read(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    if response is None:
        return None
    response.answer(lambda status, _lines, body: told.append((status, body)))
    return told[0] if told else (0, b"")


async def test_added_moved_and_removed(make_shop: MakeShop) -> None:
    """Fields, methods and bindings of the new contract are served from the reload on, and no others."""
    shop = make_shop()
    async with running(shop.app) as app:
        before = [
            (await ask(app, "GET", path)).status for path in ("/items/a", "/find/a", "/got/a")
        ]
        outcome = await shop.change(
            field_added(),
            method_added(),
            binding_moved("Get", "/got/{name}"),
            method_removed("Add"),
        )
        after = [(await ask(app, "GET", path)).status for path in ("/items/a", "/find/a", "/got/a")]
        colored = await ask(app, "GET", "/got/a?color=red")
        added = await ask(app, "POST", "/items", b"{}")

    assert outcome.result is Result.APPLIED
    assert (before, after) == ([200, 404, 404], [404, 200, 200])
    assert colored.json == {"name": "a", "color": "red"}
    assert added.status == 404


async def test_cached_heads_are_matched_again(make_shop: MakeShop) -> None:
    """A head to the byte like one before is answered by the contract in force."""
    shop = make_shop()
    async with running(shop.app):
        door: DirectDoor = shop.app.state.direct
        head = b"GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n"
        found = [door.read(head)]
        await shop.change(binding_moved("Get", "/fixed"))
        found += [door.read(head), door.read(head)]
        last = None if found[2] is None else found[2].shared
        await shop.change()
        found += [door.read(head), door.read(head, last=last)]

    assert last is not None
    assert [each is not None for each in found] == [False, True, True, False, False]


async def test_a_request_ends_on_its_contract(make_shop: MakeShop) -> None:
    """A request whose head was matched before a reload is answered as the contract of then says."""
    shop = make_shop()
    async with running(shop.app) as app:
        slow = start(app, "POST", "/items", None)
        await asyncio.sleep(0)
        upload = start(app, "POST", "/upload", None, {"content-type": "application/x-ndjson"})
        await asyncio.sleep(0)
        await shop.change(method_removed("Add"), method_removed("Upload"))
        slow.arrives("http.request", body=b'{"name": "late"}', more_body=False)
        upload.arrives("http.request", body=b'{"name": "later"}\n', more_body=False)
        answers = [(await each.ended()).json for each in (slow, upload)]
        missing = await ask(app, "POST", "/items", b"{}")

    assert answers == [{"name": "late"}, {"name": "later"}]
    assert missing.status == 404


async def test_a_feed_of_a_method_that_stayed_goes_on(make_shop: MakeShop) -> None:
    """Readers before and after a reload read one call, with the same ids, and may come back to it."""
    shop = make_shop()
    sse = {"accept": "text/event-stream"}
    async with running(shop.app) as app:
        old = start(app, "GET", "/prices/a", headers=sse)
        await until(lambda: bool(shop.prices.calls))
        shop.prices.send("one")
        await until(lambda: b"one" in old.body)
        await shop.change(field_added("Order"), method_added(), binding_moved("Get", "/got/{name}"))
        new = start(app, "GET", "/prices/a", headers=sse)
        await until(lambda: app.state.edge.feeds.lags == [0, 0])
        shop.prices.send("two")
        await until(lambda: b"two" in old.body and b"two" in new.body)
        last_id = events(old)[0].splitlines()[0].removeprefix("id: ")
        back = start(app, "GET", "/prices/a", headers=sse | {"last-event-id": last_id})
        await until(lambda: b"two" in back.body)
        for each in (old, new, back):
            each.arrives("http.disconnect")
            await each.ended()

    assert len(shop.prices.calls) == 1
    assert events(old)[1:] == events(new) == events(back)
    assert b"gap" not in back.body


async def test_a_feed_of_a_method_that_changed_is_another(make_shop: MakeShop) -> None:
    """Its readers go on; new ones have a call of their own, and who comes back is told of the restart."""
    shop = make_shop()
    sse = {"accept": "text/event-stream"}
    async with running(shop.app) as app:
        old = start(app, "GET", "/orders/a", headers=sse)
        await until(lambda: bool(shop.orders.calls))
        shop.orders.send("one")
        await until(lambda: b"one" in old.body)
        last_id = events(old)[0].splitlines()[0].removeprefix("id: ")
        await shop.change(field_added("Item"))  # which an order has
        new = start(app, "GET", "/orders/a", headers=sse | {"last-event-id": last_id})
        await until(lambda: len(shop.orders.calls) == 2)
        shop.orders.send("two", 0)
        shop.orders.send("three", 1)
        await until(lambda: b"two" in old.body and b"three" in new.body)
        for each in (old, new):
            each.arrives("http.disconnect")
            await each.ended()

    assert b"three" not in old.body
    assert b"two" not in new.body
    assert '"restarted":true' in events(new)[0]


async def test_a_wrong_contract_is_refused_with_all_its_problems(
    make_shop: MakeShop, caplog: pytest.LogCaptureFixture
) -> None:
    """Each problem is told and logged; the contract before stays in force, and a right one follows it."""
    shop = make_shop()
    async with running(shop.app) as app:
        served = app.state.edge.served
        wrong = binding_moved("Get", "/items/{nobody}"), binding_moved("Watch", "/prices/{")
        refused = await shop.change(*wrong)
        stayed = app.state.edge.served is served
        shop.path.write_bytes(b"no descriptor set")
        unreadable = await app.state.reloader.reload()
        shop.path.unlink()
        missing = await app.state.reloader.reload()
        unchanged = await shop.change()
        applied = await shop.change(field_added())
        state = app.state.reloader.state

    assert stayed
    assert refused.result is Result.REFUSED
    assert [each.partition(": ")[2].split(":")[0] for each in refused.problems] == [
        "shop.v1.Shop.Get",
        "shop.v1.Shop.Watch",
    ]
    assert all(each in caplog.text for each in refused.problems)
    assert unreadable.result is Result.REFUSED
    assert str(shop.path) in unreadable.problems[0]
    assert (missing.result, unchanged.result) == (Result.FAILED, Result.UNCHANGED)
    assert applied.result is Result.APPLIED
    assert state.counts == {
        Result.APPLIED: 1,
        Result.UNCHANGED: 1,
        Result.REFUSED: 2,
        Result.FAILED: 1,
    }
    assert state.last is applied
    assert state.in_force_since == applied.at


async def test_settings_that_do_not_fit_refuse_a_contract(make_shop: MakeShop) -> None:
    """Rights and limits are checked against the new contract, and obeyed for its methods."""
    shop = make_shop(
        rights={"rules": [{"requests": "shop.v1.Shop/Get", "anonymous": True}]},
        limits={
            "rules": [
                {
                    "name": "r",
                    "limit": 2,
                    "seconds": 3600,
                    "by": "address",
                    "methods": ["shop.v1.Shop/Get"],
                }
            ]
        },
    )
    async with running(shop.app) as app:
        refused = await shop.change(method_removed("Get"))
        kept = await ask(app, "GET", "/items/a")
        applied = await shop.change(binding_moved("Get", "/got/{name}"), method_added())
        statuses = [
            (await ask(app, "GET", path)).status for path in ("/got/a", "/find/a", "/got/b")
        ]

    assert refused.result is Result.REFUSED
    assert "shop.v1.Shop/Get" in refused.problems[0]
    assert (kept.status, applied.result) == (200, Result.APPLIED)
    assert statuses == [200, 401, 429]  # of two requests one came by the contract before


async def test_the_documents_follow(make_shop: MakeShop) -> None:
    """The OpenAPI document has the new paths and another ETag, and the page another title."""
    shop = make_shop()
    async with running(shop.app) as app:
        first = await ask(app, "GET", "/openapi.json")
        known = {"if-none-match": first.headers["etag"]}
        same = await ask(app, "GET", "/openapi.json", headers=known)
        await shop.change(method_added())
        second = await ask(app, "GET", "/openapi.json", headers=known)

    assert (same.status, same.body) == (304, b"")
    assert second.status == 200
    assert second.headers["etag"] != first.headers["etag"]
    assert "/find/{name}" in second.json["paths"]
    assert "/find/{name}" not in first.json["paths"]


async def test_routes_of_a_user_stay(make_shop: MakeShop) -> None:
    """A route of the application answers before and after a reload, unless the contract takes its path."""
    shop = make_shop()

    @shop.app.get("/own")
    def own() -> str:
        return "own"

    async with running(shop.app) as app:
        before = await ask(app, "GET", "/own")
        await shop.change(method_added())
        after = await ask(app, "GET", "/own")

    assert (before.json, after.json) == ("own", "own")


async def test_a_changed_file_is_taken_when_it_has_settled(
    make_shop: MakeShop, caplog: pytest.LogCaptureFixture
) -> None:
    """With `reload` a change is served without a word, and a wrong one is told once."""
    caplog.set_level(logging.INFO, "gateway")
    shop = make_shop(reload=True, reload_seconds=0.02)
    async with running(shop.app) as app:
        state = app.state.reloader.state
        shop.write(method_added())
        await until(lambda: state.counts[Result.APPLIED] == 1)
        found = await ask(app, "GET", "/find/a")
        shop.write(binding_moved("Get", "/{"))
        await until(lambda: state.counts[Result.REFUSED] == 1)
        shop.write(binding_moved("Get", "/g/{name}"))
        await until(lambda: state.counts[Result.APPLIED] == 2)

    assert found.status == 200
    assert state.counts[Result.REFUSED] == 1


async def test_contracts_that_were_replaced_are_freed(make_shop: MakeShop) -> None:
    """Of many contracts only the one in force is left, and a method that left has no series."""
    shop = make_shop(admin_port=0, access_log="off")
    replaced: list[weakref.ref[Any]] = []
    async with running(shop.app) as app:
        for number in range(30):
            replaced.append(weakref.ref(app.state.edge.served.transcoder))
            assert (await ask(app, "GET", "/items/a")).status == 200
            direct(app.state.direct, "/items/a")
            stream = await ask(app, "GET", "/follow/a")
            assert orjson.loads(stream.body) == {"name": "a"}
            outcome = await shop.change(method_added(f"Find{number}", f"/find{number}"))
            assert outcome.result is Result.APPLIED
            assert (await ask(app, "GET", f"/find{number}")).status == 501
        shop.upstream.calls.clear()
        gc.collect()
        alive = sum(each() is not None for each in replaced)
        kept = {each.full_name for each in gc.get_objects() if isinstance(each, Method)}
        snapshot = app.state.metrics.snapshot()
        errors = app.state.metrics.requests.errors.listed()

    assert alive == 0
    assert [name for name in kept if "shop.v1.Shop.Find" in name] == ["shop.v1.Shop.Find29"]
    methods = {labels[2] for labels, _ in snapshot["grpc_client_started_total"]}
    assert {each for each in methods if each.startswith("Find")} == {"Find29"}
    assert {each["route"] for each in errors} == {"/find29"}
    routes = {labels[0] for labels, _ in snapshot["http_server_request_duration_seconds"]}
    assert {each for each in routes if each.startswith("/find")} == {"/find29"}


@pytest.mark.parametrize("on_breaking", ["refuse", "warn", "allow"])
async def test_a_contract_that_breaks_callers(
    make_shop: MakeShop, on_breaking: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused, served with a warning, or served, as the settings say; one that adds is served."""
    shop = make_shop(on_breaking=on_breaking)
    async with running(shop.app) as app:
        added = await shop.change(method_added())
        gone = await shop.change(method_removed("Add"))
        status = (await ask(app, "POST", "/items", b"{}")).status

    assert added.result is Result.APPLIED
    refused = on_breaking == "refuse"
    assert gone.result is (Result.REFUSED if refused else Result.APPLIED)
    assert status == (200 if refused else 404)
    told = [each for each in (*gone.problems, *gone.warnings) if "shop.v1.Shop.Add" in each]
    assert bool(told) == (on_breaking != "allow")
    assert all(each in caplog.text for each in told)


async def test_heads_of_http2_follow(make_shop: MakeShop) -> None:
    """What is known of heads over HTTP/2 holds for one contract: another's routes are looked up again."""
    shop = make_shop()
    async with running(shop.app) as app:
        edge = app.state.direct.edge
        heads = Heads(edge.metadata, edge.served)
        edge.followers.append(heads.follow)
        found = [heads.read(_fields("/fixed"), 100)]
        await shop.change(binding_moved("Get", "/fixed"))
        found += [heads.read(_fields("/fixed"), 100), heads.read(_fields("/fixed"), 100)]
        await shop.change()
        found.append(heads.read(_fields("/fixed"), 100))

    assert [each is not None for each in found] == [False, True, True, False]


def _fields(path: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"x"),
    )
