"""What tests of feeds share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def wake_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets readers be woken without a clock."""
    monkeypatch.setattr("gateway.feeds.feed._GATHER_SECONDS", 0)
