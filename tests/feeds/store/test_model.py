"""A model of leaders that pause, leases that end, and a store that loses data, in many orders of steps."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gateway.feeds.store import rules
from gateway.feeds.store.rules import Lease, Receipt, Record
from tests.feeds.store.model import LossError, Model

STEPS = 400
SEEDS = 300


def explore(seeds: range, *, with_ids: bool) -> list[Model]:
    """Takes as many orders of steps as there are seeds.

    Raises:
        LossError: in one of them a reader was not told of a loss.
    """
    models = []
    for seed in seeds:
        model = Model(Random(seed), with_ids=with_ids)
        for step in range(STEPS):
            try:
                model.step()
            except LossError as error:
                raise LossError(f"seed {seed}, step {step}: {error}") from None
        models.append(model)
    return models


def test_no_reader_loses_a_message_without_being_told() -> None:
    """Between two restarts each message is the next one, and no id is given twice."""
    models = explore(range(SEEDS), with_ids=False)

    assert sum(model.taken_over for model in models) > SEEDS
    assert sum(model.refused for model in models) > SEEDS


def test_ids_of_the_server_lose_nothing() -> None:
    """A call that can go on after the last message: no restart, no loss, no repetition."""
    models = explore(range(SEEDS), with_ids=True)

    assert sum(model.taken_over for model in models) > SEEDS


def test_the_model_finds_that_the_fence_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes the append of any former leader: a paused one breaks the feed."""
    checked = rules.append

    def unchecked(record: Record | None, lease: Lease, *others: Any) -> Receipt:
        if record is not None and record.epoch == lease.epoch:
            lease = lease._replace(holder=record.holder, fence=record.fence)
        return checked(record, lease, *others)

    monkeypatch.setattr(rules, "append", unchecked)
    with pytest.raises(LossError):
        explore(range(SEEDS), with_ids=False)


def test_the_model_finds_that_another_run_needs_another_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store that goes on after a failover with fewer messages than were read."""
    checked = rules.append

    def unchecked(record: Record | None, *others: Any) -> Receipt:
        lease, after, new, trim, _run, now = others
        return checked(record, lease, after, new, trim, record.run if record else b"", now)

    monkeypatch.setattr(rules, "append", unchecked)
    monkeypatch.setattr(rules, "_has_lost", lambda *_: False)
    with pytest.raises(LossError):
        explore(range(SEEDS), with_ids=False)
