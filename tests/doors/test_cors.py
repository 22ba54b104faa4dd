"""CORS on real doors: one table of origins and requests, with the exact headers, under ours and uvicorn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, WebSocket

from gateway.admission.cors import request_headers, response_headers
from gateway.admission.cors_settings import CorsSettings
from gateway.app import create_app
from gateway.settings import Settings
from gateway.transcoding.metadata import DEFAULT_REQUEST_HEADERS, DEFAULT_RESPONSE_HEADERS
from tests.contracts import echo_descriptor_set
from tests.doors.served_table import under_uvicorn
from tests.echo_server import echo_server
from tests.parity.client import ask
from tests.parity.edges import WholeEchoServer
from tests.whole.serving import serving

LISTED, BELOW, THIRD = "https://app.test", "https://a.b.pages.test", "https://third.test"
OWN = "http://edge.test"
"""Origin of the edge itself: `tests.parity.client` names this host."""
CORS = CorsSettings(
    origins=(LISTED, "https://*.pages.test"), credentials=True, headers=("X-Custom",)
)
ALLOWED = ", ".join(request_headers(CORS, DEFAULT_REQUEST_HEADERS))
EXPOSED = ", ".join(response_headers(CORS, DEFAULT_RESPONSE_HEADERS))
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
JSON = {"content-type": "application/json"}
EVENTS, LINES = {"accept": "text/event-stream"}, {"accept": "application/x-ndjson"}
DOORS: dict[str, Callable[[FastAPI, Settings], Any]] = {
    "protoway": serving,
    "uvicorn": lambda app, _: under_uvicorn(app, "httptools"),
}


@dataclass(frozen=True)
class Case:
    """One request, without its origin, and its HTTP status where pages of a third origin get it too."""

    name: str
    method: str
    target: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def unsafe(self) -> bool:
        """Whether a page of a third origin may not send it."""
        return self.method not in ("GET", "HEAD", "OPTIONS")


CASES = (
    Case("unary GET", "GET", "/v1/echo?stringField=a", 200),
    Case("unary POST", "POST", "/v1/echo", 200, JSON, b"{}"),
    Case("unary POST as a form sends it", "POST", "/v1/echo", 200, {}, b"{}"),
    Case("HEAD", "HEAD", "/v1/echo", 200),
    Case("OPTIONS that is no preflight", "OPTIONS", "/v1/echo", 204),
    Case("a bad request", "GET", "/v1/echo?nothing=1", 400),
    Case("an error of the server", "GET", "/v1/fail/5", 404),
    Case("a wrong header", "GET", "/v1/echo", 400, {"grpc-timeout": "x"}),
    Case("upload", "POST", "/v1/upload", 200, JSON, b"[{},{}]"),
    Case("a bad upload", "POST", "/v1/upload", 400, JSON, b"[1]"),
    Case("SSE", "GET", "/v1/stream/a?int32Field=2", 200, EVENTS),
    Case("NDJSON", "GET", "/v1/stream/a?int32Field=2", 200, LINES),
    Case("a stream that fails at once", "GET", "/v1/fail-stream/5", 404, LINES),
    Case("unknown route", "GET", "/v1/nothing", 404),
    Case("unknown route, POST", "POST", "/v1/nothing", 404, JSON, b"{}"),
    Case("another method", "PUT", "/v1/echo", 405, JSON, b"{}"),
    Case("/docs", "GET", "/docs", 200),
    Case("a file of /docs", "GET", "/docs/viewer.js", 200),
    Case("/openapi.json", "GET", "/openapi.json", 200),
    Case("/healthz", "GET", "/healthz", 200),
    Case("another method of /healthz", "DELETE", "/healthz", 405),
    Case("own route", "GET", "/own", 200),
    Case("own route, POST", "POST", "/own", 200),
    Case("own route that fails", "GET", "/own/418", 418),
    Case("own route with a fault", "GET", "/own/fault", 500),
    Case("a page", "GET", "/page.html", 200),
)


@dataclass(frozen=True)
class Preflight:
    """One preflight request, and what a listed origin gets."""

    name: str
    target: str
    method: str
    status: int
    methods: str = ""
    """That are allowed; empty: none."""
    requested: str = ""
    allowed: str = ALLOWED
    text: str = ""
    """In the error's body."""


ECHO = "GET, HEAD, OPTIONS, POST"
PREFLIGHTS = (
    Preflight("a method that the path takes", "/v1/echo", "POST", 204, ECHO, "content-type"),
    Preflight("a variable in the path", "/v1/echo/a", "PATCH", 204, "DELETE, GET, HEAD, OPTIONS, PATCH"),
    Preflight("upload", "/v1/upload", "POST", 204, "OPTIONS, POST", "content-type"),
    Preflight("stream", "/v1/stream/a", "GET", 204, "GET, HEAD, OPTIONS", "last-event-id"),
    Preflight("a custom method", "/v1/reports", "REPORT", 204, "OPTIONS, REPORT"),
    Preflight(
        "metadata of any name", "/v1/echo", "POST", 204, ECHO,
        "content-type,grpc-metadata-x-a,grpc-metadata-?,x-other",
        f"{ALLOWED}, grpc-metadata-x-a",
    ),
    Preflight(
        "a method that the path lacks, which a browser does not send", "/v1/echo", "DELETE", 204, ECHO,
    ),
    Preflight("a method in lower case", "/v1/echo", "post", 204, ECHO),
    Preflight(
        "a method that the path lacks, which a browser sends all the same",
        "/v1/stream/a", "POST", 204, "GET, HEAD, OPTIONS", "content-type",
    ),
    Preflight("unknown route", "/v1/ecko", "POST", 404, text="did you mean /v1/echo?"),
    Preflight("/docs", "/docs", "GET", 204, "GET, HEAD, OPTIONS", "x-custom"),
    Preflight("/openapi.json", "/openapi.json", "GET", 204, "GET, HEAD, OPTIONS", "x-custom"),
    Preflight("/healthz", "/healthz", "PUT", 204, "GET, HEAD, OPTIONS"),
    Preflight("own route", "/own", "PUT", 204, "GET, POST, PUT"),
    Preflight("own route, a method that it lacks", "/own", "DELETE", 204, "GET, POST, PUT"),
    Preflight("own method beside the contract", "/v1/upload", "DELETE", 204, "DELETE, OPTIONS, POST"),
    Preflight("a mounted application", "/mounted/x", "PUT", 204, "PUT"),
    Preflight("a page", "/page.html", "GET", 204, "GET, HEAD", "x-custom"),
    Preflight("a page, another method", "/page.html", "PUT", 204, "GET, HEAD"),
)  # fmt: skip


async def elsewhere(_scope: Any, _receive: Any, send: Any) -> None:
    """An application that nobody knows the routes of."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module", params=DOORS)
async def port(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[int]:
    """An edge behind a door, over a real server, with routes of a user's and a page."""
    folder: Path = tmp_path_factory.mktemp("cors")
    (folder / "echo.binpb").write_bytes(echo_descriptor_set())
    (folder / "pages").mkdir()
    (folder / "pages" / "page.html").write_text("<!doctype html>")
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(echo_server(WholeEchoServer))
        settings = Settings(
            descriptor_set=folder / "echo.binpb",
            upstream=echo.address,
            pages=folder / "pages",
            cors=CORS,
            log_level="critical",
        )
        app = create_app(settings)

        @app.api_route("/own", methods=["GET", "POST", "PUT"])
        async def own() -> dict[str, str]:
            return {}

        @app.get("/own/fault")
        async def fault() -> None:
            raise LookupError("a fault")

        @app.get("/own/{status}")
        async def fail(status: int) -> None:
            raise HTTPException(status)

        @app.delete("/v1/upload")
        async def delete() -> dict[str, str]:
            return {}

        @app.websocket("/own-socket")
        async def own_socket(socket: WebSocket) -> None:
            await socket.accept()
            await socket.close()

        app.mount("/mounted", elsewhere)
        yield await stack.enter_async_context(DOORS[request.param](app, settings))


def cors_of(headers: dict[str, str]) -> dict[str, str]:
    """Returns the headers of CORS, and `Vary`."""
    return {
        name: value
        for name, value in headers.items()
        if name.startswith("access-control-") or name == "vary"
    }


def shared(origin: str) -> dict[str, str]:
    """Returns the headers of each response to a listed origin."""
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": EXPOSED,
        "vary": "Origin",
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("origin", [LISTED, BELOW])
async def test_a_listed_origin_gets_its_headers(port: int, origin: str, case: Case) -> None:
    """On every response, errors too, exactly these."""
    headers = case.headers | {"origin": origin}
    answer = await ask(port, case.method, case.target, headers, case.body)

    assert (answer.status, cors_of(answer.headers)) == (case.status, shared(origin))
    assert "x-request-id" in answer.headers
    assert "LookupError" not in answer.body.decode()
    if case.status == 500:
        assert json.loads(answer.body) == {"code": 13, "message": "internal error"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("origin", ["", THIRD, "null", OWN])
async def test_others_get_none(port: int, origin: str, case: Case) -> None:
    """Only that the response depends on the origin; an unsafe request of a third origin is refused."""
    headers = case.headers | ({"origin": origin} if origin else {})
    answer = await ask(port, case.method, case.target, headers, case.body)

    refused = case.unsafe and origin in (THIRD, "null")
    assert answer.status == (403 if refused else case.status)
    assert cors_of(answer.headers) == {"vary": "Origin"}
    if refused:
        assert (
            f"the origin '{origin}' is not allowed: it is not in cors_origins"
            in answer.body.decode()
        )


@pytest.mark.parametrize("case", PREFLIGHTS, ids=lambda case: case.name)
async def test_a_preflight_is_answered_from_the_contract(port: int, case: Preflight) -> None:
    """With the methods that the path takes; the 404 of an unknown path has the headers too."""
    headers = {"origin": LISTED, "access-control-request-method": case.method}
    if case.requested:
        headers["access-control-request-headers"] = case.requested
    answer = await ask(port, "OPTIONS", case.target, headers, None)

    expected = {
        "access-control-allow-origin": LISTED,
        "access-control-allow-credentials": "true",
        "vary": PREFLIGHT_VARY,
    }
    if case.methods:
        expected |= {
            "access-control-allow-methods": case.methods,
            "access-control-allow-headers": case.allowed,
            "access-control-max-age": "600",
        }
    assert (answer.status, cors_of(answer.headers)) == (case.status, expected)
    assert case.text in answer.body.decode()
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize("case", PREFLIGHTS, ids=lambda case: case.name)
@pytest.mark.parametrize("origin", [THIRD, "null", OWN])
async def test_a_preflight_of_another_origin_is_refused(
    port: int, origin: str, case: Preflight
) -> None:
    """Whatever it asks for, so nobody learns which paths there are."""
    headers = {"origin": origin, "access-control-request-method": case.method}
    answer = await ask(port, "OPTIONS", case.target, headers, None)

    assert (answer.status, cors_of(answer.headers)) == (403, {"vary": PREFLIGHT_VARY})


@pytest.mark.parametrize("path", ["/v1/bidi", "/own-socket"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [("", 101), (LISTED, 101), (BELOW, 101), (OWN, 101), (THIRD, 403), ("null", 403)],
)
async def test_the_same_list_opens_websockets(
    port: int, origin: str, status: int, path: str
) -> None:
    """Those of the application's routes too. They are no part of CORS, and have none of its headers."""
    lines = [
        f"GET {path} HTTP/1.1",
        "host: edge.test",
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
        *([f"origin: {origin}"] if origin else []),
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    finally:
        writer.close()

    assert int(head.split()[1]) == status
    assert b"access-control" not in head.lower()
