"""The guard of the steps: it fails where one has become dearer by more than a fifth."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from bench import micro

_VERSION = ".".join(platform.python_version_tuple()[:2])


def test_a_fifth_is_allowed_and_no_more() -> None:
    """At the limit a step passes, beyond it does not; nor does one that has no baseline."""
    baseline = {"same": 10.0, "dearer": 10.0, "much dearer": 10.0}
    seen = {"same": 10.0, "dearer": 12.0, "much dearer": 12.1, "new": 0.1}

    assert micro.regressions(seen, baseline) == ["much dearer", "new"]


@pytest.mark.parametrize(("base", "status"), [(1e9, 0), (1e-9, 1)], ids=["cheaper", "dearer"])
def test_the_run_fails_with_a_regression(
    base: float,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The exit status tells, and the step is named."""
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps({_VERSION: {"a step": base}}))
    monkeypatch.setattr(micro, "_BASELINE", baseline)
    monkeypatch.setattr(micro, "_ROUNDS", 1)
    monkeypatch.setattr(micro, "ways", lambda: {"a step": micro.reference})

    assert micro.main([]) == status
    assert ("a step" in capsys.readouterr().err) is bool(status)


def test_a_baseline_is_of_one_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is written leaves those of other versions; where there is none nothing fails."""
    baseline = tmp_path / "baseline.json"
    baseline.write_text('{"2.7": {"a step": 1}}')
    monkeypatch.setattr(micro, "_BASELINE", baseline)
    monkeypatch.setattr(micro, "_ROUNDS", 1)
    monkeypatch.setattr(micro, "ways", lambda: {"a step": micro.reference})

    assert micro.main([]) == 0
    assert micro.main(["--write"]) == 0
    assert json.loads(baseline.read_text()).keys() == {"2.7", _VERSION}


def test_the_committed_baseline_has_every_step() -> None:
    """And no other; every step runs."""
    steps = micro.ways()
    for step in steps.values():
        step()

    known = json.loads((Path(micro.__file__).with_name("baseline.json")).read_text())
    assert known
    for baseline in known.values():
        assert baseline.keys() == steps.keys()
