"""Settings files of admission, from which both edges are made; and the requests that they are sent."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.edge.authentication.tokens import (
    Key,
    bearer,
    claims_of,
    key,
    key_set,
    part,
)

OTHER_ISSUER = "https://other.example"
_JWT = """
jwt:
  realm: edge
  issuers:
    - issuer: https://issuer.example
      audiences: [echo, second]
      jwks: {folder}/keys.json
      algorithms: [ES256]
      claim_metadata: {sub: x-user, level: x-level}
    - issuer: https://other.example
      audiences: [echo]
      jwks: {folder}/other.json
      algorithms: [RS256]
"""
_METADATA = """
metadata:
  request_headers: [x-user, x-level]
  response_headers: [x-user, x-level, authorization]
"""
_RIGHTS = """
rights:
  rules:
    - {requests: echo.v1.Echo/Fail, anonymous: true}
    - {requests: echo.v1.Echo/Unary, scopes: [read]}
    - {requests: echo.v1.Echo/ServerStream, identity: any}
    - {requests: echo.v1.Echo/ClientStream, roles: [admin, root]}
    - requests: echo.v1.Echo/Bidi
      claims: {level: {at_least: 3, below: 5}, org.team: blue, active: true}
    - requests: echo.v1.Echo/FailStream
      names: [ann, bob]
      issuers: [https://issuer.example, https://other.example]
    - {requests: echo.v1.Echo/Hang, nobody: true}
"""
_OPEN = """
rights: {rules: [{requests: echo.v1.Echo/*, anonymous: true}]}
"""
CORS = """
cors: {origins: ["https://app.example"], credentials: true}
"""
SECTIONS = {
    "tokens": _JWT + _METADATA + CORS,
    "rights": _JWT + _METADATA + _RIGHTS,
    "closed": _RIGHTS,
    "open": _JWT.replace("realm: edge", "forward_token: false") + _METADATA + _OPEN,
}
"""Name of a pair of edges -> its settings file; `{folder}` is that of the files beside it."""
COMPARED = ("allow", "retry-after", "x-user", "x-level")
"""The headers of answers that are compared; the echo server answers with its metadata."""


def write_files(folder: Path) -> None:
    """Writes the files of keys."""
    (folder / "keys.json").write_bytes(key_set(key().jwk()))
    (folder / "other.json").write_bytes(key_set(key("rsa", "RS256").jwk()))


def _forged(**header: Any) -> str:
    return f"{part(header)}.{part(claims_of())}."


def _by_public_key() -> str:
    """Returns a token whose HMAC has the public key as its secret."""
    text = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims_of())}"
    return f"{text}.{part(hmac.digest(key().pem(), text.encode(), sha256))}"


@cache
def tokens() -> dict[str, str]:
    """Returns credential -> token."""
    now = int(time.time())
    good = key().sign
    head, _, signature = good().split(".")
    return {
        "good": good(),
        "with-scopes": good(scope="read write"),
        "one-scope": good(scope="read"),
        "scopes-as-a-list": good(scope=["write", "read"]),
        "other-scope": good(scope="readers"),
        "role": good(roles=["admin"]),
        "role-as-text": good(roles="user root"),
        "other-role": good(roles=["user"]),
        "all-claims": good(level=3, org={"team": "blue"}, active=True),
        "high-level": good(level=5, org={"team": "blue"}, active=True),
        "low-level": good(level=2.5, org={"team": "blue"}, active=True),
        "level-as-text": good(level="3", org={"team": "blue"}, active=True),
        "other-team": good(level=3, org={"team": "red"}, active=True),
        "not-active": good(level=3, org={"team": "blue"}, active=False),
        "active-as-number": good(level=3, org={"team": "blue"}, active=1),
        "bob": good(sub="bob"),
        "eve": good(sub="eve"),
        "several-audiences": good(aud=["x", "second"]),
        "other-issuer": key("rsa", "RS256").sign(iss=OTHER_ISSUER, scope="read"),
        "within-the-skew": good(exp=now - 30),
        "expired": good(exp=now - 1000),
        "not-yet": good(nbf=now + 1000),
        "without-exp": good(exp=None),
        "without-sub": good(sub=None),
        "without-audience": good(aud=None),
        "wrong-audience": good(aud="else"),
        "wrong-issuer": good(iss="https://evil.example"),
        "without-issuer": good(iss=None),
        "issuer-of-another-key": good(iss=OTHER_ISSUER),
        "alg-none": _forged(alg="none", typ="JWT"),
        "alg-hs256-with-the-public-key": _by_public_key(),
        "alg-of-another-key": key("rsa", "RS256").sign(),
        "a-strangers-signature": Key("one").sign(),
        "unknown-kid": Key("two").sign(),
        "key-in-the-header": (stranger := Key("one")).sign({"jwk": stranger.jwk()}),
        "changed-payload": f"{head}.{part(claims_of(sub='root'))}.{signature}",
        "not-a-token": "abc",
        "of-another-type": good({"typ": "logout+jwt"}),
    }


_REFUSED = (
    *("expired", "not-yet", "without-exp", "without-sub", "without-audience", "wrong-audience"),
    *("wrong-issuer", "without-issuer", "issuer-of-another-key", "alg-none"),
    *("alg-hs256-with-the-public-key", "alg-of-another-key", "a-strangers-signature"),
    *("unknown-kid", "key-in-the-header", "changed-payload", "not-a-token", "of-another-type"),
)
_ACCEPTED = ("good", "several-audiences", "other-issuer")
_FORGED = {"x-user": "root", "x-level": "9"}
Request = tuple[str, str, str, str, dict[str, str], bytes | None]
"""Server, name, HTTP method, target, headers, body."""
_JSON = {"content-type": "application/json"}
_GET, _POST = ("GET", "/v1/echo?int32_field=1", None), ("POST", "/v1/echo", b'{"int32Field":1}')
_STREAM = ("GET", "/v1/stream/a?int32_field=2", None)
_UPLOAD, _BIDI = ("POST", "/v1/upload", b"[]"), ("POST", "/v1/bidi", b"[]")
_NOTHING, _UNBOUND = ("GET", "/v1/nothing", None), ("GET", "/v1/hang-stream", None)
_FAIL, _NOBODY = ("GET", "/v1/fail/5?message=why", None), ("GET", "/v1/hang", None)
_NAMED = ("GET", "/v1/fail-stream/5?message=why", None)

RIGHTS: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("unary", _GET, ("", "good", "with-scopes", "one-scope", "scopes-as-a-list", "other-scope")),
    ("unary-post", _POST, ("", "good", "with-scopes", "expired", "alg-none")),
    ("stream", _STREAM, ("", "good", "other-issuer", "wrong-issuer")),
    ("upload", _UPLOAD, ("", "role", "role-as-text", "other-role", "good")),
    (
        "claims",
        _BIDI,
        (
            *("", "all-claims", "high-level", "low-level", "level-as-text", "other-team"),
            *("not-active", "active-as-number", "good"),
        ),
    ),
    ("names", _NAMED, ("", "good", "bob", "eve")),
    ("anonymous", _FAIL, ("", "good", "expired", "a-strangers-signature")),
    ("nobody", _NOBODY, ("", "good")),
    ("no-rule", _UNBOUND, ("", "good")),
    ("unknown-path", _NOTHING, ("", "good")),
)
"""Name, request, credentials."""


def requests() -> list[Request]:
    """Returns all requests."""
    return [*_tokens(), *_schemes(), *_cors(), *_rights(), *_open()]


def _request(server: str, name: str, request: Any, credential: str, **more: str) -> Request:
    headers = bearer(tokens()[credential]) if credential else {}
    method, target, body = request
    headers |= (_JSON if body is not None else {}) | _FORGED | more
    return server, f"{name}/{credential or 'nothing'}", method, target, headers, body


def _tokens() -> Iterator[Request]:
    for credential in ("", *_ACCEPTED, *_REFUSED):
        yield _request("tokens", "tokens", _GET, credential)
    for name, request in (("post", _POST), ("stream", _STREAM), ("unknown-path", _NOTHING)):
        for credential in ("", "good", "expired"):
            yield _request("tokens", f"tokens-{name}", request, credential)


def _schemes() -> Iterator[Request]:
    for name, value in (
        ("basic", "Basic YTpi"),
        ("lower-case", f"bearer {tokens()['good']}"),
        ("empty", "Bearer"),
    ):
        yield "tokens", f"tokens-scheme/{name}", "GET", _GET[1], {"authorization": value}, None
    target = f"/v1/echo?access_token={tokens()['good']}"
    yield "tokens", "tokens-scheme/in-the-query", "GET", target, {}, None


def _cors() -> Iterator[Request]:
    origin = {"origin": "https://app.example"}
    asks = origin | {"access-control-request-method": "GET"}
    yield "tokens", "tokens-cors/preflight", "OPTIONS", "/v1/echo", asks, None
    for credential in ("", "good"):
        yield _request("tokens", "tokens-cors", _GET, credential, **origin)


def _rights() -> Iterator[Request]:
    for name, request, credentials in RIGHTS:
        for credential in credentials:
            yield _request("rights", f"rights-{name}", request, credential)
    for name, request in (("unary", _GET), ("anonymous", _FAIL), ("nobody", _NOBODY)):
        for credential in ("", "good"):
            yield _request("closed", f"closed-{name}", request, credential)


def _open() -> Iterator[Request]:
    for credential in ("", "good", "expired"):
        yield _request("open", "open", _GET, credential)
    yield _request("open", "open-basic", _GET, "", authorization="Basic YTpi")
