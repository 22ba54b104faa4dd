"""What is made of figures: ratios round by round, targets, tables, and the page they stand in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import report
from bench.lab import Turns
from bench.results import Results, beyond, ratio
from bench.targets import TARGETS, Target

ROOT = Path(__file__).parents[2]


def _results() -> Results:
    results = Results()
    for ours, envoy in ((200.0, 100.0), (900.0, 300.0), (200.0, 50.0)):
        results.add("unary", "POST small, our core, 32", "ours", {"edge_us": ours})
        results.add("unary", "POST small, our core, 32", "Envoy", {"edge_us": envoy})
    return results


def test_a_ratio_is_that_of_its_round() -> None:
    """A round that was slow for both sides does not change what one costs against the other."""
    assert ratio([200, 900, 200], [100, 300, 50]) == 3
    assert beyond([150, 300], [100, 200]) == pytest.approx(0.5)
    assert ratio([], [1]) is None
    assert beyond([1], []) is None


def test_costs_of_several_processes_are_added() -> None:
    """Edge and core together, round by round."""
    results = Results()
    results.add("g", "c", "s", {"edge_us": 1, "core_us": 10})
    results.add("g", "c", "s", {"edge_us": 2, "core_us": 20})

    assert results.rounds("g", "c", "s", ("edge_us", "core_us")) == [11, 22]
    assert results.rounds("g", "c", "another", ("edge_us",)) == []


def test_a_target_says_whether_it_holds() -> None:
    """With what was seen; and nothing of what was not measured."""
    first = TARGETS[0]

    assert first.line(_results())[1:] == ("≤ 1.6x", "3x", "MISSED")
    assert Target(first.name, 3, first.see).line(_results())[1:] == ("≤ 3x", "3x", "holds")
    assert first.line(Results())[1:] == ("≤ 1.6x", "", "not measured")


def test_a_table_has_medians_and_how_far_rounds_differ() -> None:
    """One row for each case and side, one column for each figure that was seen."""
    assert report.tables(_results()).splitlines()[2:] == [
        "| Case | Side | edge µs |",
        "| --- | --- | --- |",
        "| POST small, our core, 32 | ours | 200 ± 175% |",
        "| POST small, our core, 32 | Envoy | 100 ± 125% |",
    ]


def test_everything_is_in_the_json() -> None:
    """Each round's number, and each target's row."""
    read = json.loads(report.as_json(_results(), {"machine": "m"}))

    sides = read["results"]["unary"]["POST small, our core, 32"]
    assert sides["ours"]["edge_us"] == [200, 900, 200]
    assert [target["target"] for target in read["targets"]] == [t.name for t in TARGETS]


def test_a_page_keeps_what_a_run_has_not_written(tmp_path: Path) -> None:
    """What an earlier run has written goes, what people wrote stays."""
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n\n{report.BEGIN}\n{report.END}\n\nAfter.\n")

    report.write_into(page, "once")
    report.write_into(page, "twice")

    assert page.read_text() == (f"Before.\n\n{report.BEGIN}\n\ntwice\n\n{report.END}\n\nAfter.\n")


def test_the_page_has_every_target() -> None:
    """The committed results are those of the targets that there are."""
    page = (ROOT / "bench" / "README.md").read_text()

    for target in TARGETS:
        assert f"| {target.name} | ≤ {target.limit:g}{target.unit} |" in page


def test_costs_are_for_each_message() -> None:
    """An upload's cost is divided among its messages; how long it took is not."""
    seen = {"edge_us": 100.0, "per_second": 2.0, "p50_ms": 5.0}

    told = Turns(b"", 1, messages=10).by_message(seen)

    assert told == {"edge_us": 10.0, "per_second": 20.0, "p50_ms": 5.0}
