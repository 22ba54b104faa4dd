"""Who calls, behind trusted proxies: both edges tell the server the same, by the same settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.admission.proxy_settings import FORWARDED_KEYS, ProxySettings
from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.parity.edges import Ports, WholeEchoServer, envoy, why_no_envoy
from tests.whole.processes import edge

pytestmark = [pytest.mark.skipif(bool(why_no_envoy()), reason=why_no_envoy())]

PROXY, STRANGER, CLIENT = "127.0.0.1", "127.0.0.2", "203.0.113.7"
TRUSTED = "127.0.0.1,10.0.0.0/8"
SECTIONS: dict[str, dict[str, str]] = {
    "trusted": {"trusted": TRUSTED},
    "host": {"trusted": TRUSTED, "believe_host": "true"},
    "silent": {"trusted": TRUSTED, "forward": "false"},
    "nobody": {"forward": "true"},
    "protocol": {"trusted": TRUSTED, "protocol": "required"},
}
_SECONDS = 20


@pytest.fixture(scope="module")
async def edges(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Ports]]:
    """Both edges with each section, over one server that answers with its metadata."""
    folder = tmp_path_factory.mktemp("proxies")
    descriptor_set = folder / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(echo_server(WholeEchoServer))

        async def pair(name: str, section: dict[str, str]) -> Ports:
            ours = await stack.enter_async_context(
                edge(
                    server.address,
                    descriptor_set=descriptor_set,
                    response_headers=",".join(sorted(FORWARDED_KEYS)),
                    port=0,
                    **{f"proxies_{key}": value for key, value in section.items()},
                )
            )
            proxies = ProxySettings.model_validate(section)
            other = envoy(folder / name, descriptor_set, server.address, proxies=proxies)
            return Ports(ours.port, await stack.enter_async_context(other))

        yield {name: await pair(name, section) for name, section in SECTIONS.items()}


async def told(port: int, source: str, headers: tuple[str, ...], first: bytes = b"") -> Any:
    """Asks from an address; returns what the server was told, or None if the connection was closed."""
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection(PROXY, port, local_addr=(source, 0))
        try:
            lines = "".join(f"{line}\r\n" for line in ("host: edge.example", *headers))
            request = f"GET /v1/echo?int32_field=1 HTTP/1.1\r\n{lines}connection: close\r\n\r\n"
            writer.write(first + request.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            return None
        finally:
            writer.close()
    assert head[0].split()[1] == "200", head
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    return sorted((k.lower(), v) for k, v in pairs if k.lower() in FORWARDED_KEYS)


def said(client: str, scheme: str = "http", host: str = "edge.example") -> list[tuple[str, str]]:
    """Returns what the server is told."""
    return [
        ("x-forwarded-for", client),
        ("x-forwarded-host", host),
        ("x-forwarded-proto", scheme),
    ]


XFF = f"x-forwarded-for: {CLIENT}"
TLS = "x-forwarded-proto: https"
OTHERS = (
    "forwarded: for=1.2.3.4",
    "x-real-ip: 1.2.3.4",
    "x-forwarded-port: 1",
    "x-forwarded-prefix: /x",
)
LINE = b"PROXY TCP4 %b 192.0.2.1 4711 443\r\n"
SECOND = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x12\x67\x01\xbb"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

CASES: list[tuple[str, str, tuple[str, ...], bytes, Any]] = [
    ("trusted", PROXY, (XFF, TLS), b"", said(CLIENT, "https")),
    ("trusted", PROXY, (XFF,), b"", said(CLIENT)),
    ("trusted", PROXY, (TLS,), b"", said(PROXY, "https")),
    ("trusted", PROXY, (), b"", said(PROXY)),
    ("trusted", PROXY, (f"x-forwarded-for: 198.51.100.1, {CLIENT}",), b"", said(CLIENT)),
    ("trusted", PROXY, (f"x-forwarded-for: {CLIENT}, 10.0.0.9",), b"", said(CLIENT)),
    ("trusted", PROXY, ("x-forwarded-for: 10.0.0.8, 10.0.0.9",), b"", said("10.0.0.8")),
    ("trusted", PROXY, ("x-forwarded-for: 198.51.100.1", XFF), b"", said(CLIENT)),
    ("trusted", PROXY, ("x-forwarded-for: 2001:db8::7",), b"", said("2001:db8::7")),
    ("trusted", PROXY, ("x-forwarded-for: unknown",), b"", said(PROXY)),
    ("trusted", PROXY, (XFF, *OTHERS), b"", said(CLIENT)),
    ("trusted", PROXY, (XFF, "x-forwarded-host: evil.example"), b"", said(CLIENT)),
    ("trusted", STRANGER, (XFF, TLS, *OTHERS), b"", said(STRANGER)),
    ("trusted", STRANGER, ("x-forwarded-for: 127.0.0.1",), b"", said(STRANGER)),
    ("host", PROXY, (XFF, "x-forwarded-host: a.example"), b"", said(CLIENT, host="a.example")),
    ("host", PROXY, (XFF,), b"", said(CLIENT)),
    ("host", STRANGER, ("x-forwarded-host: a.example",), b"", said(STRANGER)),
    ("silent", PROXY, (XFF, TLS, *OTHERS), b"", []),
    ("silent", STRANGER, (XFF, TLS, *OTHERS), b"", []),
    ("nobody", PROXY, (XFF, TLS, *OTHERS), b"", said(PROXY)),
    ("protocol", PROXY, (), LINE % CLIENT.encode(), said(CLIENT)),
    ("protocol", PROXY, (), SECOND, said(CLIENT)),
    ("protocol", PROXY, (XFF, TLS), LINE % b"198.51.100.9", said("198.51.100.9")),
    ("protocol", PROXY, (XFF, TLS), LINE % b"10.0.0.9", said(CLIENT, "https")),
    ("protocol", PROXY, (XFF,), LOCAL, said(CLIENT)),
    ("protocol", PROXY, (), b"PROXY UNKNOWN\r\n", said(PROXY)),
    ("protocol", PROXY, (), b"", None),
    ("protocol", PROXY, (), LINE % b"203.0.113.777", None),
    ("protocol", STRANGER, (), LINE % CLIENT.encode(), None),
    ("protocol", STRANGER, (), b"", None),
]


@pytest.mark.parametrize(("section", "source", "headers", "first", "expected"), CASES)
async def test_both_edges_tell_the_same(
    edges: dict[str, Ports],
    section: str,
    source: str,
    headers: tuple[str, ...],
    first: bytes,
    expected: Any,
) -> None:
    """The server gets one line for each name, and none that a client has written."""
    ports = edges[section]

    ours = await told(ports.ours, source, headers, first)
    envoys = await told(ports.envoy, source, headers, first)

    assert (ours, envoys) == (expected, expected)


DIFFERENT = [
    (("x-forwarded-for: 203.0.113.7:4711",), said(CLIENT)),
    (("x-forwarded-for: [2001:db8::7]",), said("2001:db8::7")),
    ((f"x-forwarded-for: {CLIENT}, garbage, 10.0.0.9",), said("10.0.0.9")),
    ((XFF, "x-forwarded-proto: https, http"), said(CLIENT)),
    ((XFF, "x-forwarded-proto: gopher"), said(CLIENT)),
]


@pytest.mark.parametrize(("headers", "expected"), DIFFERENT)
async def test_where_envoy_differs(
    edges: dict[str, Ports], headers: tuple[str, ...], expected: Any
) -> None:
    """It reads neither ports, nor brackets, nor lists of schemes; docs/reference/admission.md says so."""
    ports = edges["trusted"]

    assert await told(ports.ours, PROXY, headers) == expected
    assert await told(ports.envoy, PROXY, headers) != expected
