"""Requests that nobody would send on purpose, by Hypothesis, against the edge in process.

A few seconds of it are part of every test run, and always the same ones; `make fuzz` (`FUZZ_SECONDS=600`)
goes on with new ones for as long as that says.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.drive import FuzzedEdge
from tests.fuzz.properties import answer_faults, http_faults, websocket_faults
from tests.fuzz.requests import http_requests, sessions, upstream_answers

SECONDS = float(os.environ.get("FUZZ_SECONDS", "9"))
SHARE = SECONDS / 3
"""The time of each of the three tests below."""
LONG = "FUZZ_SECONDS" in os.environ
BATCH = settings(
    max_examples=50,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
pytestmark = pytest.mark.timeout(SECONDS + 300)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[FuzzedEdge]:
    """The edge over the tests' own contract."""
    with FuzzedEdge(tmp_path) as edge:
        yield edge
        gc.collect()


def run_for(seconds: float, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Runs batches of examples until the time is up; a failure shows its example, made small."""
    end = time.monotonic() + seconds
    number = SystemRandom().getrandbits(32) if LONG else 0
    while time.monotonic() < end:

        @seed(number)
        @BATCH
        @given(strategy)
        def batch(drawn: Any) -> None:
            check(drawn)

        batch()
        number += 1


def test_no_http_request_breaks_the_edge(
    edge: FuzzedEdge, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever comes, the answer is whole, says what is wrong as a Status, and leaves nothing behind.

    No status of 499 and above is sent that the upstream did not ask for.
    """

    def check(request: Any) -> None:
        assert http_faults(request, edge.http(request)) == []

    run_for(SHARE, http_requests(edge.bindings), check)

    with capsys.disabled():
        print(f"\n{edge.exchanges} HTTP requests in {SHARE:.0f} s")
    assert edge.exchanges


def test_no_websocket_breaks_the_edge(edge: FuzzedEdge, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever frames come, the close says how it ended, and nothing is left behind."""
    streaming = [binding for binding in edge.bindings if binding.method.stream_type.value]

    def check(session: Any) -> None:
        assert websocket_faults(session, edge.websocket(session)) == []

    run_for(SHARE, sessions(streaming), check)

    with capsys.disabled():
        print(f"\n{edge.exchanges} WebSockets in {SHARE:.0f} s")
    assert edge.exchanges


def test_no_upstream_answer_breaks_the_edge(
    edge: FuzzedEdge, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a server says that follows no contract is an error to its caller, and no more than that.

    Bytes that are no message, metadata that no header can hold, details of no known type.
    """
    everything = edge.bindings[0].method.input

    def check(answer: Any) -> None:
        assert answer_faults(answer, edge.answered(answer)) == []

    run_for(SHARE, upstream_answers(everything), check)

    with capsys.disabled():
        print(f"\n{edge.exchanges} answers from upstream in {SHARE:.0f} s")
    assert edge.exchanges
