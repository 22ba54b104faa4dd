"""The CORS policy alone: which origins are whose, what a response varies by, and what is cached."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.admission.cors import Cors
from gateway.admission.cors_settings import CorsSettings
from gateway.exchange.policy import Answer
from gateway.exchange.request_info import RequestInfo, Wire
from gateway.transcoding.status import PERMISSION_DENIED, StatusError

ALLOWED, VARY = b"access-control-allow-origin", b"vary"
PREFLIGHT_VARY = b"Access-Control-Request-Method, Access-Control-Request-Headers"


async def no_methods(_path: str) -> Collection[str]:
    """Returns the methods of an application without routes."""
    return ()


def cors(*origins: str, **settings: Any) -> Cors:
    """Makes the policy."""
    return Cors(CorsSettings(origins=origins, **settings), no_methods)


def request(http_method: str = "GET", *origins: str, **others: str) -> RequestInfo:
    """Makes a request with these origins and other headers."""
    headers = [(b"origin", origin.encode("latin-1")) for origin in origins]
    headers += [(k.replace("_", "-").encode(), v.encode()) for k, v in others.items()]
    return RequestInfo(http_method=http_method, headers=tuple(headers), allowed_methods=("GET",))


def answered(policy: Cors, asked: RequestInfo) -> dict[bytes, bytes]:
    """Returns the headers of the response to a request that is admitted."""
    assert policy.admit(asked) is None
    return dict(asked.response_headers)


ONE, PORT, BELOW, SIX = (
    "https://app.example",
    "http://app.example:8080",
    "https://*.example.com",
    "http://[::1]:3000",
)


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        (ONE, "https://app.example", True),
        ("HTTPS://App.Example:443", "https://app.example", True),
        (ONE, "HTTPS://APP.EXAMPLE", True),
        (ONE, "https://app.example:443", True),
        (ONE, "http://app.example", False),
        (ONE, "https://app.example:8443", False),
        (ONE, "https://app.example.", False),
        (ONE, "https://app.example.evil.test", False),
        (ONE, "https://evilapp.example", False),
        (ONE, "https://evil.test/https://app.example", False),
        (ONE, "https://app.example@evil.test", False),
        (ONE, "https://evil.test#https://app.example", False),
        (ONE, "https://app.example, https://evil.test", False),
        (ONE, "https://app.example https://evil.test", False),
        (ONE, "https://app.example\x00", False),
        (ONE, "null", False),
        (ONE, "*", False),
        (ONE, "\xe9", False),
        (PORT, "http://app.example:8080", True),
        (PORT, "http://app.example:08080", True),
        (PORT, "http://app.example", False),
        ("http://app.example:80", "http://app.example", True),
        (BELOW, "https://a.example.com", True),
        (BELOW, "https://a.b.c.example.com", True),
        (BELOW, "https://A.Example.COM:443", True),
        (BELOW, "https://example.com", False),
        (BELOW, "https://.example.com", False),
        (BELOW, "https://a..example.com", False),
        (BELOW, "https://aexample.com", False),
        (BELOW, "https://a.example.com.evil.test", False),
        (BELOW, "https://a.example.com:8443", False),
        (BELOW, "http://a.example.com", False),
        ("https://*.example.com:8443", "https://a.example.com:8443", True),
        ("https://*.example.com:443", "https://a.example.com", True),
        ("http://*.localhost:3000", "http://a.localhost:3000", True),
        (SIX, "http://[::1]:3000", True),
        (SIX, "http://[0:0::1]:3000", True),
        (SIX, "http://[::2]:3000", False),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]", True),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", True),
        ("capacitor://localhost", "capacitor://localhost", True),
    ],
)
def test_an_origin_is_listed_or_not(listed: str, origin: str, *, allowed: bool) -> None:
    """The header repeats it as it came, which is what its browser compares with."""
    policy = cors(listed)
    for _ in range(2):  # the second time from the cache
        headers = answered(policy, request("GET", origin))
        assert headers.get(ALLOWED) == (origin.encode("latin-1") if allowed else None)
        assert headers[VARY] == b"Origin"


@pytest.mark.parametrize("wire", list(Wire))
def test_several_origins_are_none(wire: Wire) -> None:
    """No browser sends them; a proxy that joins them must not make one of them count."""
    asked = request("POST", ONE, ONE)
    asked.wire = wire
    policy = cors(ONE)
    with pytest.raises(StatusError) as refused:
        policy.admit(asked)
    assert refused.value.code == PERMISSION_DENIED


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("null", "'null' is not an origin: every sandboxed frame"),
        ("https://bücher.example", "write an international name in ASCII"),
        ("https://*", "'https://*' is not an origin: * stands for whole labels"),
        ("https://a.*.example", "* stands for whole labels"),
        ("https://app*.example.com", "* stands for whole labels"),
        ("*.example.com", "* stands for whole labels"),
        ("https://*.com", "'https://*.com' is too wide: after"),
        ("https://*.0.0.1", "is too wide"),
        ("https://*.[::1]", "is too wide"),
        ("https://*.example..com", "is too wide"),
        ("https://*.example.com/", "'https://*.example.com/' is not an origin"),
        ("https://*.*.example.com", "'https://*.*.example.com' is not an origin"),
        ("https://app.example/", "'https://app.example/' is not an origin"),
        ("app.example", "'app.example' is not an origin"),
    ],
)
def test_a_wrong_item_says_what_to_write(wrong: str, says: str) -> None:
    """At the start, with the item as it was written."""
    with pytest.raises(ValidationError) as refused:
        cors(ONE, wrong)
    assert says in str(refused.value)


def test_any_origin_has_one_answer() -> None:
    """So it does not vary, not even for requests without an origin; `null` is any too."""
    policy = cors("*")
    expected = answered(policy, request("GET"))

    assert expected[ALLOWED] == b"*"
    assert VARY not in expected
    for origin in (ONE, "null", "nonsense"):
        for http_method in ("GET", "POST"):
            assert answered(policy, request(http_method, origin)) == expected


def test_credentials_are_not_for_any_origin() -> None:
    """Browsers refuse the two together, and so does the start."""
    with pytest.raises(ValidationError, match="not with \\*, which is every origin"):
        cors("*", credentials=True)
    headers = answered(cors(ONE, credentials=True), request("GET", ONE))
    assert headers[b"access-control-allow-credentials"] == b"true"


def preflight(policy: Cors, origin: str = ONE, **others: str) -> dict[bytes, bytes]:
    """Returns the headers of the answer to a preflight request that the contract has."""
    asked = request("OPTIONS", origin, access_control_request_method="GET", **others)
    with pytest.raises(Answer) as answer:
        policy.admit(asked)
    assert answer.value.http_status == 204
    return dict((*asked.response_headers, *answer.value.headers))


def test_a_preflight_varies_by_what_it_asks() -> None:
    """And by the origin, if not any has the same answer."""
    assert preflight(cors(ONE))[VARY] == b"Origin, " + PREFLIGHT_VARY
    assert preflight(cors("*"))[VARY] == PREFLIGHT_VARY
    network = preflight(cors(ONE, private_network=True))[VARY]
    assert network == b"Origin, " + PREFLIGHT_VARY + b", Access-Control-Request-Private-Network"


@pytest.mark.parametrize(
    ("setting", "asked", "allowed"),
    [(True, "true", True), (True, "", False), (False, "true", False)],
)
def test_a_private_network_is_opened_by_a_setting(
    asked: str, *, setting: bool, allowed: bool
) -> None:
    """Where a browser asks for it."""
    others = {"access_control_request_private_network": asked} if asked else {}
    headers = preflight(cors(ONE, private_network=setting), **others)

    assert (b"access-control-allow-private-network" in headers) is allowed


def test_settings_add_to_the_lists() -> None:
    """Names in any case; the time is the setting's."""
    policy = cors(ONE, headers=("X-Tenant",), exposed_headers=("X-Cost",), max_age_seconds=5)
    headers = preflight(policy)

    assert b"x-tenant" in headers[b"access-control-allow-headers"].split(b", ")
    assert headers[b"access-control-max-age"] == b"5"
    exposed = answered(policy, request("GET", ONE))[b"access-control-expose-headers"]
    assert {b"x-cost", b"x-request-id"} < set(exposed.split(b", "))


def test_requested_headers_are_bounded() -> None:
    """A flood of names of metadata, or one that is long, is not repeated."""
    many = ",".join(f"grpc-metadata-{n}" for n in range(1000))
    names = preflight(cors(ONE), access_control_request_headers=many)
    assert names[b"access-control-allow-headers"].count(b"grpc-metadata-") == 64
    long = "grpc-metadata-" + "x" * 1000
    names = preflight(cors(ONE), access_control_request_headers=long)
    assert b"grpc-metadata-" not in names[b"access-control-allow-headers"]


@pytest.mark.parametrize(
    ("origin", "headers", "scheme", "allowed"),
    [
        ("https://edge.example", {"host": "edge.example"}, "https", True),
        ("https://edge.example", {"host": "edge.example"}, "http", True),
        ("http://edge.example:8080", {"host": "edge.example:8080"}, "http", True),
        ("http://edge.example", {"host": "edge.example"}, "https", False),
        (
            "https://edge.example",
            {"host": "inner.test", "sec_fetch_site": "same-origin"},
            "http",
            True,
        ),
        ("null", {"host": "edge.example", "sec_fetch_site": "same-origin"}, "https", True),
        (
            "https://evil.test",
            {"host": "edge.example", "sec_fetch_site": "cross-site"},
            "https",
            False,
        ),
        (
            "https://evil.test",
            {"host": "edge.example", "sec_fetch_site": "same-site"},
            "https",
            False,
        ),
        ("https://evil.test", {"host": "edge.example", "sec_fetch_site": "none"}, "https", False),
        ("https://edge.example", {"host": "inner.test"}, "https", False),
        ("null", {"host": "null"}, "https", False),
        ("https://edge.example", {}, "https", False),
    ],
)
def test_only_own_and_listed_pages_send_unsafe_requests(
    origin: str, headers: dict[str, str], scheme: str, *, allowed: bool
) -> None:
    """A browser would keep the answer from another page, but the call would have been made."""
    policy = cors(ONE)
    for http_method in ("POST", "PUT", "PATCH", "DELETE", "REPORT"):
        asked = request(http_method, origin, **headers)
        asked.scheme = scheme
        if allowed:
            assert answered(policy, asked) == {VARY: b"Origin"}
            continue
        with pytest.raises(StatusError) as refused:
            policy.admit(asked)
        assert refused.value.code == PERMISSION_DENIED
        assert dict(asked.response_headers) == {VARY: b"Origin"}
    for http_method in ("GET", "HEAD", "OPTIONS"):
        assert answered(policy, request(http_method, origin, **headers)) == {VARY: b"Origin"}


def test_clients_that_are_no_browsers_are_not_concerned() -> None:
    """They send no origin, and may send anything."""
    assert answered(cors(ONE), request("DELETE")) == {VARY: b"Origin"}


def test_the_cache_of_origins_is_bounded() -> None:
    """Whatever callers send; listed origins still get their answer."""
    policy = cors(ONE)
    for number in range(5000):
        policy.admit(request("GET", f"https://{number}.evil.test"))
        policy.admit(request("GET", f"https://{number}{'x' * 1000}"))

    assert len(policy._seen) <= 1024
    assert max(map(len, policy._seen)) < 100
    assert answered(policy, request("GET", ONE))[ALLOWED] == ONE.encode()
