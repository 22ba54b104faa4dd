"""CORS beside what else adds headers or refuses: routes, other policies, compression, cached heads."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import Response

from gateway.admission.cors_settings import CorsSettings
from gateway.admission.overload.policy import Overload
from gateway.exchange.request_info import RequestInfo
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import RESOURCE_EXHAUSTED, UNAUTHENTICATED, StatusError
from tests.edge.asgi import Request, ask, running
from tests.edge.conftest import MakeApp
from tests.edge.test_direct import answer

PAGE, OTHER = "https://app.example", "https://other.example"
CORS = CorsSettings(origins=(PAGE,))
FROM_PAGE = {"origin": PAGE}


def values(request: Request, name: bytes) -> list[bytes]:
    """Returns all values of a header."""
    return [value for each, value in request.sent[0]["headers"] if each == name]


async def test_a_route_cannot_say_something_else(make_app: MakeApp) -> None:
    """Browsers refuse a header of CORS that is there twice; its `Vary` counts beside the edge's."""
    app = make_app(cors=CORS)

    @app.get("/own")
    async def own() -> Response:
        return Response(headers={"Access-Control-Allow-Origin": "*", "Vary": "Accept"})

    async with running(app):
        request = await ask(app, "GET", "/own", headers=FROM_PAGE)

    assert values(request, b"access-control-allow-origin") == [PAGE.encode()]
    assert values(request, b"vary") == [b"Accept", b"Origin"]


@pytest.mark.parametrize("code", [UNAUTHENTICATED, RESOURCE_EXHAUSTED])
@pytest.mark.parametrize("path", ["/v1/echo", "/v1/stream/a", "/healthz", "/docs", "/v1/nothing"])
async def test_a_page_reads_what_a_later_policy_says(
    make_app: MakeApp, path: str, code: int
) -> None:
    """A refusal has the headers too; a preflight is answered before that policy is asked."""

    class Closed:
        def admit(self, request: RequestInfo) -> None:
            raise StatusError.of(code, "not now")

    preflight = {**FROM_PAGE, "access-control-request-method": "GET"}
    async with running(make_app(cors=CORS, policies=[Closed()])) as app:
        refused = await ask(app, "GET", path, headers=FROM_PAGE)
        asked = await ask(app, "OPTIONS", path, headers=preflight)

    assert refused.json["message"] == "not now"
    assert values(refused, b"access-control-allow-origin") == [PAGE.encode()]
    # about a path that nobody has the others are asked: they let preflights pass if they ask for credentials
    assert asked.status == (refused.status if path == "/v1/nothing" else 204)
    assert values(asked, b"access-control-allow-origin") == [PAGE.encode()]


@pytest.mark.parametrize("path", ["/v1/echo", "/v1/stream/a"])
async def test_a_page_reads_that_the_edge_is_overloaded(make_app: MakeApp, path: str) -> None:
    """And when to come back; a page that is not listed is refused for its origin."""
    app = make_app(cors=CORS, overload={"max_calls": 1, "max_streams": 1})
    overload = next(each for each in app.state.edge.served.policies if isinstance(each, Overload))
    overload.calls = overload.streams = 1
    async with running(app):
        refused = await ask(app, "GET", path, headers=FROM_PAGE)
        other = await ask(app, "POST", "/v1/echo", b"{}", headers={"origin": OTHER})
        preflight = {**FROM_PAGE, "access-control-request-method": "GET"}
        asked = await ask(app, "OPTIONS", path, headers=preflight)

    assert (refused.status, other.status, asked.status) == (503, 403, 204)
    assert values(refused, b"access-control-allow-origin") == [PAGE.encode()]
    assert values(refused, b"retry-after") == [b"1"]
    assert b"retry-after" in values(refused, b"access-control-expose-headers")[0]


async def test_equal_heads_have_equal_answers(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """Those that are answered directly come from a cache of heads, of which the origin is a part."""

    async def told(http_method: str, *origins: str) -> Any:
        lines = "".join(f"origin: {origin}\r\n" for origin in origins)
        head = f"{http_method} /v1/echo HTTP/1.1\r\nhost: x\r\n{lines}content-length: 2\r\n\r\n{{}}"
        status, headers, _ = await answer(app, head.encode())
        return status, headers.get(b"access-control-allow-origin"), headers[b"vary"]

    async with running(make_app(cors=CORS)) as app:
        for _ in range(3):
            assert await told("POST", PAGE) == (200, PAGE.encode(), b"Origin")
            assert await told("POST", OTHER) == (403, None, b"Origin")
            assert await told("POST", PAGE, OTHER) == (403, None, b"Origin")
            assert await told("POST") == (200, None, b"Origin")
            assert await told("GET", OTHER) == (200, None, b"Origin")
    assert len(upstream.calls) == 9


async def test_a_response_varies_by_origin_and_coding(make_app: MakeApp) -> None:
    """Each says so."""
    async with running(make_app(cors=CORS, min_compression_bytes=0)) as app:
        request = await ask(app, "GET", "/v1/echo?stringField=a", headers=FROM_PAGE)

    assert sorted(values(request, b"vary")) == [b"Accept-Encoding", b"Origin"]


async def test_without_the_setting_nothing_is_different(make_app: MakeApp) -> None:
    """No policy is made, and no header is sent."""
    async with running(make_app()) as app:
        request = await ask(app, "POST", "/v1/echo", b"{}", headers=FROM_PAGE)

    assert app.state.edge.served.policies == ()
    assert request.status == 200
    assert values(request, b"vary") == values(request, b"access-control-allow-origin") == []
