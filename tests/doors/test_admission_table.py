"""Admission on real doors: one table of callers and requests, with the exact answers, under ours and uvicorn.

A row of `TABLE` is a caller, a column a request. `ok` is the answer that the request has without admission;
all other words are refusals, which stand in `REFUSALS`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import h11
import pytest
import yaml
from fastapi import FastAPI

from gateway.admission.authentication.api_key_settings import ApiKeySettings
from gateway.admission.authentication.api_keys import new_api_key
from gateway.admission.authentication.jwt_settings import JwtSettings
from gateway.admission.cors import RESPONSE_HEADERS, request_headers
from gateway.admission.cors_settings import CorsSettings
from gateway.admission.limits.settings import LimitRule, LimitsSettings
from gateway.admission.proxy_settings import ProxySettings
from gateway.admission.tickets.settings import TicketSettings
from gateway.app import create_app
from gateway.settings import Settings
from gateway.transcoding.metadata import DEFAULT_REQUEST_HEADERS, DEFAULT_RESPONSE_HEADERS
from tests.contracts import echo_descriptor_set
from tests.doors.http2.client import connected
from tests.doors.served_table import under_uvicorn
from tests.echo_server import echo_server
from tests.edge.authentication.tokens import AUDIENCE, ISSUER, bearer, key, write_keys
from tests.parity.edges import WholeEchoServer
from tests.whole.serving import serving

TABLE = """
caller                    POST GET  upload SSE  NDJSON WebSocket HEAD OPTIONS preflight unknown PUT  /docs /openapi.json /healthz /own
nobody                    none none none   none none   none      none none    none      none    none none  none          ok       none
token                     ok   ok   ok     ok   ok     ok        ok   ok      ok        ok      ok   ok    ok            ok       ok
expired-token             old  old  old    old  old    old       old  old     old       old     old  old   old           ok       old
token-for-others          aud  aud  aud    aud  aud    aud       aud  aud     aud       aud     aud  aud   aud           ok       aud
unsigned-token            alg  alg  alg    alg  alg    alg       alg  alg     alg       alg     alg  alg   alg           ok       alg
two-tokens                two  two  two    two  two    two       two  two     two       two     two  two   two           ok       two
password                  none none none   none none   none      none none    none      none    none none  none          ok       none
API-key                   ok   ok   ok     ok   ok     ok        ok   ok      ok        ok      ok   ok    ok            ok       ok
revoked-API-key           key  key  key    key  key    key       key  key     key       key     key  key   key           ok       key
token-and-revoked-API-key ok   ok   ok     ok   ok     ok        ok   ok      ok        ok      ok   ok    ok            ok       ok
listed-page               none none none   none none   none      none none    allow     none    none none  none          ok       none
listed-page-token         ok   ok   ok     ok   ok     ok        ok   ok      allow     ok      ok   ok    ok            ok       ok
listed-page-expired-token old  old  old    old  old    old       old  old     allow     old     old  old   old           ok       old
listed-page-cookie        ok   ok   ok     ok   ok     ok        ok   ok      allow     ok      ok   ok    ok            ok       ok
third-page                page none page   none none   page      none none    page      none    page none  none          ok       page
third-page-token          page ok   page   ok   ok     page      ok   ok      page      ok      page ok    ok            ok       page
third-page-cookie         page ok   page   ok   ok     page      ok   ok      page      ok      page ok    ok            ok       page
listed-page-ticket        get  deny get    ok   ok     deny      get  get     allow     deny    get  deny deny          ok       get
listed-page-socket-ticket get  deny get    deny deny   ok        get  get     allow     deny    get  deny deny          ok       get
listed-page-used-ticket   get  gone get    gone gone   gone      get  get     allow     gone    get  gone gone          ok       get
third-page-ticket         page deny page   deny deny   page      get  get     page      deny    page deny deny          ok       page
own-page-token            ok   ok   ok     ok   ok     ok        ok   ok      page      ok      ok   ok    ok            ok       ok
own-page-cookie           ok   ok   ok     ok   ok     ok        ok   ok      page      ok      ok   ok    ok            ok       ok
no-page-cookie            csrf ok   csrf   ok   ok     csrf      ok   ok      ok        ok      csrf ok    ok            ok       csrf
over-its-limit            much much much   much much   much      much much    much      much    much much  much          ok       much
listed-page-over          much much much   much much   much      much much    allow     much    much much  much          ok       much
"""  # noqa: E501 - a table

LISTED, THIRD, OWN = "https://app.test", "https://third.test", "http://edge.test"
BEARER = 'Bearer error="{}", error_description="{}"'


@dataclass(frozen=True)
class Refusal:
    """One answer of a policy."""

    status: int
    code: int | None
    challenges: tuple[str, ...] = ()


def _bad_token(text: str) -> Refusal:
    return Refusal(401, 16, (BEARER.format("invalid_token", text),))


REFUSALS = {
    "none": Refusal(401, 16, ("Bearer", "ApiKey")),
    "old": _bad_token("the token has expired"),
    "aud": _bad_token("the token is for another audience"),
    "alg": _bad_token("the algorithm of the token is not accepted"),
    "two": Refusal(
        400, 3, (BEARER.format("invalid_request", "Authorization is given more than once"),)
    ),
    "key": Refusal(
        401, 16, ('ApiKey error="invalid_token", error_description="the API key is unknown"',)
    ),
    "page": Refusal(403, 7),
    "csrf": Refusal(403, 7),
    "get": Refusal(403, 7),
    "deny": Refusal(403, 7),
    "gone": Refusal(401, 16, ("Bearer",)),
    "much": Refusal(429, 8),
    "allow": Refusal(204, None),
}
JSON = {"content-type": "application/json"}
UPGRADE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@dataclass(frozen=True)
class Column:
    """One request, and its answer without admission."""

    method: str
    target: str
    status: int = 200
    code: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


COLUMNS = {
    "POST": Column("POST", "/v1/echo", headers=JSON, body=b"{}"),
    "GET": Column("GET", "/v1/echo?stringField=a"),
    "upload": Column("POST", "/v1/upload", headers=JSON, body=b"[{},{}]"),
    "SSE": Column("GET", "/v1/stream/a?int32Field=2", headers={"accept": "text/event-stream"}),
    "NDJSON": Column("GET", "/v1/stream/a", headers={"accept": "application/x-ndjson"}),
    "WebSocket": Column("GET", "/v1/bidi", 101, headers=UPGRADE),
    "HEAD": Column("HEAD", "/v1/echo"),
    "OPTIONS": Column("OPTIONS", "/v1/echo", 204),
    "preflight": Column(
        "OPTIONS", "/v1/echo", 204, None, {"access-control-request-method": "POST"}
    ),
    "unknown": Column("GET", "/v1/nothing", 404, 5),
    "PUT": Column("PUT", "/v1/echo", 405, 12, JSON, b"{}"),
    "/docs": Column("GET", "/docs"),
    "/openapi.json": Column("GET", "/openapi.json"),
    "/healthz": Column("GET", "/healthz"),
    "/own": Column("POST", "/own"),
}

CORS = CorsSettings(origins=(LISTED,), credentials=True)
ALLOWED = ", ".join(request_headers(CORS, (*DEFAULT_REQUEST_HEADERS, "x-api-key")))
EXPOSED = ", ".join(sorted({*RESPONSE_HEADERS, *DEFAULT_RESPONSE_HEADERS}))
SHARED = {"access-control-allow-origin": LISTED, "access-control-allow-credentials": "true"}
PREFLIGHT_VARY = {
    "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
}
PREFLIGHT = {
    **SHARED,
    **PREFLIGHT_VARY,
    "access-control-allow-methods": "GET, HEAD, OPTIONS, POST",
    "access-control-allow-headers": ALLOWED,
    "access-control-max-age": "600",
}
DOORS: dict[str, Callable[[FastAPI, Settings], Any]] = {
    "protoway": serving,
    "protoway, HTTP/2": serving,
    "uvicorn": lambda app, _: under_uvicorn(app, "httptools"),
}
TICKETS = {
    "listed-page-ticket": "ServerStream",
    "listed-page-socket-ticket": "Bidi",
    "listed-page-used-ticket": "ServerStream",
    "third-page-ticket": "ServerStream",
}
"""Callers with a ticket that a listed page has asked for, and the method that it is for."""
OVER = "198.51.100.1"
"""Address of a client that has no request left."""
OF_HTTP1 = frozenset({"host", "connection", "upgrade", "sec-websocket-key"})
"""Headers of a handshake, and of a request, that HTTP/2 says by other fields."""
Headers = list[tuple[str, str]]
Head = h11.Response | h11.InformationalResponse


def _rows() -> Iterator[tuple[str, dict[str, str]]]:
    head, *lines = (line.split() for line in TABLE.strip().splitlines())
    for caller, *words in lines:
        yield caller, dict(zip(head[1:], words, strict=True))


ROWS = dict(_rows())


def callers(api_key: str, revoked: str) -> dict[str, Headers]:
    """Returns the headers of each caller."""
    good = bearer(key().sign())
    old = bearer(key().sign(exp=1000))
    cookie = {"cookie": f"a=b; session={key().sign()}"}
    unsigned = key().sign().replace(key().sign().split(".")[0], "eyJhbGciOiJub25lIn0")
    listed, third, own = ({"origin": each} for each in (LISTED, THIRD, OWN))
    made: dict[str, dict[str, str]] = {
        "nobody": {},
        "token": good,
        "expired-token": old,
        "token-for-others": bearer(key().sign(aud="others")),
        "unsigned-token": bearer(unsigned),
        "two-tokens": good | {"Authorization": good["authorization"]},
        "password": {"authorization": "Basic YW5uOmFubg=="},
        "API-key": {"x-api-key": api_key},
        "revoked-API-key": {"x-api-key": revoked},
        "token-and-revoked-API-key": good | {"x-api-key": revoked},
        "listed-page": listed,
        "listed-page-token": listed | good,
        "listed-page-expired-token": listed | old,
        "listed-page-cookie": listed | cookie,
        "third-page": third,
        "third-page-token": third | good,
        "third-page-cookie": third | cookie,
        "listed-page-ticket": listed,
        "listed-page-socket-ticket": listed,
        "listed-page-used-ticket": listed,
        "third-page-ticket": third,
        "own-page-token": own | good,
        "own-page-cookie": own | cookie,
        "no-page-cookie": cookie,
        "over-its-limit": {**good, "x-forwarded-for": OVER},
        "listed-page-over": {**listed, **good, "x-forwarded-for": OVER},
    }
    assert made.keys() == ROWS.keys()
    return {caller: [*headers.items()] for caller, headers in made.items()}


@dataclass(frozen=True)
class Seen:
    """What is compared of an answer."""

    status: int
    code: int | None
    challenges: tuple[str, ...]
    cors: dict[str, str]
    """With `Vary`."""
    has_id: bool = True
    says_when: bool = False
    """Whether it has `Retry-After`."""


def expected(caller: str, name: str) -> Seen:
    """Returns the answer that the table says."""
    column, word = COLUMNS[name], ROWS[caller][name]
    answer = REFUSALS.get(word) or Refusal(column.status, column.code)
    status, code = answer.status, None if name == "HEAD" else answer.code
    is_listed = caller.startswith("listed-page")
    if name == "WebSocket":  # no part of CORS
        cors = {}
    elif name == "preflight" and word in ("allow", "page"):
        cors = PREFLIGHT if is_listed else PREFLIGHT_VARY
    elif is_listed:
        cors = {**SHARED, "access-control-expose-headers": EXPOSED, "vary": "Origin"}
    else:
        cors = {"vary": "Origin"}
    return Seen(status, code, answer.challenges, cors, status != 101, status == 429)


@dataclass(frozen=True)
class Edge:
    """An edge that listens, and the headers of its callers."""

    port: int
    callers: dict[str, Headers]
    addresses: Iterator[int] = field(default_factory=count)
    over_http2: bool = False


@pytest.fixture(scope="module", params=DOORS)
async def edge(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Edge]:
    """An edge behind a door, with all kinds of policies; one address has no request left."""
    folder: Path = tmp_path_factory.mktemp("admission")
    (folder / "echo.binpb").write_bytes(echo_descriptor_set())
    (api_key, entry), (revoked, revoked_entry) = new_api_key("billing"), new_api_key("old")
    file, new = folder / "api-keys.yaml", folder / "new.yaml"
    file.write_text(yaml.safe_dump({"keys": [entry, revoked_entry]}))
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(echo_server(WholeEchoServer))
        settings = Settings(
            descriptor_set=folder / "echo.binpb",
            upstream=echo.address,
            log_level="critical",
            cors=CORS,
            proxies=ProxySettings(trusted=("loopback",)),
            limits=LimitsSettings(
                headers=False, rules=(LimitRule(name="one", limit=1, seconds=86_400),)
            ),
            jwt=JwtSettings(
                issuer=ISSUER, audience=(AUDIENCE,), jwks=write_keys(folder), cookie="session"
            ),
            api_keys=ApiKeySettings(file=file, file_check_seconds=0.05),
            tickets=TicketSettings(enabled=True),
        )
        app = create_app(settings)

        @app.post("/own")
        async def own() -> dict[str, str]:
            return {}

        made = Edge(
            await stack.enter_async_context(DOORS[request.param](app, settings)),
            callers(api_key, revoked),
            over_http2="HTTP/2" in request.param,
        )
        before = await ask(made, "revoked-API-key", "GET")
        assert before.status == 200
        new.write_text(yaml.safe_dump({"keys": [entry]}))
        new.replace(file)
        async with asyncio.timeout(20):
            while (await ask(made, "revoked-API-key", "GET")).status == 200:
                await asyncio.sleep(0.02)
        assert (await ask(made, "over-its-limit", "GET")).status == 200
        yield made


async def ask(edge: Edge, caller: str, name: str) -> Seen:
    """Sends a request of a caller, on a connection and from an address of its own."""
    column = COLUMNS[name]
    if method := TICKETS.get(caller):
        ticket = await _ticket(edge, method)
        between = "&" if "?" in column.target else "?"
        column = replace(column, target=f"{column.target}{between}ticket={ticket}")
        if "used" in caller:
            opening = Column("GET", f"/v1/stream/a?ticket={ticket}")
            assert (await _exchange(edge, edge.callers[caller], opening))[0].status_code == 200
    return _seen(*await _exchange(edge, edge.callers[caller], column))


async def _ticket(edge: Edge, method: str) -> str:
    """Returns a ticket for a method, which a listed page has asked for."""
    body = json.dumps({"method": f"echo.v1.Echo/{method}"}).encode()
    column = Column("POST", "/.protoway/ticket", headers=JSON, body=body)
    _, answer = await _exchange(edge, edge.callers["listed-page-token"], column)
    return str(json.loads(answer)["ticket"])


async def _exchange(edge: Edge, caller: Headers, column: Column) -> tuple[Head, bytes]:
    """Returns the head and the body of the answer to a request."""
    number = next(edge.addresses)
    headers = [("host", "edge.test"), *caller, *column.headers.items()]
    if not any(each == "x-forwarded-for" for each, _ in headers):
        headers.append(("x-forwarded-for", f"203.0.{number >> 8}.{number & 255}"))
    if column.body:
        headers.append(("content-length", str(len(column.body))))
    if edge.over_http2:
        return await _exchange_over_http2(edge, headers, column)
    client = h11.Connection(h11.CLIENT)
    data = client.send(h11.Request(method=column.method, target=column.target, headers=headers))
    assert data is not None
    if column.body:
        data += client.send(h11.Data(column.body)) or b""
    client.send(h11.EndOfMessage())
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        try:
            writer.write(data)
            return await _answer(client, reader)
        finally:
            writer.close()


async def _exchange_over_http2(edge: Edge, headers: Headers, column: Column) -> tuple[Head, bytes]:
    """Does the same over HTTP/2; a WebSocket that is accepted is 101, as over HTTP/1.1."""
    own = [pair for pair in headers if pair[0].lower() not in OF_HTTP1]
    fields = [(":scheme", "http"), (":authority", "edge.test"), (":path", column.target)]
    is_websocket = len(own) + 1 < len(headers)
    if is_websocket:
        fields += [(":method", "CONNECT"), (":protocol", "websocket")]
    else:
        fields.append((":method", column.method))
    lower = [(name.lower(), value) for name, value in own]
    async with connected(edge.port, strict=False) as client:
        stream = client.send([*fields, *lower], column.body or None, end=not is_websocket)
        if is_websocket:
            await client.until(lambda: stream.status)
        if is_websocket and stream.status == 200:
            return h11.InformationalResponse(status_code=101, headers=stream.headers), b""
        await client.end_of(stream)
    return h11.Response(status_code=stream.status, headers=stream.headers), bytes(stream.body)


async def _answer(client: h11.Connection, reader: asyncio.StreamReader) -> tuple[Head, bytes]:
    head: Head | None = None
    body = b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(2**16))
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.Response | h11.InformationalResponse):
            head = event
            if head.status_code == 101:
                return head, body
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return head, body
        else:
            raise AssertionError(f"no answer but {event} after {head}")


def _seen(head: Head, body: bytes) -> Seen:
    headers = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
    refused = head.status_code >= 400 and body
    cors = [pair for pair in headers if pair[0].startswith("access-control-") or pair[0] == "vary"]
    assert len(dict(cors)) == len(cors)
    return Seen(
        head.status_code,
        json.loads(body)["code"] if refused else None,
        tuple(value for name, value in headers if name == "www-authenticate"),
        dict(cors),
        "x-request-id" in dict(headers),
        "retry-after" in dict(headers),
    )


@pytest.mark.parametrize("caller", ROWS)
async def test_each_caller_has_the_answers_of_the_table(edge: Edge, caller: str) -> None:
    """HTTP status, gRPC code, challenges and headers of CORS, to the letter."""
    seen = {name: await ask(edge, caller, name) for name in COLUMNS}

    assert seen == {name: expected(caller, name) for name in COLUMNS}
