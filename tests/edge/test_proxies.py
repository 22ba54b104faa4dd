"""An edge behind proxies: the client that they tell of reaches all who ask for it, on every door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gateway.admission.proxy_settings import ProxySettings
from gateway.app import create_app
from gateway.exchange.request_info import RequestInfo
from gateway.feeds.source import new_stream_id
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.contracts import feeds_descriptor_set
from tests.edge import asgi
from tests.edge.conftest import MakeApp
from tests.edge.test_policies import Watching
from tests.edge.test_policy_port import Doing
from tests.feeds.stage import METHODS, Line, settled

PROXY, STRANGER, CLIENT = "10.0.0.1", "192.0.2.66", "203.0.113.7"
SECTION = ProxySettings(trusted=("10.0.0.0/8",), believe_host=True, believe_prefix=True)
SAID = {
    "host": "edge.internal",
    "x-forwarded-for": f"198.51.100.1, {CLIENT}",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "api.example",
    "x-forwarded-prefix": "/api",
}
OURS = ("grpc-json.v1",)


def by_asgi(app: FastAPI, peer: str, path: str, headers: dict[str, str]) -> asgi.Request:
    """Begins a request through the ASGI door."""
    request = asgi.Request(app, {**asgi.http_scope("GET", path, headers), "client": (peer, 4711)})
    request.arrives("http.request", body=b"", more_body=False)
    return request


async def directly(app: FastAPI, peer: str, path: str, headers: dict[str, str]) -> int:
    """Asks through the direct door; returns the status."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = app.state.direct.read(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
    response: asyncio.Future[int] = asyncio.Future()
    request.answer(lambda status, *_: response.set_result(status), peer)
    return await response


def handshake(app: FastAPI, peer: str, headers: dict[str, str]) -> asgi.Request:
    """Begins a WebSocket."""
    scope = {**asgi.websocket_scope("/v1/bidi", headers), "client": (peer, 4711)}
    request = asgi.Request(app, scope | {"subprotocols": OURS})
    request.arrives("websocket.connect")
    return request


def shown(info: RequestInfo) -> tuple[str, str, str]:
    """Returns what a policy sees of a caller."""
    return info.client, info.scheme, info.host


BELIEVED = (CLIENT, "https", "api.example")
IGNORED = (STRANGER, "http", "edge.internal")


@pytest.mark.parametrize(("peer", "seen"), [(PROXY, BELIEVED), (STRANGER, IGNORED)])
async def test_policies_and_observers_see_the_client(
    make_app: MakeApp, peer: str, seen: tuple[str, str, str]
) -> None:
    """On every door, for every wire, for the framework's own routes, and where no route is."""
    policy, observer = Doing(lambda _: None), Watching()
    app = make_app(proxies=SECTION, policies=[policy], observers=[observer])
    async with asgi.running(app):
        for path in (
            "/v1/echo",
            "/v1/hang-stream",
            "/healthz",
            "/openapi.json",
            "/docs",
            "/nowhere",
        ):
            request = by_asgi(app, peer, path, SAID)
            if path == "/v1/hang-stream":
                await request.until_sent(2)
                request.arrives("http.disconnect")
            await request.ended()
        await directly(app, peer, "/v1/echo", SAID)
        websocket = handshake(app, peer, SAID)
        websocket.arrives("websocket.receive", text="")
        await websocket.ended()

    assert [shown(info) for info in policy.asked] == [seen] * 8
    assert len(observer.ends) == 8


METADATA = {
    "x-forwarded-for": CLIENT,
    "x-forwarded-proto": "https",
    "x-forwarded-host": "api.example",
}
CONNECTION = {
    "x-forwarded-for": STRANGER,
    "x-forwarded-proto": "http",
    "x-forwarded-host": "edge.internal",
}
FORGED = {
    **{
        f"grpc-metadata-{name}": "forged"
        for name in ("x-forwarded-for", "X-Forwarded-Proto", "forwarded")
    },
    **{f"grpc-metadata-{name}": "forged" for name in ("x-real-ip", "x-forwarded-prefix")},
    "forwarded": "for=192.0.2.99",
    "x-real-ip": "192.0.2.99",
    "x-forwarded-port": "1",
}


def forwarding(metadata: Any) -> list[tuple[str, str]]:
    """Returns what metadata say about proxies, sorted."""
    return sorted(pair for pair in metadata if "forwarded" in pair[0] or pair[0] == "x-real-ip")


@pytest.mark.parametrize("listed", [False, True], ids=["", "among request_headers"])
@pytest.mark.parametrize(("peer", "told"), [(PROXY, METADATA), (STRANGER, CONNECTION)])
async def test_the_server_is_told_of_the_client(
    make_app: MakeApp, upstream: ScriptedUpstream, peer: str, told: dict[str, str], listed: bool
) -> None:
    """One entry for each name, and what a client sends under these names is replaced or withheld."""
    more = {"request_headers": ("x-forwarded-for", "forwarded", "x-real-ip")} if listed else {}
    app = make_app(proxies=SECTION, **more)
    async with asgi.running(app):
        await by_asgi(app, peer, "/v1/echo", SAID | FORGED).ended()
        await directly(app, peer, "/v1/echo", SAID | FORGED)
        await directly(app, peer, "/v1/echo", SAID)
        websocket = handshake(app, peer, SAID | FORGED)
        websocket.arrives("websocket.receive", text="")
        await websocket.ended()

    assert [forwarding(call.metadata) for call in upstream.calls] == [sorted(told.items())] * 4


async def test_a_frame_of_metadata_does_not_forge(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """Neither does what a WebSocket sends in the subprotocol with an envelope."""
    app = make_app(proxies=SECTION)
    scope = {**asgi.websocket_scope("/v1/bidi", SAID), "client": (PROXY, 1)}
    async with asgi.running(app):
        websocket = asgi.Request(app, scope | {"subprotocols": ("grpc-json-envelope.v1",)})
        websocket.arrives("websocket.connect")
        forged = '{"headers":{"Grpc-Metadata-X-Forwarded-For":"x","grpc-metadata-forwarded":"x"}}'
        websocket.arrives("websocket.receive", text=forged)
        websocket.arrives("websocket.receive", text="")
        await websocket.ended()

    (call,) = upstream.calls
    assert forwarding(call.metadata) == sorted(METADATA.items())


async def test_nothing_is_forwarded_without_the_section(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """The headers count for nothing, and the peer is the client."""
    policy = Doing(lambda _: None)
    async with asgi.running(make_app(policies=[policy])) as app:
        await by_asgi(app, "127.0.0.1", "/v1/echo", SAID).ended()

    assert shown(policy.asked[0]) == ("127.0.0.1", "http", "edge.internal")
    assert forwarding(upstream.calls[0].metadata) == []


@pytest.fixture
async def feeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[FastAPI, ScriptedUpstream]]:
    """An edge whose streams are kept, one for each caller."""

    def script(call: ScriptedCall) -> AsyncIterator[bytes]:
        return Line(call).answers()

    monkeypatch.setattr("gateway.feeds.feeds.new_stream_id", new_stream_id)
    path = tmp_path / "feeds.binpb"
    path.write_bytes(feeds_descriptor_set())
    settings = Settings(descriptor_set=path, proxies=SECTION, max_caller_feeds=1)
    upstream = ScriptedUpstream({method.path: script for method in METHODS.values()})
    async with asgi.running(create_app(settings, upstream)) as app:
        yield app, upstream


async def test_quotas_of_streams_count_the_client(feeds: tuple[FastAPI, ScriptedUpstream]) -> None:
    """Not its proxy, which all clients share; and nobody evades them by a header."""
    app, _ = feeds
    others = [SAID | {"x-forwarded-for": address} for address in ("203.0.113.8", "203.0.113.9")]
    readers = [
        by_asgi(app, PROXY, f"/last-two/{number}", headers)
        for number, headers in enumerate([SAID, *others])
    ]
    await settled()
    refused = [
        await by_asgi(
            app, PROXY, "/last-two/x", SAID | {"x-forwarded-for": f"192.0.2.1, {CLIENT}"}
        ).ended()
    ]
    readers.append(by_asgi(app, STRANGER, "/last-two/y", SAID))
    await settled()
    spoofed = SAID | {"x-forwarded-for": "203.0.113.77"}
    refused.append(await by_asgi(app, STRANGER, "/last-two/z", spoofed).ended())

    assert [each.status for each in refused] == [429, 429]
    assert not any(reader.task.done() for reader in readers)


async def test_clients_share_a_stream(feeds: tuple[FastAPI, ScriptedUpstream]) -> None:
    """Though the server is told of each one's address: requests that differ in it alone are equal."""
    app, upstream = feeds
    for address in ("203.0.113.8", "203.0.113.9"):
        by_asgi(app, PROXY, "/last-two/a", SAID | {"x-forwarded-for": address})
    await settled()

    (call,) = upstream.calls
    assert dict(call.metadata)["x-forwarded-for"] == "203.0.113.8"


@pytest.mark.parametrize(
    ("peer", "origin", "accepted"),
    [
        (PROXY, "https://api.example", True),
        (PROXY, "http://api.example", False),  # the client came over TLS, which the proxy ends
        (PROXY, "https://edge.internal", False),
        (PROXY, "https://evil.example", False),
        (STRANGER, "https://api.example", False),
        (STRANGER, "http://edge.internal", True),
    ],
)
async def test_the_origin_of_a_websocket(
    make_app: MakeApp, peer: str, origin: str, accepted: bool
) -> None:
    """Is compared with the URL that the client has asked for."""
    app = make_app(proxies=SECTION)
    async with asgi.running(app):
        websocket = handshake(app, peer, SAID | {"origin": origin})
        websocket.arrives("websocket.receive", text="")
        await websocket.ended()

    assert (websocket.sent[0]["type"] == "websocket.accept") is accepted


@pytest.mark.parametrize(
    ("root_path", "path"), [("", "/own"), ("/inner", "/own"), ("/inner", "/inner/own")]
)
async def test_routes_and_middleware_see_the_client(
    make_app: MakeApp, root_path: str, path: str
) -> None:
    """Those of the user's: its address, the URL that it has asked, and no header that says it again."""
    app = make_app(proxies=SECTION, root_path=root_path)
    seen: list[list[Any]] = []

    @app.get("/own")
    async def own(request: Request) -> str:
        return str(request.url)

    @app.middleware("http")
    async def watch(request: Request, call_next: Any) -> Any:
        assert request.client is not None
        seen.append([request.client.host, request.url.scheme, *forwarding(request.headers.items())])
        return await call_next(request)

    async with asgi.running(app):
        believed = await by_asgi(app, PROXY, path, SAID).ended()
        ignored = await by_asgi(app, STRANGER, path, SAID).ended()

    assert believed.json == "https://api.example/api/own"
    assert ignored.json == f"http://edge.internal{path}"
    assert seen == [[CLIENT, "https"], [STRANGER, "http"]]


@pytest.mark.parametrize("root_path", ["", "/inner"])
async def test_the_document_names_the_prefix_of_a_trusted_proxy(
    make_app: MakeApp, root_path: str
) -> None:
    """And nobody else's; the contract's paths are below it all the same."""
    app = make_app(proxies=SECTION, root_path=root_path)
    async with asgi.running(app):
        believed = await by_asgi(app, PROXY, "/openapi.json", SAID).ended()
        ignored = await by_asgi(app, STRANGER, "/openapi.json", SAID).ended()
        page = await by_asgi(app, PROXY, "/docs", SAID).ended()
        call = await by_asgi(app, PROXY, "/v1/echo?int32Field=1", SAID).ended()

    assert believed.json["servers"] == [{"url": "/api"}]
    assert ignored.json.get("servers") == ([{"url": root_path}] if root_path else None)
    assert b'data-document="./openapi.json"' in page.body
    assert call.json == {"int32Field": 1}


async def test_a_mounted_edge_is_below_prefix_and_mount(make_app: MakeApp) -> None:
    """The prefix stands before what an application in between is mounted at."""
    outer = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    edge = make_app(proxies=SECTION)
    outer.mount("/edge", edge)
    async with asgi.running(edge):
        document = await by_asgi(outer, PROXY, "/edge/openapi.json", SAID).ended()
        call = await by_asgi(outer, PROXY, "/edge/v1/echo?int32Field=1", SAID).ended()

    assert document.json["servers"] == [{"url": "/api/edge"}]
    assert call.json == {"int32Field": 1}


async def test_a_broken_forwarded_is_400_on_every_door(make_app: MakeApp) -> None:
    """From a trusted proxy; but the health check answers."""
    app = make_app(proxies=ProxySettings(trusted=("10.0.0.0/8",), headers="forwarded"))
    broken = {"host": "x", "forwarded": 'for=", for=203.0.113.7'}
    async with asgi.running(app):
        answers = [
            (await by_asgi(app, PROXY, path, broken).ended()).status
            for path in ("/v1/echo", "/docs", "/nowhere", "/healthz")
        ]
        answers.append(await directly(app, PROXY, "/v1/echo", broken))
        answers.append((await handshake(app, PROXY, broken).ended()).status)
        answers.append(await directly(app, STRANGER, "/v1/echo", broken))

    assert answers == [400, 400, 400, 200, 400, 400, 200]


async def test_uvicorns_own_handling_is_not_counted_twice(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """Where somebody leaves it on under another server: what it has found is the peer, which is no proxy."""
    policy = Doing(lambda _: None)
    app = make_app(proxies=SECTION, policies=[policy])
    wrapped: Any = ProxyHeadersMiddleware(app, trusted_hosts=[PROXY])  # type: ignore[arg-type]
    async with asgi.running(app):
        for headers in (SAID, SAID | {"x-forwarded-for": f"127.0.0.1, 10.9.9.9, {CLIENT}"}):
            await by_asgi(wrapped, PROXY, "/v1/echo", headers).ended()

    assert [info.client for info in policy.asked] == [CLIENT, CLIENT]
    assert [info.scheme for info in policy.asked] == ["https", "https"]
    told = [dict(call.metadata)["x-forwarded-for"] for call in upstream.calls]
    assert told == [CLIENT, CLIENT]
