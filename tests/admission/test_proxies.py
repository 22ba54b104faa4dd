"""Who calls: what of the proxies' headers is believed, and what the gRPC server is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.admission.admission import Admission
from gateway.admission.networks import Networks
from gateway.admission.proxies import Caller, Proxies
from gateway.admission.proxy_settings import ProxySettings
from gateway.exchange.request_info import RequestInfo
from gateway.settings import Settings
from gateway.transcoding.status import INVALID_ARGUMENT, StatusError

PROXY = "10.0.0.1"
TRUSTED = ("10.0.0.0/8", "2001:db8:1::/48", "loopback", "unix")
HEADERS = dict[str, str | list[str]]


def caller(said: HEADERS, peer: str = PROXY, scheme: str = "http", **section: Any) -> Caller:
    """Returns who calls behind a peer."""
    proxies = Proxies(ProxySettings(**{"trusted": TRUSTED, **section}))
    pairs = [
        (name.encode(), value.encode())
        for name, values in {"host": "edge.example", **said}.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return proxies.caller(peer, scheme, pairs)


def xff(*values: str) -> HEADERS:
    """Returns the lines of X-Forwarded-For."""
    return {"x-forwarded-for": list(values)}


CLIENT = "203.0.113.7"


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        # believed
        (PROXY, xff(CLIENT), CLIENT),
        ("127.0.0.1", xff(CLIENT), CLIENT),
        ("::1", xff(CLIENT), CLIENT),
        ("::ffff:10.0.0.1", xff(CLIENT), CLIENT),
        ("2001:db8:1::9", xff(CLIENT), CLIENT),
        ("", xff(CLIENT), CLIENT),
        (PROXY, xff(f"{CLIENT}:55001"), CLIENT),
        (PROXY, xff("2001:db8::7"), "2001:db8::7"),
        (PROXY, xff("[2001:DB8::7]:443"), "2001:db8::7"),
        (PROXY, xff(f"{CLIENT}, 10.0.0.2, 10.0.0.3"), CLIENT),
        (PROXY, xff(f"{CLIENT}, 2001:db8:1::2"), CLIENT),
        (PROXY, xff(CLIENT, "10.0.0.2"), CLIENT),
        # spoofed: what a client has sent stands left of what its proxy has written
        (PROXY, xff(f"198.51.100.1, {CLIENT}"), CLIENT),
        (PROXY, xff("198.51.100.1", CLIENT), CLIENT),
        (PROXY, xff(f"127.0.0.1, {CLIENT}"), CLIENT),
        (PROXY, xff(f"10.0.0.9, {CLIENT}, 10.0.0.2"), CLIENT),
        (PROXY, xff(f'garbage", unknown, _x, {CLIENT}'), CLIENT),
        (PROXY, xff(", ".join([*["198.51.100.1"] * 100, CLIENT])), CLIENT),
        (PROXY, xff(*["198.51.100.1"] * 100, CLIENT), CLIENT),
        ("203.0.113.200", xff(CLIENT), "203.0.113.200"),
        ("203.0.113.200", xff("127.0.0.1"), "203.0.113.200"),
        # nobody is named: the last proxy that is known
        (PROXY, {}, PROXY),
        (PROXY, xff(""), PROXY),
        (PROXY, xff("unknown"), PROXY),
        (PROXY, xff("_hidden"), PROXY),
        (PROXY, xff(f"{CLIENT}, unknown"), PROXY),
        (PROXY, xff(f"{CLIENT},"), PROXY),
        (PROXY, xff(f"{CLIENT}, garbage, 10.0.0.2"), "10.0.0.2"),
        (PROXY, xff("fe80::1%eth0"), PROXY),
        # all are proxies: the first one; of more than 32 the 32nd
        (PROXY, xff("10.0.0.3, 10.0.0.2"), "10.0.0.3"),
        (PROXY, xff(", ".join([CLIENT, *(f"10.0.1.{n}" for n in range(100))])), "10.0.1.68"),
        ("", {}, ""),
        # the other family
        (PROXY, {"forwarded": f"for={CLIENT}"}, PROXY),
        (PROXY, {"forwarded": "for=198.51.100.1", **xff(CLIENT)}, CLIENT),
        (PROXY, {"x-real-ip": CLIENT}, PROXY),
    ],
)
def test_the_address(peer: str, headers: HEADERS, client: str) -> None:
    """The right-most in X-Forwarded-For that is no trusted proxy's."""
    told = caller(headers, peer)

    assert told.client == client
    assert dict(told.metadata)["x-forwarded-for"] == (client or "unknown")


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        (PROXY, f"for={CLIENT}", CLIENT),
        (PROXY, f'for="{CLIENT}:1";by=10.0.0.1, For=10.0.0.2', CLIENT),
        (PROXY, 'for="[2001:db8::7]:80"', "2001:db8::7"),
        (PROXY, ["for=198.51.100.1", f"for={CLIENT}"], CLIENT),
        (PROXY, ['for="', f"for={CLIENT}"], CLIENT),
        (PROXY, f"for=198.51.100.1, for={CLIENT}", CLIENT),
        (PROXY, "for=unknown", PROXY),
        (PROXY, "for=_x", PROXY),
        (PROXY, "proto=https", PROXY),
        ("203.0.113.200", 'for="', "203.0.113.200"),
        ("203.0.113.200", "for=127.0.0.1", "203.0.113.200"),
    ],
)
def test_the_address_in_forwarded(peer: str, headers: str | list[str], client: str) -> None:
    """The same, by RFC 7239; X-Forwarded-For beside it counts for nothing."""
    both: HEADERS = {"forwarded": headers, "x-forwarded-for": "192.0.2.250"}

    assert caller(both, peer, headers="forwarded").client == client


def test_a_broken_forwarded_is_refused() -> None:
    """By which a client could hide behind its proxy's address; but no health check is refused."""
    proxies = Proxies(ProxySettings(trusted=TRUSTED, headers="forwarded"), frozenset({"/healthz"}))
    headers = ((b"forwarded", b'for=", for=203.0.113.7'),)

    with pytest.raises(StatusError) as refused:
        proxies.admit(RequestInfo(path="/v1/a", headers=headers, client=PROXY))
    assert refused.value.code == INVALID_ARGUMENT
    assert refused.value.status.message.startswith("Forwarded: ")
    proxies.admit(RequestInfo(path="/healthz", headers=headers, client=PROXY))
    proxies.admit(RequestInfo(path="/v1/a", headers=headers, client=CLIENT))


@pytest.mark.parametrize(
    ("peer", "hops", "proto", "scheme"),
    [
        (PROXY, CLIENT, "https", "https"),
        (PROXY, CLIENT, "WSS", "https"),
        (PROXY, CLIENT, "http", "http"),
        (PROXY, CLIENT, "https, http", "http"),  # the client has sent the first
        (PROXY, f"{CLIENT}, 10.0.0.2", "https, http", "https"),
        (PROXY, f"{CLIENT}, 10.0.0.2", "https", "https"),
        (PROXY, "", "https", "https"),
        (PROXY, CLIENT, "", "http"),
        (PROXY, CLIENT, "javascript", "http"),
        (CLIENT, "", "https", "http"),
    ],
)
def test_the_scheme(peer: str, hops: str, proto: str, scheme: str) -> None:
    """That which the client's proxy has written; that of the connection if it has written none."""
    headers: HEADERS = {"x-forwarded-for": hops, "x-forwarded-proto": proto}

    told = caller(headers, peer)

    assert (told.scheme, dict(told.metadata)["x-forwarded-proto"]) == (scheme, scheme)


def test_a_proxy_may_speak_tls_for_a_client_that_does_not() -> None:
    """The scheme is the client's, not that of the connection to the edge."""
    assert caller({"x-forwarded-proto": "http"}, scheme="https").scheme == "http"
    assert caller({}, scheme="https").scheme == "https"
    assert caller({"x-forwarded-proto": "http"}, CLIENT, "https").scheme == "https"


@pytest.mark.parametrize(
    ("peer", "section", "host", "prefix"),
    [
        (PROXY, {}, "edge.example", None),
        (PROXY, {"believe_host": True}, "a.example:8443", None),
        (PROXY, {"believe_prefix": True}, "edge.example", "/api"),
        (CLIENT, {"believe_host": True, "believe_prefix": True}, "edge.example", None),
    ],
)
def test_host_and_prefix(peer: str, section: Any, host: str, prefix: str | None) -> None:
    """Are believed where the settings say so: most proxies pass on what a client has sent there."""
    headers: HEADERS = {
        **xff(CLIENT),
        "x-forwarded-host": "evil.example, a.example:8443",
        "x-forwarded-prefix": "/evil, /api/",
    }

    told = caller(headers, peer, **section)

    assert (told.host, told.root_path) == (host, prefix)
    assert dict(told.metadata)["x-forwarded-host"] == host


def test_a_host_or_prefix_that_is_none() -> None:
    """Counts for nothing."""
    headers: HEADERS = {"x-forwarded-host": "a b", "x-forwarded-prefix": "//evil.example"}

    told = caller(headers, believe_host=True, believe_prefix=True)

    assert (told.host, told.root_path) == ("edge.example", None)


@pytest.mark.parametrize(
    ("client", "line"),
    [
        (CLIENT, f'for={CLIENT};proto=https;host="a.example"'),
        ("2001:db8::7", 'for="[2001:db8::7]";proto=https;host="a.example"'),
    ],
)
def test_forwarded_upstream(client: str, line: str) -> None:
    """One element: the client, whatever chain of proxies has brought it."""
    node = f'"[{client}]"' if ":" in client else client
    chain = f"for=198.51.100.1, for={node};proto=https;host=a.example, for=10.0.0.2;proto=http"

    told = caller({"forwarded": chain}, headers="forwarded", believe_host=True)

    assert told.metadata == (("forwarded", line),)


def test_nothing_is_told_upstream_where_the_settings_say_so() -> None:
    """And without a trusted proxy the connection's own ends are told, where they say that."""
    assert caller(xff(CLIENT), forward=False).metadata == ()
    told = caller(xff("127.0.0.1"), CLIENT, trusted=(), forward=True)
    assert dict(told.metadata) == {
        "x-forwarded-for": CLIENT,
        "x-forwarded-proto": "http",
        "x-forwarded-host": "edge.example",
    }


def test_callers_are_cached_within_bounds() -> None:
    """Whatever many clients, or large headers, come."""
    proxies = Proxies(ProxySettings(trusted=("10.0.0.0/8",)))
    for number in range(5000):
        address = f"203.{number // 65536}.{number // 256 % 256}.{number % 256}"
        assert (
            proxies.caller(PROXY, "http", [(b"x-forwarded-for", address.encode())]).client
            == address
        )
        proxies.caller(address, "http", [])
    big = b"1.2.3.4, " * 5000 + b"203.0.113.7"
    assert proxies.caller(PROXY, "http", [(b"x-forwarded-for", big)]).client == CLIENT

    assert len(proxies._callers) <= 4096
    assert len(proxies.trusted._known) <= 4096
    assert all(len(value) < 600 for _, _, pairs in proxies._callers for _, value in pairs)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"trusted": "10.0.0.1/8"}, "has bits behind its prefix; write 10.0.0.0/8"),
        ({"trusted": "proxy.example"}, "is neither an IP address, nor a network"),
        ({"trusted": "*"}, "is neither an IP address"),
        ({"headers": "x-real-ip"}, "Input should be 'x-forwarded' or 'forwarded'"),
        ({"protocol": "required"}, "protocol: required needs trusted"),
        ({"believe_host": True}, "believe_host needs trusted"),
        ({"trusted": "unix", "headers": "forwarded", "believe_prefix": True}, "has no prefix"),
        ({"hops": 1}, "hops"),
    ],
)
def test_wrong_settings_are_refused(section: dict[str, Any], says: str) -> None:
    """With what to write."""
    with pytest.raises(ValidationError, match=says):
        ProxySettings(**section)


def test_networks() -> None:
    """Of both families, and an IPv4 address however a socket shows it."""
    some = Networks(("192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "loopback"))

    assert all(
        each in some for each in ("192.0.2.1", "::ffff:10.1.2.3", "127.8.8.8", "2001:db8::1%eth0")
    )
    assert not any(each in some for each in ("", "192.0.2.2", "11.0.0.1", "::2", "garbage"))
    assert "" in Networks(("unix",))
    assert not Networks(())


def test_no_policy_without_settings() -> None:
    """So requests pay nothing."""

    async def no_methods(_path: str) -> tuple[str, ...]:
        return ()

    assert Admission(Settings(descriptor_set=Path("x")), no_methods).proxies is None
    section = ProxySettings(trusted=("loopback",))
    admission = Admission(Settings(descriptor_set=Path("x"), proxies=section), no_methods)
    assert admission.policies(()) == (admission.proxies,)
