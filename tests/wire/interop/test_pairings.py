"""gRPC's interoperability test cases, between ours and grpc's, straight and through Envoy, and over TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import grpc.aio
import pytest

from grpc_wire.client import insecure_channel, secure_channel
from grpc_wire.server import server
from tests.parity.edges import why_no_envoy
from tests.whole.certificates import made
from tests.wire.interop.cases import ALL, Case
from tests.wire.interop.proxy import proxied
from tests.wire.interop.servicer import serving
from tests.wire.interop.tap import Tap, overhear
from tests.wire.tls import Tls

CHANNELS: dict[str, Any] = {"wire": insecure_channel, "grpcio": grpc.aio.insecure_channel}
SECURE_CHANNELS: dict[str, Any] = {"wire": secure_channel, "grpcio": grpc.aio.secure_channel}
SERVERS: dict[str, Any] = {"wire": server, "grpcio": grpc.aio.server}


class Pairing(NamedTuple):
    """A channel, and a server; with TLS the server has a certificate, with mTLS the client too."""

    by: str
    to: str
    security: str = "plain"

    def __str__(self) -> str:
        return "-".join(self)


STRAIGHT = (
    Pairing("wire", "wire"),
    Pairing("grpcio", "wire"),
    Pairing("wire", "grpcio"),
    Pairing("grpcio", "grpcio"),
    Pairing("wire", "wire", "tls"),
    Pairing("grpcio", "wire", "mtls"),
    Pairing("wire", "grpcio", "mtls"),
)
"""Between grpc's own two as well, which says that the cases themselves are right.

TLS of one party and of two differ in the handshake alone, which has tests of its own: each pairing has one.
"""
THROUGH_ENVOY = (
    Pairing("wire", "wire"),
    Pairing("grpcio", "wire"),
    Pairing("wire", "grpcio"),
    Pairing("wire", "wire", "mtls"),
)
"""Envoy between two of grpc's is nobody's concern here."""


class Way(NamedTuple):
    """How a server is reached, and what has passed on its last stretch."""

    address: str
    tap: Tap
    tls: Tls | None
    credentials: dict[str, Any]
    """Of the channels, if there is TLS."""

    def channel(self, kind: str) -> Any:
        """Opens a channel."""
        if self.tls is None:
            return CHANNELS[kind](self.address)
        return SECURE_CHANNELS[kind](self.address, self.credentials[kind])


@pytest.fixture(scope="module")
async def straight(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[tuple[str, str], Way]]:
    """All servers, by kind and security."""
    folder = made(tmp_path_factory.mktemp("tls"))
    securities = {"plain": None, "tls": Tls(folder, mutual=False), "mtls": Tls(folder)}
    ways: dict[tuple[str, str], Way] = {}
    async with AsyncExitStack() as stack:
        for to, security in dict.fromkeys((each.to, each.security) for each in STRAIGHT):
            ways[to, security] = await _way(stack, to, securities[security])
        yield ways


async def _way(stack: AsyncExitStack, to: str, tls: Tls | None) -> Way:
    if tls is None:
        tap = await stack.enter_async_context(serving(SERVERS[to]))
        return Way(tap.address, tap, None, {})
    tap, credentials = Tap(), tls.server(to)
    channels = {kind: tls.channel(kind) for kind in CHANNELS}
    overhear(credentials if to == "wire" else channels["wire"], tap)
    await stack.enter_async_context(serving(SERVERS[to], credentials, tap))
    return Way(tap.address, tap, tls, channels)


@pytest.fixture(scope="module")
async def through_envoy(
    straight: dict[tuple[str, str], Way], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[tuple[str, str], Way]]:
    """The same, behind one Envoy."""
    if reason := why_no_envoy():
        pytest.skip(reason)
    keys = {(each.to, each.security) for each in THROUGH_ENVOY}
    ways = {key: way for key, way in straight.items() if key in keys}
    targets = {way.address: way.tls for way in ways.values()}
    async with proxied(tmp_path_factory.mktemp("envoy"), targets) as addresses:
        yield {
            key: way._replace(address=address)
            for (key, way), address in zip(ways.items(), addresses, strict=True)
        }


@pytest.mark.parametrize("pairing", STRAIGHT, ids=str)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.__name__)
async def test_straight(straight: dict[tuple[str, str], Way], case: Case, pairing: Pairing) -> None:
    """Each case passes."""
    way = straight[pairing.to, pairing.security]
    async with way.channel(pairing.by) as channel:
        await case(channel, way.tap)


@pytest.mark.parametrize("pairing", THROUGH_ENVOY, ids=str)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.__name__)
async def test_through_envoy(
    through_envoy: dict[tuple[str, str], Way], case: Case, pairing: Pairing
) -> None:
    """Each case passes with Envoy between both, which takes the frames apart and makes its own."""
    way = through_envoy[pairing.to, pairing.security]
    async with way.channel(pairing.by) as channel:
        await case(channel, way.tap)
