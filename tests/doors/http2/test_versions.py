"""Which version of HTTP a connection speaks, on one port."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest

from tests.doors.http2.client import connected
from tests.doors.http2.conftest import Edge
from tests.whole.certificates import made

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
GET = b"GET /v1/echo/a HTTP/1.1\r\nHost: x\r\n\r\n"


async def _first_bytes(port: int, *pieces: bytes, count: int = 9) -> bytes:
    """Sends pieces, each a packet of its own; returns what is answered first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.002)  # so that the next one is another packet
        async with asyncio.timeout(10):
            return await reader.readexactly(count)
    finally:
        writer.close()


@pytest.mark.parametrize("cut", range(1, len(PREFACE)))
async def test_the_preface_decides_however_it_is_cut(edge: Edge, cut: int) -> None:
    """RFC 9113, 3.4: the server's preface is SETTINGS."""
    async with edge() as port:
        head = await _first_bytes(port, PREFACE[:cut], PREFACE[cut:] + SETTINGS)

    assert (head[3], head[5:]) == (4, b"\0\0\0\0")


async def test_a_preface_that_comes_byte_by_byte(edge: Edge) -> None:
    """Each byte is a packet of its own."""
    async with edge() as port:
        head = await _first_bytes(port, *(bytes([byte]) for byte in PREFACE + SETTINGS))

    assert head[3] == 4


@pytest.mark.parametrize(
    "pieces",
    [
        (GET,),
        (b"P", b"OST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"),
        (b"PR", b"OPFIND / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", b"x"),
        (b"PRI / HTTP/1.1\r\nHost: x\r\n\r\n",),
    ],
)
async def test_all_else_is_http_1(edge: Edge, pieces: tuple[bytes, ...]) -> None:
    """Also what begins as the preface does."""
    async with edge() as port:
        assert await _first_bytes(port, *pieces) == b"HTTP/1.1 "


async def test_an_upgrade_to_h2c_is_ignored(edge: Edge) -> None:
    """RFC 9113, 3.1: the token is obsolete; the request is answered over HTTP/1.1."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    async with edge() as port:
        request = GET.replace(b"\r\n\r\n", b"\r\n" + upgrade + b"\r\n")
        assert await _first_bytes(port, request, count=15) == b"HTTP/1.1 200 OK"


async def test_without_the_setting_all_is_http_1(edge: Edge) -> None:
    """`--no-http2`: the preface is a request that HTTP/1.1 refuses."""
    async with edge(http2=False) as port:
        assert await _first_bytes(port, PREFACE) == b"HTTP/1.1 "


def _offering(*protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@pytest.mark.parametrize(
    ("offered", "http2", "agreed"),
    [
        (("h2", "http/1.1"), True, "h2"),
        (("http/1.1", "h2"), True, "h2"),
        (("h2",), True, "h2"),
        (("http/1.1",), True, "http/1.1"),
        ((), True, None),
        (("h2", "http/1.1"), False, None),
    ],
)
async def test_over_tls_alpn_decides(
    edge: Edge, tmp_path: Path, offered: tuple[str, ...], agreed: str | None, *, http2: bool
) -> None:
    """RFC 9113, 3.2: the server's preference counts; who offers nothing speaks HTTP/1.1."""
    party = made(tmp_path) / "gateway"
    async with edge(
        tls_certificate=party / "certificate.pem", tls_key=party / "key.pem", http2=http2
    ) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_offering(*offered))
        try:
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == agreed
            writer.write(PREFACE + SETTINGS if agreed == "h2" else GET)
            async with asyncio.timeout(10):
                head = await reader.readexactly(9)
        finally:
            writer.close()

    assert (head[3] == 4) if agreed == "h2" else (head == b"HTTP/1.1 ")


async def test_a_request_over_tls_is_answered(edge: Edge, tmp_path: Path) -> None:
    """By ALPN, with a client that is not ours."""
    party = made(tmp_path) / "gateway"
    async with (
        edge(tls_certificate=party / "certificate.pem", tls_key=party / "key.pem") as port,
        connected(port, tls=_offering("h2")) as client,
    ):
        answer = (await client.get("/v1/echo/a", scheme="https")).answer()

    assert (answer.status, answer.body) == (200, b'{"stringField":"a"}')


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(
    ("option", "version"),
    [("--http2-prior-knowledge", "2"), ("--http2", "1.1"), ("--http1.1", "1.1")],
)
async def test_curl_in_clear_text(edge: Edge, option: str, version: str) -> None:
    """By prior knowledge; its `Upgrade: h2c` (`--http2`) leaves it at HTTP/1.1."""
    async with edge() as port:
        url = f"http://127.0.0.1:{port}/v1/echo/a"
        process = await asyncio.create_subprocess_exec(
            *("curl", "-s", option, "-w", " %{http_version} %{http_code}", url),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()

    assert said.decode() == f'{{"stringField":"a"}} {version} 200'


async def test_a_proxy_header_comes_before_the_preface(edge: Edge) -> None:
    """The client's address is the one that the PROXY header tells."""
    settings = {
        "proxies": {"trusted": ["loopback"], "protocol": "required"},
        "response_headers": ("x-forwarded-for",),
    }
    async with edge(**settings) as port, connected(port, starts=False) as client:
        client.write(b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n")
        client.start()
        stream = await client.get("/v1/echo/a")

    assert dict(stream.headers)["x-forwarded-for"] == "203.0.113.7"
