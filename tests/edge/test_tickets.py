"""Tickets: one-time credentials in a URL, on the ASGI door; each attack has its test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from gateway.admission.cors_settings import CorsSettings
from gateway.admission.error import AdmissionError
from gateway.admission.identity import Identity
from gateway.admission.limits.keys import make_key
from gateway.admission.limits.settings import LimitRule, LimitsSettings
from gateway.admission.tickets.settings import TicketSettings
from gateway.admission.tickets.store import FolderStore
from gateway.exchange.request_info import RequestInfo
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import (
    INVALID_ARGUMENT,
    NOT_FOUND,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
)
from tests.edge.asgi import Request, ask, connect, running, start
from tests.edge.conftest import MakeApp

PATH = "/.protoway/ticket"
PAGE = "https://app.example"
OURS = ("grpc-json.v1",)
STREAM = {"method": "echo.v1.Echo/ServerStream"}
EVENTS = {"accept": "text/event-stream"}


@dataclass
class Tokens:
    """Who sends a token is whom it names; a token that begins with `short` ends soon."""

    seen: list[Any] = field(default_factory=list)

    def admit(self, request: RequestInfo) -> None:
        """Sets the identity, as an authenticator has it set."""
        request.removed_metadata |= {"x-user", "authorization"}
        token = request.header(b"authorization")
        if request.identity is None and token is not None:
            name = token.decode().removeprefix("Bearer ")
            ends = time.time() + 0.3 if name.startswith("short") else None
            request.identity = Identity(name, "jwt", {"scope": "read"}, ends)
            request.expires_at = ends
            request.metadata += [("x-user", name), ("authorization", token.decode())]
        self.seen.append(request.identity)


@pytest.fixture
def tokens() -> Tokens:
    """The policy."""
    return Tokens()


def with_tickets(make_app: MakeApp, tokens: Tokens, **settings: Any) -> FastAPI:
    """Makes an application that gives tickets."""
    tickets = TicketSettings(enabled=True, **settings)
    cors = CorsSettings(origins=(PAGE, "https://other.example"))
    return make_app(policies=[tokens], tickets=tickets, cors=cors)


@pytest.fixture
async def app(make_app: MakeApp, tokens: Tokens) -> AsyncIterator[FastAPI]:
    """An application that gives tickets, started."""
    async with running(with_tickets(make_app, tokens)) as started:
        yield started


async def demand(
    app: FastAPI, body: Any, *, origin: str | None = PAGE, token: str | None = "ann"
) -> Request:
    """Asks for a ticket."""
    headers = {"content-type": "application/json", "host": "edge.example"}
    if origin is not None:
        headers["origin"] = origin
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return await ask(app, "POST", PATH, data, headers)


async def ticket_for(app: FastAPI, body: Any = STREAM, **how: Any) -> str:
    """Returns a ticket."""
    answer = await demand(app, body, **how)
    assert answer.status == 200, answer.json
    return str(answer.json["ticket"])


async def use(
    app: FastAPI,
    ticket: str,
    path: str = "/v1/stream/a?int32_field=2",
    *,
    origin: str | None = PAGE,
    http_method: str = "GET",
    **headers: str,
) -> Request:
    """Opens a stream of events with a ticket."""
    given = EVENTS | headers | {"host": "edge.example"}
    if origin is not None:
        given["origin"] = origin
    mark = "&" if "?" in path else "?"
    return await ask(app, http_method, f"{path}{mark}ticket={ticket}", headers=given)


def refusal(answer: Request) -> tuple[int, int]:
    """Returns HTTP status and code of an error."""
    return answer.status, answer.json["code"]


USED = (401, UNAUTHENTICATED)
DENIED = (403, PERMISSION_DENIED)


async def test_a_ticket_opens_a_stream_as_its_holder(
    app: FastAPI, tokens: Tokens, upstream: ScriptedUpstream
) -> None:
    """The identity has the name and the claims; upstream gets what the credentials add, but no token."""
    demanded = await demand(app, STREAM)
    answer = await use(app, demanded.json["ticket"])

    assert demanded.headers["cache-control"] == "no-store"
    assert 0 < demanded.json["expiresIn"] <= 30
    assert (answer.status, answer.body.count(b"data: ")) == (200, 3)
    assert tokens.seen[-1] == Identity("ann", "ticket", {"scope": "read"}, ticket_of="jwt")
    sent = dict(upstream.calls[-1].metadata)
    assert sent["x-user"] == "ann"
    assert "authorization" not in sent


async def test_a_ticket_opens_a_websocket(app: FastAPI, tokens: Tokens) -> None:
    """The page's origin is in the handshake."""
    ticket = await ticket_for(app, {"method": "echo.v1.Echo/Bidi"})
    socket = connect(app, f"/v1/bidi?ticket={ticket}", {"origin": PAGE}, OURS)
    await socket.until_sent(1)
    assert socket.sent[0]["type"] == "websocket.accept"
    socket.arrives("websocket.receive", text="")
    await socket.ended()

    assert tokens.seen[-1].name == "ann"
    again = await connect(app, f"/v1/bidi?ticket={ticket}", {"origin": PAGE}, OURS).ended()
    assert refusal(again) == USED


@pytest.mark.parametrize("name", ["ticket", "t%69cket"])
async def test_a_ticket_is_no_field_of_the_request(app: FastAPI, name: str) -> None:
    """However its name is spelled; the response is the same as without it."""
    ticket = await ticket_for(app)
    answer = await ask(
        app, "GET", f"/v1/stream/a?{name}={ticket}&int32_field=1", headers=EVENTS | {"origin": PAGE}
    )
    assert answer.status == 200


async def test_a_used_ticket_is_good_for_nothing(app: FastAPI) -> None:
    """Neither while its stream is open nor after, nor beside other credentials."""
    ticket = await ticket_for(app, {"method": "echo.v1.Echo/HangStream"})
    url, headers = f"/v1/hang-stream?ticket={ticket}", EVENTS | {"origin": PAGE}
    stream = start(app, "GET", url, headers=headers)
    await stream.until_sent(2)
    again = await ask(app, "GET", url, headers=headers)
    stream.arrives("http.disconnect")
    await stream.ended()
    later = await ask(app, "GET", url, headers=headers | {"authorization": "Bearer ann"})

    assert (refusal(again), refusal(later)) == (USED, USED)
    assert "was used already" in again.json["message"]
    assert ticket not in again.body.decode()
    assert again.headers["www-authenticate"]


async def test_of_many_at_once_one_gets_in(app: FastAPI) -> None:
    """Though all come in the same turn of the loop."""
    ticket = await ticket_for(app)
    answers = await asyncio.gather(*(use(app, ticket) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200, *[401] * 19]


@pytest.mark.parametrize(
    "path",
    ["/v1/fail-stream/5?after=1", "/v1/hang-stream", "/v1/echo", "/v1/nothing", "/docs", PATH],
)
async def test_a_ticket_for_another_method_is_refused(app: FastAPI, path: str) -> None:
    """And is used up by it, so that nobody can try one at many doors."""
    ticket = await ticket_for(app)

    assert refusal(await use(app, ticket, path)) == DENIED
    assert refusal(await use(app, ticket)) == USED


@pytest.mark.parametrize("path", ["/v1/stream/b", "/v1/stream/%61", "/v1/stream/a/"])
async def test_a_ticket_for_another_path_is_refused(app: FastAPI, path: str) -> None:
    """One that is bound to a path is good for that path alone, with any query."""
    ticket = await ticket_for(app, {"path": "/v1/stream/a"})
    assert refusal(await use(app, ticket, path)) == DENIED
    assert (await use(app, await ticket_for(app, {"path": "/v1/stream/a"}))).status == 200


@pytest.mark.parametrize(
    ("asked_by", "used_by", "status"),
    [
        (PAGE, "https://evil.example", 403),
        (PAGE, "http://app.example", 403),
        (PAGE, "https://app.example:8443", 403),
        (PAGE, "null", 403),
        (PAGE, None, 403),
        (None, PAGE, 403),
        (None, None, 200),
        ("https://edge.example", None, 200),
        ("https://edge.example", "https://edge.example", 200),
        (PAGE, "HTTPS://APP.EXAMPLE:443", 200),
    ],
)
async def test_a_ticket_is_for_the_page_that_asked(
    app: FastAPI, asked_by: str | None, used_by: str | None, status: int
) -> None:
    """A GET without an origin is one of the edge's own pages, or of no browser."""
    ticket = await ticket_for(app, origin=asked_by)
    assert (await use(app, ticket, origin=used_by)).status == status


async def test_a_ticket_of_another_page_opens_no_websocket(app: FastAPI) -> None:
    """Even if the other page's origin may open WebSockets."""
    ticket = await ticket_for(app, {"method": "echo.v1.Echo/Bidi"}, origin="https://other.example")
    answer = await connect(app, f"/v1/bidi?ticket={ticket}", {"origin": PAGE}, OURS).ended()
    assert refusal(answer) == DENIED


async def test_an_expired_ticket_is_refused(make_app: MakeApp, tokens: Tokens) -> None:
    """Though it was never used."""
    async with running(with_tickets(make_app, tokens, lifetime_seconds=0.05)) as app:
        ticket = await ticket_for(app)
        await asyncio.sleep(0.06)
        answer = await use(app, ticket)
    assert refusal(answer) == USED
    assert "expired" in answer.json["message"]


@pytest.mark.parametrize(
    "forged",
    [
        *("", "x", "A" * 43, "A" * 44, "../../../../etc/passwd", "%2e%2e%2f" * 5, "A" * 60_000),
        *("%00" * 43, "%C3%A9" * 43, "a.ticket", "*" * 43),
    ],
)
async def test_a_forged_ticket_is_refused(app: FastAPI, forged: str) -> None:
    """Whatever it looks like; it is not repeated."""
    answer = await use(app, forged)
    assert refusal(answer) == USED
    assert not forged or len(forged) < 5 or forged not in answer.body.decode()


async def test_a_ticket_of_another_edge_is_refused(
    make_app: MakeApp, tokens: Tokens, app: FastAPI
) -> None:
    """Each has a folder of its own, unless the settings name one."""
    async with running(with_tickets(make_app, tokens)) as other:
        ticket = await ticket_for(other)
        assert refusal(await use(app, ticket)) == USED
        assert (await use(other, ticket)).status == 200


@pytest.mark.parametrize("http_method", ["POST", "HEAD", "PUT"])
async def test_a_ticket_opens_streams_by_get_alone(app: FastAPI, http_method: str) -> None:
    """A form of a foreign page can POST to any URL."""
    answer = await use(app, await ticket_for(app), "/v1/stream", http_method=http_method)
    assert answer.status == 403


async def test_a_stream_ends_with_the_credentials_behind_its_ticket(app: FastAPI) -> None:
    """Those of the events, and those of the WebSocket."""
    events, socket = [
        await ticket_for(app, {"method": f"echo.v1.Echo/{name}"}, token="short")
        for name in ("HangStream", "Bidi")
    ]
    streams = [
        start(app, "GET", f"/v1/hang-stream?ticket={events}", headers=EVENTS | {"origin": PAGE}),
        connect(app, f"/v1/bidi?ticket={socket}", {"origin": PAGE}, OURS),
    ]
    for each in streams:
        await asyncio.wait_for(each.ended(), 10)

    assert b"the credentials have expired" in streams[0].body
    assert streams[1].sent[-1]["code"] == 4000 + UNAUTHENTICATED


async def test_a_ticket_lives_no_longer_than_the_credentials(app: FastAPI) -> None:
    """Nor does it make them live longer."""
    answer = await demand(app, STREAM, token="short")
    assert answer.json["expiresIn"] <= 0.3
    await asyncio.sleep(0.31)
    assert refusal(await use(app, answer.json["ticket"])) == USED


async def test_a_stream_resumes_with_a_new_ticket(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """An EventSource that is made again cannot say `Last-Event-ID`, so the ticket does."""
    ticket = await ticket_for(app, STREAM | {"lastEventId": "end"})
    assert (await use(app, ticket)).status == 204  # what follows the end of a stream

    answer = await use(app, await ticket_for(app, STREAM | {"lastEventId": "0123456789abcdee-7"}))
    assert b"event: gap" in answer.body
    by_header = await use(app, await ticket_for(app), **{"last-event-id": "0123456789abcdee-7"})
    assert by_header.body == answer.body
    assert upstream.calls


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, INVALID_ARGUMENT)),
        (b"{", (400, INVALID_ARGUMENT)),
        (b"[]", (400, INVALID_ARGUMENT)),
        ({}, (400, INVALID_ARGUMENT)),
        ({"method": "a/B", "path": "/c"}, (400, INVALID_ARGUMENT)),
        ({"method": 1}, (400, INVALID_ARGUMENT)),
        (STREAM | {"name": "x"}, (400, INVALID_ARGUMENT)),
        (STREAM | {"lastEventId": "x" * 2000}, (400, INVALID_ARGUMENT)),
        ({"method": "echo.v1.Echo/Unary"}, (404, NOT_FOUND)),
        ({"method": "echo.v1.Echo/None"}, (404, NOT_FOUND)),
        ({"path": "/v1/echo"}, (404, NOT_FOUND)),
        ({"path": "/v1/stream/a?x=1"}, (404, NOT_FOUND)),
        ({"path": "stream"}, (404, NOT_FOUND)),
        (b'{"path": "' + b"x" * 9000 + b'"}', (413, RESOURCE_EXHAUSTED)),
    ],
)
async def test_a_wrong_demand_is_answered_with_words(
    app: FastAPI, body: Any, expected: tuple[int, int]
) -> None:
    """And not with a ticket."""
    answer = await demand(app, body)
    assert refusal(answer) == expected
    assert "ticket" not in answer.json


async def test_a_ticket_needs_credentials(app: FastAPI) -> None:
    """Without an identity nobody gets one."""
    answer = await demand(app, STREAM, token=None)
    assert refusal(answer) == USED
    assert answer.headers["www-authenticate"]


@pytest.mark.parametrize("origin", ["null", "x", "https://a.example/path"])
async def test_a_page_without_an_origin_gets_no_ticket(app: FastAPI, origin: str) -> None:
    """Every sandboxed page has the origin `null`."""
    assert refusal(await demand(app, STREAM, origin=origin)) == DENIED


async def test_the_path_takes_post(app: FastAPI) -> None:
    """405 and preflights say so."""
    got = await ask(app, "GET", PATH)
    options = await ask(app, "OPTIONS", PATH)
    assert (got.status, got.headers["allow"]) == (405, "OPTIONS, POST")
    assert (options.status, options.headers["allow"]) == (204, "OPTIONS, POST")


async def test_the_path_is_a_setting(make_app: MakeApp, tokens: Tokens) -> None:
    """And so is the parameter, for a contract that has a field of this name."""
    app = with_tickets(make_app, tokens, path="/tickets", parameter="pass")
    async with running(app):
        assert (await ask(app, "POST", PATH)).status == 404
        demanded = await ask(
            app, "POST", "/tickets", orjson.dumps(STREAM), {"authorization": "Bearer ann"}
        )
        answer = await ask(
            app, "GET", f"/v1/stream/a?pass={demanded.json['ticket']}", headers=EVENTS
        )
    assert answer.status == 200


async def test_nothing_of_it_is_there_by_default(make_app: MakeApp, tokens: Tokens) -> None:
    """No path, and no parameter."""
    async with running(make_app(policies=[tokens])) as app:
        assert (await demand(app, STREAM)).status == 404
        assert (await use(app, "A" * 43)).status == 400


async def test_each_caller_may_have_a_number_of_open_tickets(
    make_app: MakeApp, tokens: Tokens
) -> None:
    """Beyond it 429; others are not hindered, until there are too many in all."""
    async with running(with_tickets(make_app, tokens, max_open=5, max_open_per_caller=3)) as app:
        ann = [(await demand(app, STREAM)).status for _ in range(4)]
        refused = await demand(app, STREAM)
        bob = [(await demand(app, STREAM, token="bob")).status for _ in range(3)]

    assert (ann, bob) == ([200, 200, 200, 429], [200, 200, 429])
    assert refused.headers["retry-after"] == "1"


async def test_the_store_forgets_what_has_expired(tmp_path: Path) -> None:
    """Its own at the next ticket, that of a process which was killed when the next one starts."""
    folder = tmp_path / "tickets"
    killed = FolderStore(folder, max_open=10, max_open_per_caller=10)
    soon = time.time() + 0.01
    for key in ("a", "b"):
        await killed.put(key, b"1", expires_at=soon, caller="ann")
    await killed.put("c", b"1", expires_at=soon + 100, caller="ann")
    await asyncio.sleep(0.02)
    await killed.put("d", b"1", expires_at=soon + 100, caller="ann")
    assert sorted(each.name[0] for each in folder.iterdir()) == ["c", "d"]

    await killed.put("e", b"1", expires_at=soon, caller="ann")
    async with FolderStore(folder, max_open=1, max_open_per_caller=1) as other:
        assert sorted(each.name[0] for each in folder.iterdir()) == ["c", "d"]
        assert [await other.take("c"), await other.take("c"), await killed.take("c")] == [
            *(b"1", None, None)
        ]


def test_the_store_is_its_owners_alone(tmp_path: Path) -> None:
    """Its folder and its files; one that others can look into stops the start."""
    store = FolderStore(None, max_open=1, max_open_per_caller=1)
    folder = store.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    del store
    assert not folder.exists()
    tmp_path.chmod(0o755)
    with pytest.raises(AdmissionError, match="others can look into"):
        FolderStore(tmp_path, max_open=1, max_open_per_caller=1)
    (tmp_path / "file").touch()
    with pytest.raises(AdmissionError, match="tickets_folder: cannot use"):
        FolderStore(tmp_path / "file", max_open=1, max_open_per_caller=1)


async def test_limits_count_a_ticket_as_its_holder(make_app: MakeApp, tokens: Tokens) -> None:
    """A stream by ticket is one more request of whoever has asked for it, and not of somebody else."""
    rule = LimitRule(name="each", by=("identity",), limit=2, seconds=3600)
    app = make_app(
        policies=[tokens],
        tickets=TicketSettings(enabled=True),
        limits=LimitsSettings(rules=(rule,)),
    )
    async with running(app):
        assert (await use(app, await ticket_for(app), origin=PAGE)).status == 200
        assert (await demand(app, STREAM)).status == 429
        assert (await demand(app, STREAM, token="bob")).status == 200


def test_limits_of_api_keys_count_their_tickets() -> None:
    """Else a stream by ticket would be free of them."""
    key_of = make_key(("api_key",), 32, 64)
    request = RequestInfo()
    found = []
    for kind, ticket_of in (("api_key", ""), ("ticket", "api_key"), ("ticket", "jwt")):
        request.identity = Identity("billing", kind, ticket_of=ticket_of)
        found.append(key_of(request))

    assert found == ["billing", "billing", None]
