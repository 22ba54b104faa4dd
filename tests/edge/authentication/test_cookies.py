"""A token in a cookie, which browsers send whoever asks: pages of foreign origins cannot use it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admission.cors_settings import CorsSettings
from gateway.admission.proxy_settings import ProxySettings
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import INVALID_ARGUMENT, PERMISSION_DENIED
from tests.edge.asgi import Request, ask, connect, http_scope, running
from tests.edge.authentication.conftest import MakeGuarded
from tests.edge.authentication.tokens import bearer, key
from tests.edge.test_direct import answer
from tests.edge.test_policies import OURS

SECTION = {"cookie": "session"}
LISTED = {"cors": CorsSettings(origins=("https://app.example",), credentials=True)}
ORIGINS = [
    ({"origin": "https://edge.example"}, True),
    ({"origin": "http://edge.example"}, True),  # a proxy may have ended TLS
    ({"origin": "https://app.example"}, True),
    ({"origin": "https://APP.example:443"}, True),
    ({"origin": "https://evil.example"}, False),
    ({"origin": "https://app.example.evil.example"}, False),
    ({"origin": "https://edge.example:8443"}, False),
    ({"origin": "null"}, False),
    ({"origin": ""}, False),
    ({"origin": "https://edge.example, https://evil.example"}, False),
    ({}, False),
    ({"sec-fetch-site": "cross-site"}, False),
    ({"sec-fetch-site": "same-site"}, False),
]


def cookie(token: str, **others: str) -> dict[str, str]:
    """Returns the headers of a page's request."""
    text = "; ".join(["theme=dark", f"session={token}", "a=b"])
    return {"host": "edge.example", "cookie": text, **others}


@pytest.mark.parametrize(("headers", "good"), ORIGINS)
async def test_an_unsafe_request_with_a_cookie_needs_an_origin(
    make_guarded: MakeGuarded, upstream: ScriptedUpstream, headers: dict[str, str], *, good: bool
) -> None:
    """That of the edge or a listed one; else 403 and no call, on both doors."""
    given = cookie(key().sign()) | headers | {"content-type": "application/json"}
    body = b'{"stringField": "x"}'
    async with running(make_guarded(jwt=SECTION, settings=LISTED)) as app:
        got = await ask(app, "POST", "/v1/echo", body, given)
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        head = f"POST /v1/echo HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode()
        status, _, direct = await answer(app, head + body)
    assert (got.status, status) == ((200, 200) if good else (403, 403))
    if not good:
        assert got.json["code"] == direct["code"] == PERMISSION_DENIED
        assert not upstream.calls


@pytest.mark.parametrize(("headers", "good"), ORIGINS)
async def test_a_websocket_with_a_cookie_needs_an_origin(
    make_guarded: MakeGuarded, headers: dict[str, str], *, good: bool
) -> None:
    """Browsers open them across origins without asking, and always send an origin."""
    async with running(make_guarded(jwt=SECTION, settings=LISTED)) as app:
        socket = connect(app, "/v1/bidi", cookie(key().sign()) | headers, OURS)
        await socket.until_sent(1)
        if good:
            assert socket.sent[0]["type"] == "websocket.accept"
            socket.arrives("websocket.disconnect", code=1000)
        else:
            assert (socket.status, socket.json["code"]) == (403, PERMISSION_DENIED)
        await socket.ended()


async def test_a_websocket_of_the_same_origin_by_fetch_metadata_alone_is_refused(
    make_guarded: MakeGuarded,
) -> None:
    """A handshake of a browser has an origin, so one without is not from one."""
    async with running(make_guarded(jwt=SECTION)) as app:
        given = cookie(key().sign()) | {"sec-fetch-site": "same-origin"}
        socket = await connect(app, "/v1/bidi", given, OURS).ended()
        posted = await ask(app, "POST", "/v1/echo", b"{}", given)
    assert (socket.status, posted.status) == (403, 200)


async def test_any_origin_is_not_any_origin_with_a_cookie(make_guarded: MakeGuarded) -> None:
    """`*` lets pages in that send no cookie."""
    async with running(
        make_guarded(jwt=SECTION, settings={"cors": CorsSettings(origins=("*",))})
    ) as app:
        given = cookie(key().sign(), origin="https://evil.example")
        assert (await connect(app, "/v1/bidi", given, OURS).ended()).status == 403


async def test_a_safe_request_needs_no_origin(
    make_guarded: MakeGuarded, upstream: ScriptedUpstream
) -> None:
    """A page of a foreign origin cannot read the response. Upstream gets the token as `authorization`."""
    token = key().sign()
    app = make_guarded(jwt=SECTION, settings={"request_headers": ("cookie", "authorization")})
    async with running(app):
        for extra in ({}, {"origin": "https://evil.example"}):
            got = await ask(app, "GET", "/v1/echo", headers=cookie(token, **extra))
            assert got.status == 200
            assert upstream.calls[-1].metadata == (("authorization", f"Bearer {token}"),)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"cookie": "session=TOKEN; session=other"}, 400),
        ({"cookie": "session=other; session=TOKEN"}, 400),
        ({"cookie": "Session=TOKEN"}, 401),
        ({"cookie": "xsession=TOKEN"}, 401),
        ({"cookie": "session="}, 401),
        ({"cookie": 'session="TOKEN"'}, 200),
        ({"cookie": "session=x.y.z"}, 401),
        ({"cookie": "session=x.y.z", **bearer("TOKEN")}, 200),
        ({"cookie": "session=TOKEN", **bearer("x.y.z")}, 401),
        ({"cookie": "session=TOKEN", "authorization": "Basic eDp5"}, 200),
    ],
)
async def test_forms_of_the_cookie(
    make_guarded: MakeGuarded, headers: dict[str, str], status: int
) -> None:
    """Its name has case; two of it may be another host's; `Authorization` wins, good or bad."""
    given = {name: value.replace("TOKEN", key().sign()) for name, value in headers.items()}
    async with running(make_guarded(jwt=SECTION)) as app:
        got = await ask(app, "GET", "/v1/echo", headers=given)
    assert got.status == status
    assert status != 400 or got.json["code"] == INVALID_ARGUMENT


async def test_a_cookie_may_be_in_several_lines(make_guarded: MakeGuarded) -> None:
    """As HTTP/2 sends it (RFC 9113, 8.2.3); the same name in both is refused."""
    good = f"session={key().sign()}".encode()
    async with running(make_guarded(jwt=SECTION)) as app:
        for lines, status in (([b"a=b", good], 200), ([good, good], 400)):
            scope: dict[str, Any] = http_scope("GET", "/v1/echo")
            scope["headers"] = [(b"cookie", line) for line in lines]
            request = Request(app, scope)
            request.arrives("http.request", body=b"", more_body=False)
            assert (await request.ended()).status == status


async def test_without_the_setting_a_cookie_is_none(make_guarded: MakeGuarded) -> None:
    """Whatever its name."""
    async with running(make_guarded()) as app:
        assert (await ask(app, "GET", "/v1/echo", headers=cookie(key().sign()))).status == 401


@pytest.mark.parametrize(("origin", "status"), [("edge.example", 200), ("inner", 403)])
async def test_the_own_origin_is_that_of_the_host_which_a_trusted_proxy_names(
    make_guarded: MakeGuarded, origin: str, status: int
) -> None:
    """Not that of the `Host` which the proxy has put in its place; on both doors."""
    proxies = ProxySettings(trusted=("unix",), believe_host=True)
    headers = cookie(key().sign(), origin=f"https://{origin}")
    headers |= {"host": "inner", "x-forwarded-host": "edge.example"}
    async with running(make_guarded(jwt=SECTION, settings={"proxies": proxies})) as app:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST /v1/echo HTTP/1.1\r\n{lines}content-length: 2\r\n\r\n".encode()
        assert (await answer(app, head + b"{}"))[0] == status
        assert (await ask(app, "POST", "/v1/echo", b"{}", headers)).status == status
