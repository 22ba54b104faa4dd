"""Keys that are fetched: one fetch for all, kept fresh, and no key server can do harm."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from gateway.admission.authentication import fetched_keys
from gateway.admission.authentication.jwt_settings import JwtSettings
from gateway.transcoding.status import UNAUTHENTICATED, UNAVAILABLE
from tests.edge.asgi import ask, connect, running, start
from tests.edge.authentication.conftest import MakeGuarded
from tests.edge.authentication.key_server import KeyServer, serving_keys
from tests.edge.authentication.tokens import Key, bearer, key, key_set
from tests.edge.test_policies import OURS, Ask, by_asgi, by_websocket, directly

FLOOD = 200


@pytest.fixture
async def keys() -> AsyncIterator[KeyServer]:
    """A server of keys."""
    async with serving_keys() as server:
        yield server


class Clock:
    """That of fetched keys: it stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Returns the seconds."""
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Tells fetched keys how old they are."""
    made = Clock()
    monkeypatch.setattr(fetched_keys, "monotonic", made)
    return made


async def status(app: FastAPI, token: str) -> int:
    """Asks with a token; returns the status."""
    return (await ask(app, "GET", "/v1/echo", headers=bearer(token))).status


async def until(app: FastAPI, token: str, expected: int) -> None:
    """Asks until the status is the one that is expected."""
    async with asyncio.timeout(20):
        while await status(app, token) != expected:
            await asyncio.sleep(0.01)


async def test_all_requests_wait_for_one_fetch(make_guarded: MakeGuarded, keys: KeyServer) -> None:
    """Those that come while the first keys are fetched; so does one on the direct way."""
    keys.may_answer.clear()
    async with running(make_guarded(jwks=keys.url)) as app:
        tokens = [key().sign(n=number) for number in range(20)]
        waiting = [start(app, "GET", "/v1/echo", headers=bearer(each)) for each in tokens]
        direct = asyncio.create_task(directly(app, "/v1/echo", bearer(key().sign())))
        while not keys.fetches:
            await asyncio.sleep(0.001)
        assert not any(each.sent for each in waiting)
        keys.may_answer.set()
        for each in waiting:
            assert (await each.ended()).status == 200
        assert (await direct)[0] == 200
    assert keys.fetches == 1
    assert b"accept-encoding: identity" in keys.requests[0].lower()


@pytest.mark.parametrize("door", [by_asgi, directly, by_websocket])
async def test_without_keys_requests_are_refused_and_health_is_not(
    make_guarded: MakeGuarded, keys: KeyServer, door: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """503 with `Retry-After`, at once; without a token it is 401. As soon as there are keys they count."""
    keys.broken = True
    async with running(make_guarded(jwks=keys.url)) as app:
        code, body = await door(app, "/v1/echo", bearer(key().sign()))
        assert (code, body["code"]) == (503, UNAVAILABLE)
        assert (await door(app, "/v1/echo", {}))[0] == 401
        assert (await ask(app, "GET", "/healthz")).status == 200
        assert caplog.text.count("no token can be verified") == 1
        keys.broken = False
        await until(app, key().sign(), 200)


async def test_an_outage_is_survived_on_the_last_good_keys(
    make_guarded: MakeGuarded, keys: KeyServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until they are too old by the setting; then nobody comes in with a token."""
    monkeypatch.setattr(fetched_keys, "MIN_AGE_SECONDS", 0.1)
    keys.headers = ["cache-control: public, max-age=0"]
    app = make_guarded(jwks=keys.url, jwt={"jwks_stale_seconds": 1.5, "remember_seconds": 0})
    async with running(app):
        await until(app, key().sign(), 200)
        keys.broken = True
        before = keys.fetches
        while keys.fetches < before + 2:
            assert await status(app, key().sign()) == 200
            await asyncio.sleep(0.01)
        clock.seconds += 1.7
        assert await status(app, key().sign()) == 503
        keys.broken = False
        await until(app, key().sign(), 200)


async def test_keys_are_refreshed_in_the_background(
    make_guarded: MakeGuarded, keys: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request waits for it, and tokens of a key that is gone are refused, remembered or not."""
    monkeypatch.setattr(fetched_keys, "MIN_AGE_SECONDS", 0.1)
    keys.headers = ["Cache-Control: max-age=0"]
    old = key().sign()
    async with running(make_guarded(jwks=keys.url)) as app:
        await until(app, old, 200)
        keys.body = key_set(key("two").jwk())
        await until(app, old, 401)
        assert await status(app, key("two").sign()) == 200


async def test_an_unknown_key_is_asked_for_once(
    make_guarded: MakeGuarded, keys: KeyServer, clock: Clock
) -> None:
    """A flood of tokens with unknown keys makes one fetch in the interval, and each is 401."""
    app = make_guarded(jwks=keys.url, jwt={"jwks_refetch_seconds": 1.0})
    async with running(app):
        await until(app, key().sign(), 200)
        clock.seconds += 1.05
        assert keys.fetches == 1
        flood = [
            start(app, "GET", "/v1/echo", headers=bearer(Key(f"k{number}").sign()))
            for number in range(FLOOD)
        ]
        assert [(await each.ended()).status for each in flood] == [401] * FLOOD
        assert keys.fetches == 2
        for number in range(FLOOD):
            assert await status(app, Key(f"later{number}").sign()) == 401
        assert keys.fetches == 2
        assert await status(app, key().sign()) == 200


async def test_a_new_key_is_found_by_the_token_that_has_it(
    make_guarded: MakeGuarded, keys: KeyServer, clock: Clock
) -> None:
    """The first request with it waits for the fetch, and is answered; a WebSocket too."""
    app = make_guarded(jwks=keys.url, jwt={"jwks_refetch_seconds": 1.0})
    async with running(app):
        await until(app, key().sign(), 200)
        clock.seconds += 1.05
        keys.body = key_set(key().jwk(), key("two").jwk())
        socket = connect(app, "/v1/bidi", bearer(key("two").sign()), OURS)
        await socket.until_sent(1)
        assert socket.sent[0]["type"] == "websocket.accept"
        socket.arrives("websocket.disconnect", code=1000)
        await socket.ended()
    assert keys.fetches == 2


async def test_a_client_that_leaves_does_not_cancel_the_fetch_of_others(
    make_guarded: MakeGuarded, keys: KeyServer
) -> None:
    """The fetch is nobody's own."""
    keys.may_answer.clear()
    async with running(make_guarded(jwks=keys.url)) as app:
        first, second = (
            start(app, "GET", "/v1/echo", headers=bearer(key().sign())) for _ in range(2)
        )
        while not keys.fetches:
            await asyncio.sleep(0.001)
        first.task.cancel()
        await asyncio.gather(first.task, return_exceptions=True)
        keys.may_answer.set()
        assert (await second.ended()).status == 200
    assert keys.fetches == 1


def hostile(**change: Any) -> dict[str, Any]:
    """Returns what a test sets of the server."""
    return change


HOSTILE: dict[str, Any] = {
    "a redirect": hostile(status="302 Found", headers=["location: http://127.0.0.1:1/keys"]),
    "a redirect to itself": hostile(status="301 Moved", headers=["location: /keys"]),
    "an error": hostile(status="500 Oops"),
    "no content": hostile(status="204 No Content", body=b""),
    "not found, with keys": hostile(status="404 Not Found"),
    "huge": hostile(body=b'{"keys": [' + b" " * 300_000 + b"]}"),
    "huge by its length alone": hostile(headers=["content-length: 99999999999"]),
    "slow": hostile(delay=60.0),
    "byte by byte": hostile(drip=0.05),
    "gzip": hostile(body=gzip.compress(key_set(key().jwk())), headers=["content-encoding: gzip"]),
    "no JSON": hostile(body=b"<html>"),
    "nested deep": hostile(body=b'{"keys":' + b"[" * 100_000),
    "a list": hostile(body=b"[]"),
    "no keys": hostile(body=b'{"keys": []}'),
    "keys that are none": hostile(
        body=json.dumps({"keys": [1, None, {}, {"kty": "RSA"}]}).encode()
    ),
    "too many keys": hostile(body=key_set(*[key().jwk(kid=str(n)) for n in range(101)])),
    "the private key": hostile(body=key_set(key().private_jwk())),
    "a secret": hostile(
        body=key_set({"kty": "oct", "k": "c2VjcmV0", "kid": "one", "alg": "HS256"})
    ),
    "for encryption": hostile(body=key_set(key().jwk(use="enc"))),
    "for signing": hostile(body=key_set(key().jwk(key_ops=["sign"]))),
    "for another algorithm": hostile(body=key_set(key().jwk(alg="ES384"))),
    "for none": hostile(body=key_set(key().jwk(alg="none"))),
    "for HS256": hostile(body=key_set(key().jwk(alg="HS256"))),
    "an RSA key of 1024 bits": hostile(body=key_set(key("weak", "RS256", 1024).jwk(kid="one"))),
    "an RSA key of many bits": hostile(
        body=key_set({"kty": "RSA", "kid": "one", "n": "x" * 100_000, "e": "AQAB"})
    ),
    "a point that is on no curve": hostile(body=key_set(key().jwk(x="AA", y="AA"))),
    "a kid that is huge": hostile(body=key_set(key().jwk(kid="x" * 1000))),
    "a kid that is a list": hostile(body=key_set(key().jwk(kid=["one"]))),
    "one id for many keys": hostile(
        body=key_set(key().jwk(), *[Key("one").jwk() for _ in range(3)])
    ),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_key_server_lets_nobody_in(
    make_guarded: MakeGuarded,
    keys: KeyServer,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, Any],
) -> None:
    """Its answer is refused, or the key is; in good time, without a traceback, and nothing else is asked."""
    for name, value in change.items():
        setattr(keys, name, value)
    seconds = 1.0 if change.keys() & {"delay", "drip"} else 30.0
    async with running(make_guarded(jwks=keys.url, jwt={"jwks_timeout_seconds": seconds})) as app:
        async with asyncio.timeout(20):
            got = await ask(app, "GET", "/v1/echo", headers=bearer(key().sign()))
    assert got.status in (401, 503)
    assert got.json["code"] in (UNAUTHENTICATED, UNAVAILABLE)
    assert "Traceback" not in caplog.text
    assert "keys" in caplog.text or got.status == 401
    assert keys.fetches == 1


async def test_what_is_wrong_with_one_key_leaves_the_others(
    make_guarded: MakeGuarded, keys: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out by a line in the log, which has no key."""
    private = Key("two")
    keys.body = key_set(private.private_jwk(), key().jwk(), {"kty": "oct", "k": "c2VjcmV0"})
    async with running(make_guarded(jwks=keys.url)) as app:
        assert await status(app, key().sign()) == 200
        assert await status(app, private.sign()) == 401
    assert "key 0 is left out: it is private" in caplog.text
    assert "c2VjcmV0" not in caplog.text
    assert private.private_jwk()["d"] not in caplog.text


async def test_good_keys_stay_when_the_next_answer_is_hostile(
    make_guarded: MakeGuarded, keys: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set that cannot be used replaces none that can."""
    monkeypatch.setattr(fetched_keys, "MIN_AGE_SECONDS", 0.1)
    keys.headers = ["cache-control: max-age=0"]
    async with running(make_guarded(jwks=keys.url)) as app:
        await until(app, key().sign(), 200)
        keys.body = b'{"keys": []}'
        before = keys.fetches
        while keys.fetches < before + 2:
            await asyncio.sleep(0.01)
            assert await status(app, key().sign()) == 200


async def test_two_keys_with_one_id_are_both_tried(
    make_guarded: MakeGuarded, keys: KeyServer
) -> None:
    """Some issuers have them while they change keys."""
    other = Key("one")
    keys.body = key_set(other.jwk(), key().jwk())
    async with running(make_guarded(jwks=keys.url)) as app:
        assert await status(app, key().sign()) == 200
        assert await status(app, other.sign()) == 200
        assert await status(app, Key("one").sign()) == 401


async def test_a_token_without_a_key_id_is_tried_with_few_keys(
    make_guarded: MakeGuarded, keys: KeyServer
) -> None:
    """With up to three; a large set would make each wrong token expensive."""
    token = key().sign({"kid": None})
    async with running(make_guarded(jwks=keys.url)) as app:
        assert await status(app, token) == 200
    keys.body = key_set(key().jwk(), *[Key(str(n)).jwk() for n in range(3)])
    async with running(make_guarded(jwks=keys.url)) as app:
        assert await status(app, token) == 401
        assert await status(app, key().sign()) == 200


async def test_the_query_of_the_url_is_not_logged(
    make_guarded: MakeGuarded, keys: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have a secret; nor is it in the error that stops the start."""
    keys.broken = True
    async with running(make_guarded(jwks=f"{keys.url}?code=hunter2")) as app:
        assert (await ask(app, "GET", "/v1/echo", headers=bearer(key().sign()))).status == 503
    assert keys.url in caplog.text
    assert "hunter2" not in caplog.text
    with pytest.raises(ValidationError, match="use https") as refused:
        JwtSettings(issuer="a", jwks="http://issuer.example/keys?code=hunter2")
    assert "hunter2" not in refused.value.errors()[0]["msg"]
