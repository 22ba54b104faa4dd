"""TLS and mTLS before a real `grpc.aio` server: who is trusted, and who is asked."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio

from grpc_wire.client import secure_channel
from grpc_wire.credentials import ssl_channel_credentials
from tests.echo_server import EchoServer
from tests.whole.certificates import made

METHOD = "/echo.v1.Echo/Bidi"
QUICK = (("grpc.min_reconnect_backoff_ms", 5000),)


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA's folder."""
    return made(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another CA's."""
    return made(tmp_path_factory.mktemp("strangers"))


def pems(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Returns CA, key and certificate of a party."""
    ca, key, chain = (
        (folder / name).read_bytes() for name in ("ca.pem", "key.pem", "certificate.pem")
    )
    return ca, key, chain


@asynccontextmanager
async def server(folder: Path, *, asks: bool = False) -> AsyncIterator[str]:
    """Runs a server with a party's certificate; returns its port."""
    ca, key, chain = pems(folder)
    running = aio.server()
    running.add_generic_rpc_handlers((EchoServer().handlers(),))
    credentials = grpc.ssl_server_credentials([(key, chain)], ca if asks else None, asks)
    port = running.add_secure_port("127.0.0.1:0", credentials)
    await running.start()
    try:
        yield str(port)
    finally:
        await running.stop(None)


async def call(target: str, context: ssl.SSLContext, *options: tuple[str, Any]) -> bytes:
    """Makes one call."""
    async with secure_channel(target, context, (*QUICK, *options)) as channel:
        answer: bytes = await channel.unary_unary(METHOD)(bytes(100_000), timeout=10)
        return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "dns:///localhost", "ipv4:127.0.0.1"])
async def test_tls(parties: Path, host: str) -> None:
    """A server whose certificate names the target is called, whichever form the target has."""
    context = ssl_channel_credentials(pems(parties / "client")[0])
    async with server(parties / "core") as port:
        assert await call(f"{host}:{port}", context) == bytes(100_000)


async def test_mtls(parties: Path) -> None:
    """A server that asks for a certificate is shown one; who has none is turned away."""
    async with server(parties / "core", asks=True) as port:
        assert await call(f"localhost:{port}", ssl_channel_credentials(*pems(parties / "client")))
        with pytest.raises(aio.AioRpcError) as caught:
            await call(f"127.0.0.1:{port}", ssl_channel_credentials(pems(parties / "client")[0]))
    assert caught.value.code() is StatusCode.UNAVAILABLE


async def test_a_stranger(parties: Path, strangers: Path) -> None:
    """A certificate of another CA is not trusted; the error says why."""
    context = ssl_channel_credentials(pems(strangers / "client")[0])
    async with server(parties / "core") as port:
        with pytest.raises(aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            await call(f"127.0.0.1:{port}", context)
    assert caught.value.code() is StatusCode.UNAVAILABLE


async def test_another_name(parties: Path) -> None:
    """The name that is looked for in the certificate can be said; a wrong one is refused."""
    context = ssl_channel_credentials(pems(parties / "client")[0])
    option = "grpc.ssl_target_name_override"
    async with server(parties / "core") as port:
        assert await call(f"127.0.0.1:{port}", context, (option, "core"))
        with pytest.raises(aio.AioRpcError, match=r"example\.org"):
            await call(f"127.0.0.1:{port}", context, (option, "example.org"))


async def test_a_server_without_tls(parties: Path) -> None:
    """A server that speaks plain text is UNAVAILABLE, in time."""
    context = ssl_channel_credentials(pems(parties / "client")[0])
    running = aio.server()
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    with pytest.raises(aio.AioRpcError) as caught:
        await call(f"127.0.0.1:{port}", context)
    await running.stop(None)
    assert caught.value.code() is StatusCode.UNAVAILABLE


def test_half_an_identity(parties: Path) -> None:
    """A key without its certificate is an error, as is a certificate without its key."""
    ca, key, chain = pems(parties / "client")
    for given in ((ca, key, None), (ca, None, chain)):
        with pytest.raises(ValueError, match="belong together"):
            ssl_channel_credentials(*given)
