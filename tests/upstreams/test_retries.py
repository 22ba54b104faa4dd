"""Retries: only where safe, within budget and deadline, as the server wishes, and counted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from gateway.settings import Settings
from tests.edge.asgi import ask, running, start
from tests.upstreams.contract import Server, shop_app, shop_server

BODY = b'{"name":"a"}'
GET, PLACE, WATCH = "/shop.v1.Orders/Get", "/shop.v1.Orders/Place", "/shop.v1.Orders/Watch"
FAST = {"initial_backoff_seconds": 0.01}
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def retrying(folder: Path, server: Server, transport: str = "wire", **retry: Any) -> FastAPI:
    """Makes an edge that retries calls to a server."""
    entry = {
        "name": "shop",
        "methods": "shop.*",
        "addresses": server.address,
        "transport": transport,
        "retry": FAST | retry,
    }
    return shop_app(folder, [entry], admin_port=0)


def retries(app: FastAPI) -> dict[str, int]:
    """Returns the samples of retries."""
    samples = app.state.metrics.snapshot()["protoway_upstream_retries_total"]
    return {labels[1]: count for labels, count in samples if labels[0] == "shop"}


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_safe_calls_are_made_again(tmp_path: Path, transport: str) -> None:
    """Unary calls, and streams before their first message; each attempt says how many were before it.

    grpcio takes that away: it would count its own retries.
    """
    told = [None, None] if transport == "grpcio" else ["2", "1"]
    async with shop_server() as server:
        server.code = UNAVAILABLE
        app = retrying(tmp_path, server, transport)
        async with running(app):
            server.failures = 2
            unary = await ask(app, "POST", "/orders", BODY)
            before = [server.metadata.get("grpc-previous-rpc-attempts")]
            server.failures = 1
            stream = await ask(
                app, "GET", "/orders:watch?name=b", headers={"accept": "application/json"}
            )
            before.append(server.metadata.get("grpc-previous-rpc-attempts"))
            counts = retries(app)

    assert before == told
    assert (unary.status, unary.json) == (200, {"name": "a"})
    assert (stream.status, stream.json) == (200, [{"name": "b"}])
    assert server.calls == [GET, GET, GET, WATCH, WATCH]
    assert counts == {"made": 3, "budget": 0, "deadline": 0, "attempts": 0}


async def test_other_calls_are_made_once(tmp_path: Path) -> None:
    """A method that does not say so, a status that is not listed, and a call without a retry policy."""
    async with shop_server() as server:
        server.code = UNAVAILABLE
        app = retrying(tmp_path, server)
        async with running(app):
            assert (await ask(app, "POST", "/orders:place", BODY)).status == 503
            server.code = grpc.StatusCode.INTERNAL
            assert (await ask(app, "POST", "/orders", BODY)).status == 500
    assert server.calls == [PLACE, GET]


async def test_a_rule_makes_a_method_safe(tmp_path: Path) -> None:
    """`methods` names those that may be called twice, whatever the contract says of them."""
    async with shop_server() as server:
        server.code, server.failures = UNAVAILABLE, 1
        app = retrying(tmp_path, server, methods="shop.v1.Orders/Place")
        async with running(app):
            assert (await ask(app, "POST", "/orders:place", BODY)).status == 200
    assert server.calls == [PLACE] * 2


async def test_attempts_are_bounded(tmp_path: Path) -> None:
    """After the last attempt the caller gets the error of the server."""
    async with shop_server() as server:
        server.code = UNAVAILABLE
        app = retrying(tmp_path, server, max_attempts=4)
        async with running(app):
            answer = await ask(app, "POST", "/orders", BODY)
            counts = retries(app)
    assert (answer.status, answer.json["message"]) == (503, "as the test wishes")
    assert len(server.calls) == 4
    assert counts["attempts"] == 1


async def test_an_outage_is_not_multiplied(tmp_path: Path) -> None:
    """While all calls fail, the server sees few retries, whatever callers do; then they come back."""
    async with shop_server() as server:
        server.code = UNAVAILABLE
        app = retrying(tmp_path, server)
        async with running(app):
            answers = await asyncio.gather(*(ask(app, "POST", "/orders", BODY) for _ in range(200)))
            assert {each.status for each in answers} == {503}
            assert len(server.calls) <= 200 * 1.1
            assert retries(app)["budget"] > 0

            server.code = grpc.StatusCode.OK
            for _ in range(80):
                assert (await ask(app, "POST", "/orders", BODY)).status == 200
            server.code, server.failures = UNAVAILABLE, 1
            assert (await ask(app, "POST", "/orders", BODY)).status == 200


@pytest.mark.parametrize(
    ("pushback", "calls", "seconds"),
    [("150", 2, 0.15), ("-1", 1, 0.0), ("soon", 1, 0.0)],
)
async def test_pushback_is_obeyed(
    tmp_path: Path, pushback: str, calls: int, seconds: float
) -> None:
    """The server's delay counts, and what is no delay means that it wants no retry."""
    async with shop_server() as server:
        server.code, server.failures = UNAVAILABLE, 1
        server.trailing = (("grpc-retry-pushback-ms", pushback),)
        app = retrying(tmp_path, server)
        async with running(app):
            begun = asyncio.get_running_loop().time()
            answer = await ask(app, "POST", "/orders", BODY)
            taken = asyncio.get_running_loop().time() - begun
    assert len(server.calls) == calls
    assert answer.status == (200 if calls == 2 else 503)
    assert taken >= seconds


async def test_no_retry_begins_beyond_the_deadline(tmp_path: Path) -> None:
    """A delay that is longer than what is left of the call is not waited for."""
    async with shop_server() as server:
        server.code = UNAVAILABLE
        server.trailing = (("grpc-retry-pushback-ms", "60000"),)
        app = retrying(tmp_path, server)
        async with running(app):
            answer = await ask(app, "POST", "/orders", BODY, {"grpc-timeout": "20S"})
            counts = retries(app)
    assert (answer.status, len(server.calls), counts["deadline"]) == (503, 1, 1)


async def test_a_caller_that_leaves_ends_the_attempts(tmp_path: Path) -> None:
    """Between two attempts nothing is left behind that would make another one."""
    async with shop_server() as server:
        server.code = UNAVAILABLE
        server.trailing = (("grpc-retry-pushback-ms", "200"),)
        app = retrying(tmp_path, server)
        async with running(app):
            left = start(app, "GET", "/orders:watch")
            while not retries(app)["made"]:
                await asyncio.sleep(0.01)
            left.arrives("http.disconnect")
            await left.ended()
            server.trailing = ()
            server.code = grpc.StatusCode.OK
            await asyncio.sleep(0.3)
    assert len(server.calls) == 1


def test_a_policy_that_is_wrong_is_named() -> None:
    """A status that no attempt can mend, and numbers out of range."""
    entry: Any = {"name": "a", "methods": "x.*", "addresses": "h:1"}
    wrong = ({"retryable_status_codes": "OK"}, {"max_attempts": 1}, {"token_ratio": 0})
    for retry in wrong:
        with pytest.raises(ValidationError, match=next(iter(retry))):
            Settings(descriptor_set=Path("x"), upstreams=(entry | {"retry": retry},))
