"""An external authorizer decides about requests: over gRPC as Envoy asks one, and over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from gateway.admission.authorizer.cache import VerdictCache
from gateway.admission.authorizer.settings import AuthorizerSettings
from gateway.admission.authorizer.verdict import CheckedRequest, Verdict
from gateway.admission.error import AdmissionError
from gateway.admission.identity import Identity
from gateway.admission.proxy_settings import ProxySettings
from gateway.admission.rights.settings import RightsSettings
from gateway.exchange.request_info import RequestInfo
from gateway.testing import ScriptedUpstream
from tests.authorizers import (
    Check,
    allowed,
    by_token,
    denied,
    grpc_authorizer,
    http_authorizer,
    response,
)
from tests.edge.asgi import Request, ask, connect, running
from tests.edge.conftest import MakeApp
from tests.edge.test_policies import OURS, Ask, by_asgi, directly
from tests.whole.certificates import made

ANN = {"authorization": "Bearer ann"}
PATIENT: dict[str, Any] = {"timeout_seconds": 20}
"""For tests in which the deadline is not what is tested: machines are slow at times."""


@asynccontextmanager
async def over_grpc(
    make_app: MakeApp, check: Check = by_token, *, transport: str = "wire", **settings: Any
) -> AsyncIterator[FastAPI]:
    """Runs an edge that asks an authorizer over gRPC."""
    given: dict[str, Any] = {"headers": ("authorization",), **PATIENT, **settings}
    async with grpc_authorizer(check) as address:
        authorizer = AuthorizerSettings(grpc=address, **given)
        app = make_app(
            authorizer=authorizer,
            transport=transport,
            request_headers=("x-user", "x-role"),
            cors={"origins": ("https://a.example",)},
        )
        async with running(app):
            yield app


VERDICTS = {
    "ann": (200, None),
    "bob": (403, b'{"reason":"bob"}'),
    "carl": (302, b""),
    "dora": (429, b"slow down"),
    "nothing": (200, None),
    "": (401, b"who are you?"),
}


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
@pytest.mark.parametrize("caller", VERDICTS)
async def test_an_authorizer_decides(
    make_app: MakeApp, upstream: ScriptedUpstream, caller: str, transport: str
) -> None:
    """With its status, its headers and its body; only an allowed request is called."""
    headers = {"authorization": f"Bearer {caller}"} if caller else {}
    async with over_grpc(make_app, transport=transport) as app:
        answer = await ask(app, "GET", "/v1/echo", headers=headers)
    status, body = VERDICTS[caller]

    assert answer.status == status
    assert body is None or answer.body == body
    assert len(upstream.calls) == (status == 200)
    expected = {
        "ann": ("x-quota", "7"),
        "bob": ("content-type", "application/json"),
        "carl": ("location", "https://login.example/"),
        "dora": ("retry-after", "3"),
        "": ("www-authenticate", 'Bearer realm="tests"'),
        "nothing": ("content-type", "application/json"),
    }
    name, value = expected[caller]
    assert answer.headers[name] == value


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_its_headers_go_upstream(
    make_app: MakeApp, upstream: ScriptedUpstream, door: Ask
) -> None:
    """In place of the client's; what it removes does not go upstream."""
    sent = {**ANN, "x-user": "root", "grpc-metadata-x-role": "root", "x-role": "root"}
    async with over_grpc(make_app) as app:
        status, _ = await door(app, "/v1/echo", sent)

    assert (status, upstream.calls[-1].metadata) == (200, (("x-user", "ann"),))


class Claims:
    """Adds metadata before the authorizer is asked, as a token's claims and tickets do."""

    def admit(self, request: RequestInfo) -> None:
        """Adds them."""
        request.metadata += [("X-User", "claimed"), ("x-role", "claimed"), ("x-org", "claimed")]
        request.metadata += [("x-plan", "claimed")]


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_it_decides_about_what_other_policies_have_added(
    make_app: MakeApp, upstream: ScriptedUpstream, door: Ask
) -> None:
    """No key has a value beside its own, and one that it has to set or that it removes has no other."""
    async with grpc_authorizer(by_token) as address:
        section = AuthorizerSettings(
            grpc=address, headers=("authorization",), metadata=("x-org",), **PATIENT
        )
        made = make_app(authorizer=section, policies=[Claims()], request_headers=())
        async with running(made) as app:
            status, _ = await door(app, "/v1/echo", ANN)

    sent = upstream.calls[-1].metadata
    assert (status, sent) == (200, (("x-plan", "claimed"), ("x-user", "ann")))


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_it_is_told_the_host_that_a_trusted_proxy_names(make_app: MakeApp, door: Ask) -> None:
    """As every policy is."""
    told: list[str] = []

    async def check(request: Any, _context: Any) -> Any:
        told.append(request.attributes.request.http.host)
        return allowed()

    proxies = ProxySettings(trusted=("unix",), believe_host=True)
    async with grpc_authorizer(check) as address:
        section = AuthorizerSettings(grpc=address, **PATIENT)
        async with running(make_app(authorizer=section, proxies=proxies)) as app:
            inner = {"host": "inner"} if door is by_asgi else {}
            status, _ = await door(app, "/v1/echo", inner | {"x-forwarded-host": "edge.example"})

    assert (status, told) == (200, ["edge.example"])


async def test_it_decides_about_every_request(make_app: MakeApp) -> None:
    """WebSockets, streams, own paths and unknown ones; not the health check, and no preflight."""
    paths = ("/v1/stream/x", "/docs", "/nowhere")
    preflight = {"origin": "https://a.example", "access-control-request-method": "GET"}
    async with over_grpc(make_app) as app:
        statuses = [(await ask(app, "GET", path)).status for path in paths]
        let_in = [(await ask(app, "GET", path, headers=ANN)).status for path in paths]
        health = await ask(app, "GET", "/healthz")
        options = await ask(app, "OPTIONS", "/v1/echo", headers=preflight)
        nowhere = await ask(app, "OPTIONS", "/nowhere", headers=preflight)
        socket = await connect(app, "/v1/bidi", {}, OURS).ended()

    assert (statuses, let_in) == ([401, 401, 401], [200, 200, 404])
    assert (health.status, options.status, nowhere.status) == (200, 204, 404)
    assert (socket.status, socket.body) == (401, b"who are you?")


async def test_a_refusal_without_a_response_is_the_edges_own(make_app: MakeApp) -> None:
    """403, with a google.rpc.Status."""
    async with over_grpc(make_app) as app:
        answer = await ask(app, "GET", "/v1/hang", headers=ANN)
    assert (answer.status, answer.json["code"]) == (403, 7)
    assert answer.json["message"] == "the authorizer refuses the request"


async def test_it_is_told_what_envoy_tells(make_app: MakeApp) -> None:
    """Method, path with query, host, client, id; of the headers only those that are listed."""
    told: list[Any] = []

    async def listen(request: Any, _context: Any) -> Any:
        told.append(request.attributes)
        return allowed()

    headers = {
        **ANN,
        "host": "api.example",
        "cookie": "secret=1",
        "user-agent": "tests",
        "x-request-id": "42",
    }
    async with over_grpc(make_app, listen, headers=("user-agent",)) as app:
        await ask(app, "POST", "/v1/echo?string_field=a%20b", b"{}", headers=headers)
    http = told[0].request.http

    assert (http.method, http.path) == ("POST", "/v1/echo?string_field=a%20b")
    assert (http.host, http.scheme, http.id, http.size) == ("api.example", "http", "42", -1)
    assert dict(http.headers) == {"user-agent": "tests"}
    assert abs(told[0].request.time.seconds - time.time()) < 60
    assert dict(told[0].context_extensions) == {"rpc": "echo.v1.Echo.Unary"}


def test_credentials_are_told_only_if_they_are_listed() -> None:
    """The default list has none of them."""
    names = {name.lower() for name in AuthorizerSettings().headers}
    assert not names & {"authorization", "cookie", "x-api-key", "proxy-authorization"}


async def test_it_knows_the_identity_that_was_verified(make_app: MakeApp) -> None:
    """And is not asked about what the rights refuse."""
    told: list[str] = []

    async def listen(request: Any, _context: Any) -> Any:
        told.append(request.attributes.source.principal)
        return allowed()

    class Ann:
        def admit(self, request: RequestInfo) -> None:
            request.identity = Identity("ann", "jwt")

    rule = {"requests": "GET /v1/echo", "identity": "any"}
    rights = RightsSettings.model_validate({"rules": [rule]})
    async with grpc_authorizer(listen) as address:
        authorizer = AuthorizerSettings(grpc=address, **PATIENT)
        app = make_app(authorizer=authorizer, rights=rights, policies=(Ann(),))
        async with running(app):
            statuses = [(await ask(app, "GET", p)).status for p in ("/v1/echo", "/v1/echo/x")]

    assert (statuses, told) == ([200, 403], ["ann"])


async def hang(_request: Any, _context: Any) -> Any:
    """Never decides."""
    await asyncio.Event().wait()


async def fail(_request: Any, context: Any) -> Any:
    """Ends with an error of its own."""
    raise RuntimeError("a fault of the authorizer")


async def garbage(_request: Any, _context: Any) -> Any:
    """Answers with bytes that are no message."""
    return b"\xff\xff\xff\xff"


async def split(_request: Any, _context: Any) -> Any:
    """Tries to add a header by a line break."""
    return denied(403, "x", x_a="1\r\nset-cookie: a=b")


async def reserved(_request: Any, _context: Any) -> Any:
    """Names metadata that is gRPC's own."""
    return allowed(grpc_timeout="1S")


async def large(_request: Any, _context: Any) -> Any:
    """Answers with more than anybody needs."""
    return denied(403, "x" * 2**20)


async def no_status(_request: Any, _context: Any) -> Any:
    """Refuses with a status that no response has."""
    return denied(99, "x")


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
@pytest.mark.parametrize("check", [hang, fail, garbage, split, reserved, large, no_status])
async def test_an_authorizer_that_gives_no_decision(
    make_app: MakeApp, upstream: ScriptedUpstream, check: Check, transport: str
) -> None:
    """503 by default, within its deadline; or the request passes, if the settings say so."""
    limit = {"timeout_seconds": 0.2} if check is hang else {}
    given: dict[str, Any] = {"transport": transport, **limit}
    async with over_grpc(make_app, check, **given) as app:
        async with asyncio.timeout(10):
            refused = await ask(app, "GET", "/v1/echo")
    calls = len(upstream.calls)
    async with over_grpc(make_app, check, on_failure="allow", **given) as app:
        passed = await ask(app, "GET", "/v1/echo")

    assert (refused.status, refused.json["code"], calls) == (503, 14, 0)
    assert refused.json["message"] == "the authorizer gives no decision"
    assert refused.headers["retry-after"] == "1"
    assert passed.status == 200


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_an_authorizer_that_is_down(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    """503 until it is there; that it fails, and that it decides again, is logged once."""
    async with grpc_authorizer(by_token) as address:
        pass
    authorizer = AuthorizerSettings(grpc=address, headers=("authorization",), timeout_seconds=0.5)
    async with running(make_app(authorizer=authorizer, transport=transport)) as app:
        statuses = [(await ask(app, "GET", "/v1/echo", headers=ANN)).status for _ in range(3)]
    assert statuses == [503, 503, 503]
    assert [r.message for r in caplog.records if "the authorizer fails" in r.message] == [
        next(r.message for r in caplog.records if "requests are refused" in r.message)
    ]


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_an_authorizer_over_tls(make_app: MakeApp, tmp_path: Path, transport: str) -> None:
    """It is believed only with a certificate of the CA that is given; else there is no decision."""
    made(tmp_path / "ours")
    made(tmp_path / "foreign")
    statuses = []
    async with grpc_authorizer(by_token, tmp_path / "ours" / "core") as address:
        for ca in ("ours", "foreign"):
            authorizer = AuthorizerSettings(
                grpc=address,
                ca=tmp_path / ca / "core" / "ca.pem",
                headers=("authorization",),
                timeout_seconds=20 if ca == "ours" else 2,
            )
            async with running(make_app(authorizer=authorizer, transport=transport)) as app:
                statuses.append((await ask(app, "GET", "/v1/echo", headers=ANN)).status)

    assert statuses == [200, 503]


@pytest.mark.parametrize("given", [{"grpc": "127.0.0.1:1"}, {"http": "https://127.0.0.1:1"}])
def test_a_ca_that_is_none_stops_the_start(
    make_app: MakeApp, tmp_path: Path, given: dict[str, Any]
) -> None:
    """With the setting's name; so does one that cannot be read."""
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    with pytest.raises(AdmissionError, match="authorizer_ca"):
        make_app(authorizer=AuthorizerSettings(ca=junk, **given))
    with pytest.raises(OSError, match=r"absent\.pem"):
        make_app(authorizer=AuthorizerSettings(ca=tmp_path / "absent.pem", **given))


async def test_what_clients_may_not_say_is_taken_out_whatever_it_decides(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """A listed key never comes from a client, though the authorizer leaves it out or fails."""

    async def silent(_request: Any, _context: Any) -> Any:
        return allowed()

    for check in (silent, fail):
        async with over_grpc(make_app, check, metadata=("X-User",), on_failure="allow") as app:
            for name in ("x-user", "grpc-metadata-x-user"):
                answer = await ask(app, "GET", "/v1/echo", headers={name: "root"})
                assert (answer.status, upstream.calls[-1].metadata) == (200, ())


async def test_decisions_are_remembered_where_the_settings_say_so(make_app: MakeApp) -> None:
    """For equal requests of equal callers; what only traces a request does not count."""
    asked: list[str] = []

    async def count(request: Any, context: Any) -> Any:
        asked.append(request.attributes.request.http.path)
        return await by_token(request, context)

    headers = ("authorization", "traceparent")
    async with over_grpc(make_app, count, cache_seconds=60, headers=headers) as app:

        async def status(path: str, caller: str, trace: str = "1") -> int:
            sent = {"authorization": f"Bearer {caller}", "traceparent": trace}
            return (await ask(app, "GET", path, headers=sent)).status

        first = [await status("/v1/echo", "ann"), await status("/v1/echo", "bob")]
        again = [await status("/v1/echo", "ann", "2"), await status("/v1/echo", "bob", "2")]
        other = [await status("/v1/echo?string_field=1", "ann"), await status("/v1/echo", "eve")]

    assert (first, again, other) == ([200, 403], [200, 403], [200, 401])
    assert asked == ["/v1/echo", "/v1/echo", "/v1/echo?string_field=1", "/v1/echo"]


async def test_decisions_are_not_remembered_by_default_nor_are_failures(make_app: MakeApp) -> None:
    """Each request is asked about."""
    asked: list[object] = []

    async def count(request: Any, context: Any) -> Any:
        asked.append(request)
        if len(asked) == 3:
            raise RuntimeError("a fault of the authorizer")
        return allowed()

    async with over_grpc(make_app, count) as app:
        for _ in range(2):
            await ask(app, "GET", "/v1/echo")
    async with over_grpc(make_app, count, cache_seconds=60) as app:
        statuses = [(await ask(app, "GET", "/v1/echo")).status for _ in range(3)]

    assert (statuses, len(asked)) == ([503, 200, 200], 4)


def checked(path: str = "/", **headers: str) -> CheckedRequest:
    """Returns what an authorizer is told of a request."""
    return CheckedRequest("GET", path, "h", "http", "", headers, "1", "", "")


def test_the_cache_is_bounded_in_time_and_number() -> None:
    """And never outlives credentials; a key is no credential."""
    now = 0.0
    cache = VerdictCache(10, 2, clock=lambda: now)
    verdict = Verdict(allowed=True)
    keys = [cache.key(checked(f"/{number}", authorization="secret")) for number in range(3)]
    for key in keys:
        cache.put(key, verdict, None)
    assert [cache.get(key) for key in keys] == [None, verdict, verdict]
    now = 10.0
    assert [cache.get(key) for key in keys] == [None, None, None]
    cache.put(keys[0], verdict, time.time() - 1)
    assert (cache.get(keys[0]), len(cache)) == (None, 0)
    cache.put(keys[0], verdict, time.time() + 5)
    now = 15.0
    assert cache.get(keys[0]) is None
    assert all(len(key) == 16 for key in keys)
    assert cache.key(checked(a="bc")) != cache.key(checked(ab="c"))


# --- over HTTP ------------------------------------------------------------------------------------------


async def by_header(headers: dict[str, str]) -> bytes:
    """Decides by a header, with the headers that an authorizer may answer with."""
    token = headers.get("authorization")
    if token == "Bearer ann":
        return response(204, x_user="ann", x_role="reader", set_cookie="seen=ann")
    if token == "Bearer carl":
        return response(302, location="https://login.example/")
    if token == "Bearer bob":
        return response(403, "<p>no</p>", content_type="text/html", x_secret="1")
    return response(401, "", www_authenticate='Basic realm="tests"')


@asynccontextmanager
async def over_http(
    make_app: MakeApp, respond: Any = by_header, **settings: Any
) -> AsyncIterator[FastAPI]:
    """Runs an edge that asks an authorizer over HTTP."""
    given: dict[str, Any] = {
        "headers": ("authorization", "cookie"),
        "metadata": ("x-user",),
        **PATIENT,
        **settings,
    }
    async with http_authorizer(respond) as url:
        app = make_app(authorizer=AuthorizerSettings(http=url, **given), request_headers=("x-a",))
        async with running(app):
            yield app


async def test_an_authorizer_over_http_decides(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """2xx allows; a refusal goes to the client, with the headers that a client needs and no others."""
    async with over_http(make_app) as app:
        answers: dict[str, Request] = {}
        for caller in ("ann", "bob", "carl", "eve"):
            sent = {"authorization": f"Bearer {caller}", "grpc-metadata-x-user": "root"}
            answers[caller] = await ask(app, "GET", "/v1/echo", headers=sent)

    assert {caller: each.status for caller, each in answers.items()} == {
        "ann": 200,
        "bob": 403,
        "carl": 302,
        "eve": 401,
    }
    assert [call.metadata for call in upstream.calls] == [(("x-user", "ann"),)]
    bob, carl, eve = (answers[caller] for caller in ("bob", "carl", "eve"))
    assert (bob.body, bob.headers["content-type"]) == (b"<p>no</p>", "text/html")
    assert "x-secret" not in bob.headers
    assert carl.headers["location"] == "https://login.example/"
    assert (eve.headers["www-authenticate"], eve.json["code"]) == ('Basic realm="tests"', 16)


async def test_it_is_told_the_request_and_no_other_callers_cookies(make_app: MakeApp) -> None:
    """By X-Forwarded headers, which win over the client's."""
    told: list[dict[str, str]] = []

    async def listen(headers: dict[str, str]) -> bytes:
        told.append(headers)
        return response(200, set_cookie="session=1; Path=/")

    names = ("cookie", "x-forwarded-method", "x-forwarded-uri")
    forged = {"x-forwarded-method": "GET", "x-forwarded-uri": "/open", "host": "api.example"}
    async with over_http(make_app, listen, headers=names) as app:
        sent = forged | {"cookie": "a=1", "accept-encoding": "gzip"}
        await ask(app, "POST", "/v1/echo?x=%C3%A4", b"{}", headers=sent)
        await ask(app, "GET", "/v1/echo", headers={"x-request-id": "7"})

    first, second = told
    assert first[":path"] == "GET /check HTTP/1.1"
    assert first["x-forwarded-method"] == "POST"
    assert first["x-forwarded-uri"] == "/v1/echo?x=%C3%A4"
    assert (first["x-forwarded-host"], first["x-forwarded-proto"]) == ("api.example", "http")
    assert (first["cookie"], first["accept-encoding"]) == ("a=1", "identity")
    assert "cookie" not in second
    assert second["x-request-id"] == "7"


async def never(_headers: dict[str, str]) -> bytes:
    """Never answers."""
    await asyncio.Event().wait()
    return b""


async def broken(_headers: dict[str, str]) -> bytes:
    """Answers with what is not HTTP."""
    return b"220 smtp.example ESMTP\r\n\r\n"


async def faulty(_headers: dict[str, str]) -> bytes:
    """Says that it has failed."""
    return response(500, "a fault")


async def huge(_headers: dict[str, str]) -> bytes:
    """Answers with more than anybody needs."""
    return response(403, "x" * 2**20)


async def packed(_headers: dict[str, str]) -> bytes:
    """Answers with a body that grows when it is read."""
    return response(403, "x", content_encoding="gzip")


async def cut(_headers: dict[str, str]) -> bytes:
    """Answers with less than it says, then with another response."""
    return b"HTTP/1.1 403 No\r\ncontent-length: 5\r\nconnection: close\r\n\r\nx"


@pytest.mark.parametrize("respond", [never, broken, faulty, huge, packed, cut])
async def test_an_http_authorizer_that_gives_no_decision(make_app: MakeApp, respond: Any) -> None:
    """503, or the request passes; within the deadline."""
    limit: dict[str, Any] = {"timeout_seconds": 0.2} if respond in (never, cut) else {}
    async with over_http(make_app, respond, **limit) as app, asyncio.timeout(10):
        refused = await ask(app, "GET", "/v1/echo")
    async with over_http(make_app, respond, on_failure="allow", **limit) as app:
        passed = await ask(app, "GET", "/v1/echo")

    assert (refused.status, passed.status) == (503, 200)


async def test_an_http_authorizer_that_is_down(make_app: MakeApp) -> None:
    """503."""
    async with http_authorizer(by_header) as url:
        pass
    async with running(make_app(authorizer=AuthorizerSettings(http=url, **PATIENT))) as app:
        assert (await ask(app, "GET", "/v1/echo")).status == 503


async def test_one_that_hangs_does_not_hold_up_others(make_app: MakeApp) -> None:
    """Each request has its own deadline, though more wait than there are connections."""
    async with over_http(make_app, never, timeout_seconds=0.3) as app:
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*(ask(app, "GET", "/v1/echo") for _ in range(150)))
    assert {each.status for each in answers} == {503}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"grpc": "a:1", "http": "http://a"}, "give one of them"),
        ({"grpc": "http://a:1"}, "is a URL"),
        ({"grpc": "a"}, "has no port"),
        ({"http": "a:1"}, "is no URL of an HTTP server"),
        ({"http": "http://user:word@a/"}, "has a password in it"),
        ({"http": "http://a", "metadata": ["grpc-timeout"]}, "cannot be a metadata key"),
        ({"grpc": "a:1", "timeout_seconds": 0}, "greater than 0"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    """A password is not repeated."""
    with pytest.raises(ValidationError) as error:
        AuthorizerSettings(**settings)
    assert problem in str(error.value)
