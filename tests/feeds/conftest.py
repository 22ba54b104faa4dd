"""What tests of feeds share."""

from __future__ import annotations

import pytest

from gateway.feeds.backoff import Backoff


@pytest.fixture(autouse=True)
def wake_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets readers be woken without a clock."""
    monkeypatch.setattr("gateway.feeds.feed._BATCH_SECONDS", 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the next try begin at once."""
    monkeypatch.setattr(Backoff, "next", lambda _self, _least=0.0: 0)
