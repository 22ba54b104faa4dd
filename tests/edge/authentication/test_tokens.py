"""Who has a good token comes in, on every door, and upstream is told who it is."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.admission.authentication import jwt_authenticator
from gateway.admission.authentication.jwt_settings import IssuerSettings, JwtSettings
from gateway.admission.authentication.token import verified_claims
from gateway.admission.identity import Identity
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import UNAUTHENTICATED
from tests.edge.asgi import ask, connect, running, start
from tests.edge.authentication.conftest import MakeGuarded
from tests.edge.authentication.tokens import (
    AUDIENCE,
    ISSUER,
    bearer,
    claims_of,
    key,
    key_set,
    write_keys,
)
from tests.edge.conftest import MakeApp
from tests.edge.test_policies import OURS, Ask, Watching, by_asgi, by_websocket, directly
from tests.interpreted import needs_source


@pytest.mark.parametrize("door", [by_asgi, directly])
@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_a_good_token_is_an_identity(
    make_guarded: MakeGuarded, tmp_path: Path, door: Ask, algorithm: str
) -> None:
    """With each kind of key, the first time and when it is remembered."""
    signing = key("k", algorithm)
    app = make_guarded(jwks=write_keys(tmp_path, signing.jwk()), algorithms=(algorithm,))
    watching = Watching()
    app.state.edge.observe(watching)
    token = signing.sign(scope="read")
    async with running(app):
        for _ in range(2):
            status, _ = await door(app, "/v1/echo", bearer(token))
            assert status == 200

    for info in watching.infos:
        assert isinstance(info.identity, Identity)
        assert (info.identity.name, info.identity.kind) == ("ann", "jwt")
        assert info.identity.claims["scope"] == "read"
        assert info.identity.expires_at is not None


@pytest.mark.parametrize("door", [by_asgi, directly, by_websocket])
async def test_without_a_token_nobody_comes_in(make_guarded: MakeGuarded, door: Ask) -> None:
    """Once identity is configured and no rights are: 401, with a challenge that names no error."""
    async with running(make_guarded()) as app:
        status, body = await door(app, "/v1/echo", {})
    assert (status, body["code"]) == (401, UNAUTHENTICATED)


PATHS = ("/v1/echo", "/v1/hang-stream", "/v1/nothing", "/docs", "/openapi.json", "/own")


@pytest.mark.parametrize("path", PATHS)
async def test_the_challenge_of_a_request_without_credentials(
    make_guarded: MakeGuarded, path: str
) -> None:
    """Of routes, streams, pages, a user's own, and what is not there."""
    app = make_guarded(jwt={"realm": "echo"})

    @app.get("/own")
    async def own() -> dict[str, str]:
        return {}

    async with running(app):
        request = await ask(app, "GET", path)
    challenges = [v for n, v in request.sent[0]["headers"] if n == b"www-authenticate"]
    assert (request.status, challenges) == (401, [b'Bearer realm="echo"'])


async def test_health_and_preflights_need_no_credentials(make_guarded: MakeGuarded) -> None:
    """The one is asked by machines, the others cannot have any; an OPTIONS that is none needs them.

    Without CORS none is a preflight, whatever its headers say.
    """
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    for origins, expected in (((asked["origin"],), 204), ((), 401)):
        async with running(make_guarded(settings={"cors": {"origins": origins}})) as app:
            health = await ask(app, "GET", "/healthz")
            preflight = await ask(app, "OPTIONS", "/v1/echo", headers=asked)
            options = await ask(app, "OPTIONS", "/v1/echo")
        assert (health.status, preflight.status, options.status) == (200, expected, 401)


@pytest.mark.parametrize(
    ("bad", "description"),
    [
        ({"exp": 1000}, "the token has expired"),
        ({"exp": None}, "the token has no claim exp"),
        ({"sub": None}, "the token has no claim sub"),
        ({"nbf": 4_000_000_000}, "the token is not valid yet"),
        ({"iat": 4_000_000_000}, "the token is not valid yet"),
        ({"aud": "other"}, "the token is for another audience"),
        ({"aud": None}, "the token has no claim aud"),
        ({"aud": ["other", "third"]}, "the token is for another audience"),
        ({"aud": {"echo": 1}}, "the token is for another audience"),
        ({"iss": "https://issuer.example/"}, "the issuer of the token is not accepted"),
        ({"iss": None}, "the token has no issuer"),
        ({"iss": 5}, "the token has no issuer"),
        ({"exp": "4000000000"}, "the claim exp is no date"),
        ({"exp": True}, "the claim exp is no date"),
        ({"exp": 10**400}, None),
        ({"nbf": float("nan")}, None),
    ],
)
@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_claims_that_are_wrong(
    make_guarded: MakeGuarded, door: Ask, bad: dict[str, Any], description: str | None
) -> None:
    """Each is 401, and says why; asked again it says the same."""
    token = key().sign(**bad)
    async with running(make_guarded()) as app:
        for _ in range(2):
            status, body = await door(app, "/v1/echo", bearer(token))
            assert (status, body["code"]) == (401, UNAUTHENTICATED)
            assert description is None or body["message"] == description


async def test_an_audience_may_be_one_of_several(make_guarded: MakeGuarded) -> None:
    """Of the token's, and of the setting's."""
    async with running(make_guarded(audiences=("a", "b"))) as app:
        good = await ask(app, "GET", "/v1/echo", headers=bearer(key().sign(aud=["x", "b"])))
        bad = await ask(app, "GET", "/v1/echo", headers=bearer(key().sign(aud="ab")))
    assert (good.status, bad.status) == (200, 401)


async def test_a_token_with_an_audience_needs_one_to_be_set(make_guarded: MakeGuarded) -> None:
    """Who is not named by `aud` must refuse the token (RFC 7519, 4.1.3)."""
    async with running(make_guarded(audiences=())) as app:
        named = await ask(app, "GET", "/v1/echo", headers=bearer(key().sign()))
        unnamed = await ask(app, "GET", "/v1/echo", headers=bearer(key().sign(aud=None)))
    assert (named.status, unnamed.status) == (401, 200)


async def test_the_skew_is_obeyed(make_guarded: MakeGuarded) -> None:
    """In both directions, and not beyond."""
    now = time.time()
    async with running(make_guarded(skew_seconds=30)) as app:
        for claim, date, status in (
            ("exp", now - 20, 200),
            ("exp", now - 40, 401),
            ("nbf", now + 20, 200),
            ("nbf", now + 40, 401),
        ):
            token = key().sign(None, **{claim: date})
            got = await ask(app, "GET", "/v1/echo", headers=bearer(token))
            assert got.status == status


async def test_the_challenge_of_a_wrong_token(make_guarded: MakeGuarded) -> None:
    """RFC 6750, section 3: realm, error and description; there is one challenge."""
    async with running(make_guarded(jwt={"realm": "echo"})) as app:
        got = await ask(app, "GET", "/v1/echo", headers=bearer(key().sign(exp=1000)))
    challenges = [v for n, v in got.sent[0]["headers"] if n == b"www-authenticate"]
    assert challenges == [
        b'Bearer realm="echo", error="invalid_token", error_description="the token has expired"'
    ]


@pytest.mark.parametrize(
    ("setting", "given", "status"),
    [
        ("", None, 200),
        ("", "JWT", 200),
        ("", "at+jwt", 200),
        ("", "application/at+JWT", 200),
        ("", "logout+jwt", 401),
        ("", "dpop+jwt", 401),
        ("at+jwt", "AT+JWT", 200),
        ("at+jwt", "JWT", 401),
        ("at+jwt", None, 401),
    ],
)
async def test_types_of_tokens(
    make_guarded: MakeGuarded, setting: str, given: str | None, status: int
) -> None:
    """Tokens that are made for something else are refused (RFC 8725, 3.11)."""
    async with running(make_guarded(token_type=setting)) as app:
        token = key().sign({"typ": given})
        got = await ask(app, "GET", "/v1/echo", headers=bearer(token))
    assert got.status == status


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_claims_go_upstream(
    make_guarded: MakeGuarded, upstream: ScriptedUpstream, door: Ask
) -> None:
    """As metadata that replace the client's, in whatever header it sends them."""
    app = make_guarded(
        claim_metadata={"sub": "x-user", "roles": "x-roles", "org": "X-Org"},
        settings={"request_headers": ("authorization", "x-user")},
    )
    token = key().sign(sub="é%", roles=["a", "b,c"])
    forged = {
        "x-user": "root",
        "grpc-metadata-x-org": "root",
        "grpc-metadata-authorization": "Bearer x",
    }
    async with running(app):
        for _ in range(2):
            status, _ = await door(app, "/v1/echo", bearer(token) | forged)
            assert status == 200
            assert dict(upstream.calls[-1].metadata) == {
                "x-user": "%C3%A9%25",
                "x-roles": '["a", "b,c"]',
                "authorization": f"Bearer {token}",
            }


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_a_token_can_be_withheld(
    make_guarded: MakeGuarded, upstream: ScriptedUpstream, door: Ask
) -> None:
    """Then upstream gets no `authorization` at all, whatever header it came in."""
    app = make_guarded(
        jwt={"forward_token": False}, settings={"request_headers": ("authorization",)}
    )
    headers = bearer(key().sign()) | {"grpc-metadata-authorization": "Bearer other"}
    async with running(app):
        status, _ = await door(app, "/v1/echo", headers)
    assert (status, upstream.calls[-1].metadata) == (200, ())


async def test_the_first_frame_of_a_websocket_changes_no_identity(
    make_guarded: MakeGuarded, upstream: ScriptedUpstream
) -> None:
    """Metadata in the envelope's first frame replace neither the token nor a claim."""
    app = make_guarded(
        claim_metadata={"sub": "x-user", "org": "x-org"},
        settings={"request_headers": ("authorization", "x-user", "x-org")},
    )
    token = key().sign()
    async with running(app):
        socket = connect(app, "/v1/bidi", bearer(token), ("grpc-json-envelope.v1",))
        forged = {
            "authorization": "Bearer other",
            "x-user": "root",
            "x-org": "root",
            "grpc-metadata-a": "1",
        }
        socket.arrives("websocket.receive", text=json.dumps({"headers": forged}))
        socket.arrives("websocket.receive", text=json.dumps({"message": {"stringField": "x"}}))
        socket.arrives("websocket.receive", text=json.dumps({"end": True}))
        await asyncio.wait_for(socket.ended(), 10)
    assert dict(upstream.calls[-1].metadata) == {
        "a": "1",
        "authorization": f"Bearer {token}",
        "x-user": "ann",
    }


@pytest.mark.parametrize("grace", [0.0, 30.0])
async def test_streams_end_with_their_token(make_guarded: MakeGuarded, grace: float) -> None:
    """After `exp` and the skew, or later by the grace: events, lines and a WebSocket."""
    app = make_guarded(skew_seconds=0, jwt={"stream_grace_seconds": grace})
    async with running(app):
        headers = bearer(key().sign(exp=time.time() + 1))
        events = start(
            app, "GET", "/v1/hang-stream", headers=headers | {"accept": "text/event-stream"}
        )
        lines = start(
            app, "GET", "/v1/hang-stream", headers=headers | {"accept": "application/x-ndjson"}
        )
        socket = connect(app, "/v1/bidi", headers, OURS)
        everything = asyncio.gather(*(each.ended() for each in (events, lines, socket)))
        done, _ = await asyncio.wait({everything}, timeout=1.5 if grace else 10)
        if grace:
            assert not done
            for each in (events, lines):
                each.arrives("http.disconnect")
            socket.arrives("websocket.disconnect", code=1000)
            await everything
            return
    assert b"the credentials have expired" in events.body
    assert b"the credentials have expired" in lines.body
    assert socket.sent[-1]["code"] == 4000 + UNAUTHENTICATED


async def test_a_remembered_token_is_not_verified_again_until_it_ends(
    make_guarded: MakeGuarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is verified once, though asked often; and is refused once its `exp` has passed."""
    needs_source(jwt_authenticator.__name__)
    verified = 0
    original = verified_claims

    def count(*arguments: Any) -> Any:
        nonlocal verified
        verified += 1
        return original(*arguments)

    monkeypatch.setattr(jwt_authenticator, "verified_claims", count)
    now = time.time()
    token = key().sign(exp=now + 100)
    async with running(make_guarded(skew_seconds=0, jwt={"remember_seconds": 3600})) as app:
        for _ in range(3):
            assert (await ask(app, "GET", "/v1/echo", headers=bearer(token))).status == 200
        assert verified == 1
        monkeypatch.setattr(jwt_authenticator, "time", lambda: now + 101)
        monkeypatch.setattr("jwt.api_jwt.datetime", _Later)
        assert (await ask(app, "GET", "/v1/echo", headers=bearer(token))).status == 401
    assert verified == 2


class _Later:
    """A clock that is 101 seconds ahead."""

    @staticmethod
    def now(tz: Any = None) -> Any:
        """Now, later."""
        return datetime.now(tz) + timedelta(seconds=101)


async def test_memory_of_tokens_is_bounded(make_guarded: MakeGuarded) -> None:
    """Good and bad ones alike, and no token is kept in clear."""
    app = make_guarded(jwt={"max_remembered": 10})
    async with running(app):
        for number in range(50):
            await ask(app, "GET", "/v1/echo", headers=bearer(key().sign(n=number)))
            await ask(app, "GET", "/v1/echo", headers=bearer(key().sign(exp=1000 + number)))
    authenticator = app.state.edge.served.policies[0]._authenticators[0]
    assert (len(authenticator._verified), len(authenticator._refused)) == (10, 10)
    assert all(len(each) == 32 for each in authenticator._verified._entries)


async def test_several_issuers_have_keys_of_their_own(make_app: MakeApp, tmp_path: Path) -> None:
    """A key of one issuer signs nothing for another."""
    second = key("two", "RS256")
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    paths[0].write_bytes(key_set(key().jwk()))
    paths[1].write_bytes(key_set(second.jwk()))
    section = JwtSettings(
        issuer=ISSUER,
        audience=(AUDIENCE,),
        jwks=str(paths[0]),
        issuers=(IssuerSettings(issuer="second", audiences=("echo",), jwks=str(paths[1])),),
    )
    async with running(make_app(jwt=section)) as app:
        for token, status in (
            (key().sign(), 200),
            (second.sign(iss="second"), 200),
            (key().sign(iss="second"), 401),
            (second.sign(), 401),
        ):
            assert (await ask(app, "GET", "/v1/echo", headers=bearer(token))).status == status


async def test_symmetric_tokens_need_a_secret_of_a_file(
    make_guarded: MakeGuarded, tmp_path: Path
) -> None:
    """With the secret they are good, with another they are not."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 32 + b"\n")
    async with running(make_guarded(secret_file=secret)) as app:
        for text, status in ((b"s" * 32, 200), (b"t" * 32, 401)):
            token = jwt.encode(claims_of(), text, "HS256")
            assert (await ask(app, "GET", "/v1/echo", headers=bearer(token))).status == status


async def test_keys_of_a_changed_file_count_at_once(
    make_guarded: MakeGuarded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The old key's tokens are refused, though they were remembered; a bad file changes nothing."""
    path = Path(write_keys(tmp_path, key().jwk()))
    async with running(make_guarded(jwks=str(path), jwt={"file_check_seconds": 0.05})) as app:

        async def status(kid: str) -> int:
            return (await ask(app, "GET", "/v1/echo", headers=bearer(key(kid).sign()))).status

        old = bearer(key().sign())
        assert (await ask(app, "GET", "/v1/echo", headers=old)).status == 200
        new = tmp_path / "new.json"
        new.write_bytes(key_set(key("two").jwk()))
        os.replace(new, path)
        while await status("two") != 200:
            await asyncio.sleep(0.01)
        assert (await ask(app, "GET", "/v1/echo", headers=old)).status == 401
        for wrong in (b"{", b'{"keys": []}'):
            path.write_bytes(wrong)  # noqa: ASYNC240 - a small file
            while "stays in force" not in caplog.text:
                await asyncio.sleep(0.01)
            caplog.clear()
            assert await status("two") == 200


@pytest.mark.parametrize(
    ("claim", "text"),
    [("root ", "root%20"), (" root", "%20root"), ("  ", "%20%20"), ("a b", "a b"), ("", "")],
)
async def test_spaces_at_the_ends_of_a_claim(
    make_guarded: MakeGuarded, upstream: ScriptedUpstream, claim: str, text: str
) -> None:
    """They are told upstream: whoever may call himself `root ` is not taken for `root`."""
    app = make_guarded(claim_metadata={"sub": "x-user"})
    async with running(app):
        await ask(app, "GET", "/v1/echo", headers=bearer(key().sign(sub=claim)))

    assert dict(upstream.calls[-1].metadata)["x-user"] == text
