"""gRPC's interoperability test cases, between ours and grpc's, straight and through Envoy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import grpc.aio
import pytest

from grpc_wire.channel import insecure_channel
from grpc_wire.server import server
from tests.parity.edges import why_no_envoy
from tests.wire.interop.cases import ALL, Case
from tests.wire.interop.proxy import proxied
from tests.wire.interop.servicer import serving
from tests.wire.interop.tap import Tap

CHANNELS: dict[str, Any] = {"wire": insecure_channel, "grpcio": grpc.aio.insecure_channel}
SERVERS: dict[str, Any] = {"wire": server, "grpcio": grpc.aio.server}
THROUGH_ENVOY = [("wire", "wire"), ("grpcio", "wire"), ("wire", "grpcio")]
"""Envoy between two of grpc's is nobody's concern here."""


class Way(NamedTuple):
    """How a server is reached, and what has passed on its last stretch."""

    address: str
    tap: Tap


@pytest.fixture(scope="module")
async def straight() -> AsyncIterator[dict[str, Way]]:
    """Both servers."""
    async with serving(server) as ours, serving(grpc.aio.server) as theirs:
        yield {"wire": Way(ours.address, ours), "grpcio": Way(theirs.address, theirs)}


@pytest.fixture(scope="module")
async def through_envoy(
    straight: dict[str, Way], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Way]]:
    """Both servers, behind one Envoy."""
    if reason := why_no_envoy():
        pytest.skip(reason)
    targets = [way.address for way in straight.values()]
    async with proxied(tmp_path_factory.mktemp("envoy"), targets) as addresses:
        yield {
            name: Way(address, straight[name].tap)
            for name, address in zip(straight, addresses, strict=True)
        }


@pytest.mark.parametrize("to", SERVERS)
@pytest.mark.parametrize("by", CHANNELS)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.__name__)
async def test_straight(straight: dict[str, Way], case: Case, by: str, to: str) -> None:
    """Each case passes; between grpc's own two as well, which says that the case itself is right."""
    async with CHANNELS[by](straight[to].address) as channel:
        await case(channel, straight[to].tap)


@pytest.mark.parametrize(("by", "to"), THROUGH_ENVOY)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.__name__)
async def test_through_envoy(through_envoy: dict[str, Way], case: Case, by: str, to: str) -> None:
    """Each case passes with Envoy between both, which takes the frames apart and makes its own."""
    async with CHANNELS[by](through_envoy[to].address) as channel:
        await case(channel, through_envoy[to].tap)
