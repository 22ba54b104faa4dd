"""TLS and mutual TLS, to clients of `grpc.aio`; what the servicer sees is compared with grpc's own server."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from grpc_wire import credentials
from grpc_wire.server import server
from tests.wire.server.certificates import Authority, Pair
from tests.wire.server.stage import SERVICE, refused, unary

LARGE = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def authority() -> Authority:
    """A CA."""
    return Authority()


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    """The server's certificate."""
    return authority.issue("localhost")


class Look:
    """A servicer that answers, and keeps what it sees of its client."""

    def __init__(self) -> None:
        self.key: str | None = None
        self.identities: list[bytes] | None = None
        self.auth: dict[str, list[bytes]] = {}

    async def look(self, request: bytes, context: Any) -> bytes:
        """Looks, and answers with the request."""
        self.key = context.peer_identity_key()
        identities = context.peer_identities()
        self.identities = None if identities is None else list(identities)
        self.auth = {key: list(values) for key, values in context.auth_context().items()}
        return request


@asynccontextmanager
async def secure(kind: str, look: Look, own: Pair, *how: Any) -> AsyncIterator[str]:
    """Runs a server with TLS."""
    maker: Any = {"wire": server, "grpcio": grpc.aio.server}[kind]
    secrets: Any = {"wire": credentials, "grpcio": grpc}[kind]
    running = maker(options=[("grpc.so_reuseport", 0)])
    methods = {"Look": unary(look.look)}
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = running.add_secure_port(
        "localhost:0", secrets.ssl_server_credentials([(own.key, own.certificate)], *how)
    )
    await running.start()
    try:
        yield f"localhost:{port}"
    finally:
        await running.stop(None)


def call(channel: Any, request: bytes = b"request") -> Any:
    """Begins a call."""
    return channel.unary_unary(f"/{SERVICE}/Look")(request, timeout=10)


async def test_tls(authority: Authority, own: Pair) -> None:
    """A client that trusts the CA is answered, with large messages too; nobody knows who it is."""
    look = Look()
    async with secure("wire", look, own) as address:
        trust = grpc.ssl_channel_credentials(authority.pem)
        async with grpc.aio.secure_channel(address, trust) as channel:
            assert await call(channel) == b"request"
            assert await call(channel, LARGE) == LARGE
    assert (look.key, look.identities) == (None, None)
    assert look.auth["transport_security_type"] == [b"ssl"]


async def test_mutual_tls_tells_the_same_as_grpc(authority: Authority, own: Pair) -> None:
    """A servicer sees the same identity of a client with a certificate as it does with grpc."""
    pair = authority.issue("client.example")
    trust = grpc.ssl_channel_credentials(authority.pem, pair.key, pair.certificate)
    seen = []
    for kind in ("grpcio", "wire"):
        look = Look()
        async with (
            secure(kind, look, own, authority.pem, True) as address,
            grpc.aio.secure_channel(address, trust) as channel,
        ):
            await call(channel)
        seen.append(look)
    theirs, ours = seen
    assert (ours.key, ours.identities) == (theirs.key, theirs.identities)
    assert ours.identities == [b"client.example"]
    for name in ("x509_common_name", "x509_subject_alternative_name", "security_level"):
        assert ours.auth[name] == theirs.auth[name]
    assert ours.auth["x509_pem_cert"] == [pair.certificate]


async def test_a_client_without_certificate(authority: Authority, own: Pair) -> None:
    """Where certificates are asked for, a client without is refused; where they may be missing, it is not."""
    trust = grpc.ssl_channel_credentials(authority.pem)
    async with (
        secure("wire", Look(), own, authority.pem, True) as address,
        grpc.aio.secure_channel(address, trust) as channel,
    ):
        assert (await refused(call(channel)))[0] is grpc.StatusCode.UNAVAILABLE
    async with (
        secure("wire", Look(), own, authority.pem, False) as address,
        grpc.aio.secure_channel(address, trust) as channel,
    ):
        assert await call(channel) == b"request"


async def test_a_client_without_tls(own: Pair) -> None:
    """A client that does not speak TLS is refused, and the server goes on."""
    async with (
        secure("wire", Look(), own) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        assert (await refused(call(channel)))[0] is grpc.StatusCode.UNAVAILABLE


async def test_a_client_that_does_not_ask_for_http2(authority: Authority, own: Pair) -> None:
    """A client that does not agree to `h2` by ALPN is sent away."""
    import asyncio

    context = ssl.create_default_context(cadata=authority.pem.decode())
    async with secure("wire", Look(), own) as address:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()


def test_credentials_of_grpc(own: Pair) -> None:
    """Credentials of grpc cannot be read: they are refused with the name of what will do."""
    theirs = grpc.ssl_server_credentials([(own.key, own.certificate)])
    with pytest.raises(TypeError, match=r"grpc_wire.credentials.ssl_server_credentials"):
        server().add_secure_port("localhost:0", theirs)


def test_credentials_that_cannot_be(own: Pair) -> None:
    """What grpc refuses is refused: no pair, a CA that is missing; and what is no PEM."""
    pairs = [(own.key, own.certificate)]
    with pytest.raises(ValueError, match="At least one private key-certificate"):
        credentials.ssl_server_credentials([])
    with pytest.raises(ValueError, match="Illegal to require client auth"):
        credentials.ssl_server_credentials(pairs, None, True)
    with pytest.raises(ssl.SSLError):
        credentials.ssl_server_credentials([(b"no key", own.certificate)])
