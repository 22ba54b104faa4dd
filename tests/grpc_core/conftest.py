"""Fixtures of the core's tests."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from grpc_core.finance.rates import Snapshot
from grpc_core.rate_feed import RateFeed
from grpc_core.transport import TRANSPORTS, TransportName
from tests.grpc_core.loopback import Loopback, loopback


@pytest.fixture
def snapshot() -> Snapshot:
    """Rates that are easy to reckon with."""
    return Snapshot(
        datetime(2026, 11, 20, 13, 15, tzinfo=UTC),
        {"USD": Decimal("1.25"), "JPY": Decimal(160), "GBP": Decimal("0.8")},
        retired=frozenset({"DEM"}),
    )


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> TransportName:
    """Each gRPC that a core may be served by, in turn."""
    name: TransportName = request.param
    return name


@pytest.fixture
async def core(snapshot: Snapshot, transport: TransportName) -> AsyncIterator[Loopback]:
    """A core that serves these rates; the test publishes newer ones."""
    async with loopback(RateFeed(snapshot), transport) as running:
        yield running
