"""The tally of a stream's subscribers: how many events, and how late each was."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.subscribers import DATA, Tally


def test_events_are_counted_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what one read brings all is counted, and the last event is the one whose delay is known."""
    clock = iter((10.0, 10.5, 20.0))
    tally = Tally(DATA)
    with monkeypatch.context() as patched:
        patched.setattr("bench.subscribers.time", SimpleNamespace(perf_counter=lambda: next(clock)))
        tally.take(b"\ndata: 1\n\ndata: 2\n\n")
        tally.take(b"\ndata: 2\n\n")
        tally.take(b"\ndata: 3\n\n")

    assert tally.events == 4
    assert tally.delays() == [0, 0.5, 0]
    assert tally.delays([9.0, 9.75, 19.5]) == [0.25, 0.75, 0.5]
