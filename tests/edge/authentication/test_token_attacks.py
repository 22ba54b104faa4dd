"""Attacks by tokens: none of them comes in, on any door, and none is answered with a fault of the edge."""

from __future__ import annotations

import hmac
import logging
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from jwt.algorithms import ECAlgorithm

from gateway.transcoding.status import INVALID_ARGUMENT, UNAUTHENTICATED
from tests.edge.asgi import Request, connect, http_scope, running
from tests.edge.authentication.conftest import MakeGuarded
from tests.edge.authentication.key_server import serving_keys
from tests.edge.authentication.tokens import (
    Key,
    bearer,
    claims_of,
    key,
    key_set,
    part,
    write_keys,
)
from tests.edge.test_direct import answer
from tests.edge.test_policies import OURS, Ask, by_asgi, by_websocket, directly

DOORS = pytest.mark.parametrize("door", [by_asgi, directly, by_websocket])


def forged(header: dict[str, Any], signature: bytes = b"", payload: Any = None) -> str:
    """Returns a token of any header, with a signature of the attacker's choice."""
    return f"{part(header)}.{part(claims_of() if payload is None else payload)}.{part(signature)}"


def by_hmac(secret: bytes, **header: Any) -> str:
    """Returns a token that a secret signs, which is no secret."""
    text = forged({"alg": "HS256", "typ": "JWT", **header}).rpartition(".")[0]
    return f"{text}.{part(hmac.digest(secret, text.encode(), sha256))}"


def signed_to_the_letter(header: dict[str, Any]) -> str:
    """Returns a token with a good signature, whose header is as given."""
    text = forged(header).rpartition(".")[0]
    algorithm = ECAlgorithm(ECAlgorithm.SHA256)
    return f"{text}.{part(algorithm.sign(text.encode(), key().private))}"


STRANGER = Key("one")
"""A key of the attacker's, with the id of a good one."""
DEEP = b'{"alg":"ES256","a":' + b"[" * 600 + b"]" * 600 + b"}"

TOKENS: dict[str, Any] = {
    "alg none": forged({"alg": "none", "typ": "JWT"}),
    "alg None with a signature": forged({"alg": "None", "kid": "one"}, b"x" * 64),
    "no alg": forged({"typ": "JWT"}),
    "alg is a list": forged({"alg": ["ES256"]}),
    "HS256 with the public key as PEM": by_hmac(key().pem(), kid="one"),
    "HS256 with the public key as PEM, no kid": by_hmac(key().pem()),
    "HS256 with the public key's JSON": by_hmac(part(key().jwk()).encode(), kid="one"),
    "HS256 with nothing": by_hmac(b"", kid="one"),
    "another algorithm than the key's": key("rsa", "RS256").sign({"kid": "one"}),
    "a stranger's signature": STRANGER.sign(),
    "a signature of zeros": forged({"alg": "ES256", "kid": "one"}, bytes(64)),
    "a signature that is empty": forged({"alg": "ES256", "kid": "one"}),
    "a changed payload": ".".join(
        [(t := key().sign().split("."))[0], part(claims_of(sub="root")), t[2]]
    ),
    "kid is a path": STRANGER.sign({"kid": "../../../../dev/null"}),
    "kid is SQL": STRANGER.sign({"kid": "x' UNION SELECT 'secret' --"}),
    "kid is a command": STRANGER.sign({"kid": "| id"}),
    "kid is empty": STRANGER.sign({"kid": ""}),
    "kid is huge": forged({"alg": "ES256", "kid": "k" * 1000}, b"x" * 64),
    "kid is a number": forged({"alg": "ES256", "kid": 1}, b"x" * 64),
    "kid is a list": forged({"alg": "ES256", "kid": ["one"]}, b"x" * 64),
    "the header has the attacker's key": STRANGER.sign({"jwk": STRANGER.jwk()}),
    "the header has the address of keys": STRANGER.sign({"jku": "http://127.0.0.1:9/keys"}),
    "the header has the address of a certificate": STRANGER.sign({"x5u": "http://127.0.0.1:9/c"}),
    "the header has a certificate": STRANGER.sign({"x5c": ["MIIB"]}),
    "crit": key().sign({"crit": ["x"], "x": 1}),
    "crit, empty": key().sign({"crit": []}),
    "crit with b64": key().sign({"crit": ["b64"], "b64": True}),
    "b64 is false": forged({"alg": "ES256", "kid": "one", "b64": False, "crit": ["b64"]}),
    "b64 without crit": signed_to_the_letter({"alg": "ES256", "kid": "one", "b64": True}),
    "encrypted": ".".join(
        [part({"alg": "dir", "enc": "A256GCM"}), "", part(b"iv"), part(b"c"), part(b"t")]
    ),
    "nested": forged(
        {"alg": "ES256", "kid": "one", "cty": "JWT"}, b"x" * 64, key().sign().encode()
    ),
    "the payload is a list": forged({"alg": "ES256", "kid": "one"}, b"x" * 64, []),
    "the payload is no JSON": forged({"alg": "ES256", "kid": "one"}, b"x" * 64, b"{"),
    "the header is no JSON": f"{part(b'{')}.{part(claims_of())}.{part(b'x')}",
    "the header is nested deep": f"{part(DEEP)}.{part(claims_of())}.{part(b'x')}",
    "no dots": "abc",
    "dots alone": "..",
    "two parts": "a.b",
    "not base64": "!!!.???.***",
    "a space inside": f"{key().sign()} x",
    "a comma behind": f"{key().sign()},x",
    "padded": f"{key().sign()}=",
    "junk in the signature": f"{key().sign()[:-4]}!!!!{key().sign()[-4:]}",
    "a letter beyond ASCII": f"{key().sign()}\xe9",
    "oversized": key().sign(filler="x" * 9000),
}


@DOORS
@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
async def test_a_forged_token_is_refused(
    make_guarded: MakeGuarded, caplog: pytest.LogCaptureFixture, door: Ask, token: str
) -> None:
    """By 401 and UNAUTHENTICATED, without a fault in the log, and without the token there."""
    caplog.set_level(logging.DEBUG)
    async with running(make_guarded()) as app:
        status, body = await door(app, "/v1/echo", bearer(token))
    assert (status, body["code"]) == (401, UNAUTHENTICATED)
    assert "Traceback" not in caplog.text
    assert len(token) < 10 or token not in caplog.text + str(body)


@pytest.mark.parametrize("member", ["jku", "x5u"])
async def test_no_address_in_a_token_is_asked(make_guarded: MakeGuarded, member: str) -> None:
    """Though the attacker's keys are there."""
    async with serving_keys() as keys, running(make_guarded()) as app:
        keys.body = key_set(STRANGER.jwk())
        for kid in ("one", "other"):
            token = STRANGER.sign({member: keys.url, "kid": kid})
            assert (await by_asgi(app, "/v1/echo", bearer(token)))[0] == 401
    assert keys.fetches == 0


@pytest.mark.parametrize("algorithm", ["RS384", "PS256", "RS512"])
async def test_an_algorithm_that_is_not_set_is_refused(
    make_guarded: MakeGuarded, tmp_path: Path, algorithm: str
) -> None:
    """Though the key could verify it and the signature is good."""
    signing = key("rsa", "RS256")
    members = signing.jwk()
    del members["alg"]
    async with running(make_guarded(jwks=write_keys(tmp_path, members))) as app:
        for alg, status in (("RS256", 200), (algorithm, 401)):
            other = Key.__new__(Key)
            other.kid, other.algorithm, other.private = "rsa", alg, signing.private
            assert (await by_asgi(app, "/v1/echo", bearer(other.sign())))[0] == status


async def test_the_keys_own_algorithm_counts(make_guarded: MakeGuarded, tmp_path: Path) -> None:
    """A key that is for RS256 verifies no RS512, even if the issuer may use that."""
    signing = key("rsa", "RS256")
    app = make_guarded(jwks=write_keys(tmp_path, signing.jwk()), algorithms=("RS256", "RS512"))
    other = Key.__new__(Key)
    other.kid, other.algorithm, other.private = "rsa", "RS512", signing.private
    async with running(app):
        assert (await by_asgi(app, "/v1/echo", bearer(other.sign())))[0] == 401


@pytest.mark.parametrize("door", [by_asgi, directly, by_websocket])
@pytest.mark.parametrize(
    "query", ["access_token=TOKEN", "a=1&access_token=TOKEN", "%61ccess_token=access_token"]
)
async def test_a_token_in_the_query_is_refused_with_words(
    make_guarded: MakeGuarded, door: Ask, query: str
) -> None:
    """Even beside a good one: the query ends up in logs (RFC 9700, 4.3.2). The words name no token."""
    query = query.replace("TOKEN", key().sign())
    async with running(make_guarded()) as app:
        if door is by_websocket:
            socket = await connect(app, f"/v1/bidi?{query}", bearer(key().sign()), OURS).ended()
            status, body = socket.status, socket.json
        else:
            status, body = await door(app, f"/v1/echo?{query}", bearer(key().sign()))
    assert (status, body["code"]) == (400, INVALID_ARGUMENT)
    assert body["message"].startswith("access_token is in the query")


async def test_a_token_in_the_query_is_none(make_guarded: MakeGuarded) -> None:
    """Where the contract may have a field of that name, the token is not taken from it."""
    async with running(make_guarded(jwt={"refuse_query_token": False})) as app:
        status, _ = await by_asgi(app, f"/v1/echo?access_token={key().sign()}", {})
    assert status == 401


async def test_two_authorization_headers_are_refused(make_guarded: MakeGuarded) -> None:
    """Whichever is good: 400 with `invalid_request`, on both doors."""
    good, other = key().sign(), "Basic eDp5"
    async with running(make_guarded()) as app:
        for first, second in ((f"Bearer {good}", other), (other, f"Bearer {good}")):
            scope = http_scope("GET", "/v1/echo")
            scope["headers"] = [(b"authorization", each.encode()) for each in (first, second)]
            request = Request(app, scope)
            request.arrives("http.request", body=b"", more_body=False)
            await request.ended()
            lines = f"authorization: {first}\r\nAuthorization: {second}\r\n"
            head = f"GET /v1/echo HTTP/1.1\r\nhost: x\r\n{lines}\r\n"
            status, headers, body = await answer(app, head.encode())
            assert (request.status, request.json["code"]) == (status, body["code"])
            assert (status, body["code"]) == (400, INVALID_ARGUMENT)
            assert b'error="invalid_request"' in headers[b"www-authenticate"]


@DOORS
@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("Bearer", 400),
        ("Bearer  ", 400),
        ("bearer TOKEN", 200),
        ("BEARER  TOKEN", 200),
        ("Basic TOKEN", 401),
        ("Token TOKEN", 401),
        ("TOKEN", 401),
        ("", 401),
        ("Bearer\tTOKEN", 401),
    ],
)
async def test_forms_of_authorization(
    make_guarded: MakeGuarded, door: Ask, value: str, status: int
) -> None:
    """The scheme has no case; another scheme is no token (RFC 9110, 11.1)."""
    header = {"authorization": value.replace("TOKEN", key().sign())}
    async with running(make_guarded()) as app:
        if door is by_websocket and status == 200:
            return
        assert (await door(app, "/v1/echo", header))[0] == status
