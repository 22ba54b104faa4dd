"""Fixtures of the core's tests."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from grpc_core.finance.rates import Snapshot
from grpc_core.rate_feed import RateFeed
from tests.grpc_core.loopback import Loopback, loopback


@pytest.fixture
def snapshot() -> Snapshot:
    """Rates that are easy to reckon with."""
    return Snapshot(
        datetime(2026, 11, 20, 13, 15, tzinfo=UTC),
        {"USD": Decimal("1.25"), "JPY": Decimal(160), "GBP": Decimal("0.8")},
        retired=frozenset({"DEM"}),
    )


@pytest.fixture
async def core(snapshot: Snapshot) -> AsyncIterator[Loopback]:
    """A core that serves these rates; the test publishes newer ones."""
    async with loopback(RateFeed(snapshot)) as running:
        yield running
