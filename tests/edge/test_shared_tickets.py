"""Tickets of two edges over one real Redis: good at both, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.admission.error import AdmissionError
from gateway.transcoding.status import RESOURCE_EXHAUSTED, UNAVAILABLE
from tests.edge.asgi import running
from tests.edge.conftest import MakeApp
from tests.edge.test_tickets import USED, Tokens, demand, refusal, ticket_for, tokens, use
from tests.redis_server import RedisServer

__all__ = ["tokens"]

Edges = tuple[FastAPI, FastAPI]


def edge(make_app: MakeApp, tokens: Tokens, server: RedisServer, **settings: Any) -> FastAPI:
    """Makes an edge that keeps tickets in a store."""
    store = {"url": server.url, "secret": "of all replicas", "timeout_seconds": 30}
    return make_app(
        policies=[tokens],
        tickets={"enabled": True, "shared": True} | settings.pop("tickets", {}),
        store=store | settings.pop("store", {}),
        cors={"origins": ("https://app.example",)},
        **settings,
    )


@pytest.fixture
async def edges(
    make_app: MakeApp, tokens: Tokens, redis_server: RedisServer
) -> AsyncIterator[Edges]:
    """Two of them."""
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(running(edge(make_app, tokens, redis_server)))
            for _ in range(2)
        ]
        yield one, two


async def test_a_ticket_of_one_edge_is_good_at_another_once(edges: Edges, tokens: Tokens) -> None:
    """With the identity of who has asked for it; used there, it is refused at both."""
    one, two = edges
    ticket = await ticket_for(one)
    opened = await use(two, ticket)
    again = [await use(each, ticket) for each in (one, two)]

    assert opened.status == 200
    assert tokens.seen[1].name == "ann"
    assert tokens.seen[1].claims == {"scope": "read"}
    assert [refusal(each) for each in again] == [USED, USED]


async def test_of_many_at_both_edges_one_gets_in(edges: Edges) -> None:
    """Though all come at once."""
    ticket = await ticket_for(edges[0])
    answers = await asyncio.gather(*(use(edges[n % 2], ticket) for n in range(20)))
    assert sorted(each.status for each in answers) == [200, *[401] * 19]


async def test_the_store_learns_nothing(edges: Edges, redis_server: RedisServer) -> None:
    """Neither ticket nor caller is in it, and it forgets a ticket that nobody uses."""
    ticket = await ticket_for(edges[0])
    (key,) = redis_server.command("KEYS", "*").split()
    value = redis_server.command("GET", key)

    assert key.startswith("protoway:ticket:{")
    assert ticket not in key + value
    assert "ann" not in value
    assert "echo" not in value
    assert 0 < int(redis_server.command("PTTL", key)) <= 30_000


async def test_who_writes_to_the_store_makes_no_ticket(
    edges: Edges, redis_server: RedisServer
) -> None:
    """Another ticket's content, or any, opens nothing."""
    await ticket_for(edges[0])
    (good,) = redis_server.command("KEYS", "*").split()
    ticket = await ticket_for(edges[0])
    (key,) = set(redis_server.command("KEYS", "*").split()) - {good}
    redis_server.command("COPY", good, key, "REPLACE")

    assert refusal(await use(edges[1], ticket)) == USED


@pytest.mark.parametrize("how", ["killed", "halted"])
async def test_without_the_store_no_ticket_is_given_or_taken(
    make_app: MakeApp, tokens: Tokens, redis_server: RedisServer, how: str
) -> None:
    """503, for nobody can say that it was not used elsewhere; the ticket is good when the store is back."""
    app = edge(make_app, tokens, redis_server, store={"timeout_seconds": 0.5})
    async with running(app):
        await ticket_for(app)
        if how == "killed":
            redis_server.kill()
        else:
            redis_server.pause()
        given = await demand(app, {"method": "echo.v1.Echo/ServerStream"})
        taken = await use(app, "x" * 43)
        if how == "killed":
            redis_server.start()
        else:
            redis_server.resume()
        await asyncio.wait_for(app.state.store.wait_until_up(), 30)
        async with asyncio.timeout(30):
            while (
                later := await demand(app, {"method": "echo.v1.Echo/ServerStream"})
            ).status != 200:
                await asyncio.sleep(0.05)
        opened = await use(app, later.json["ticket"])

    assert (refusal(given), refusal(taken)) == ((503, UNAVAILABLE), (503, UNAVAILABLE))
    assert given.headers["retry-after"] == "1"
    assert opened.status == 200


async def test_each_caller_may_have_a_number_of_open_tickets(
    make_app: MakeApp, tokens: Tokens, redis_server: RedisServer
) -> None:
    """At each process, as without a store."""
    app = edge(make_app, tokens, redis_server, tickets={"max_open_per_caller": 2})
    async with running(app):
        for _ in range(2):
            await ticket_for(app)
        more = await demand(app, {"method": "echo.v1.Echo/ServerStream"})
        await ticket_for(app, token="bob")

    assert refusal(more) == (429, RESOURCE_EXHAUSTED)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"store": {"url": None}}, "tickets_shared: .* set feed_store"),
        ({"store": {"secret": None}}, "tickets_shared: set store_secret_file"),
        ({"tickets": {"folder": "tickets"}}, "tickets_folder is another place"),
    ],
)
def test_settings_that_cannot_be_obeyed_stop_the_start(
    make_app: MakeApp,
    tokens: Tokens,
    redis_server: RedisServer,
    settings: dict[str, Any],
    words: str,
) -> None:
    """Single use needs a store, and what it keeps a secret."""
    with pytest.raises(AdmissionError, match=words):
        edge(make_app, tokens, redis_server, **settings)
