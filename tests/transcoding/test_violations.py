"""Paths of faults, and the nearest name."""

from __future__ import annotations

import pytest

from gateway.transcoding.violations import (
    MAX_FAULTS,
    Violations,
    below,
    faults,
    gather,
    join,
    nearest,
)


@pytest.mark.parametrize(
    ("step", "path", "joined"),
    [
        ("a", "", "a"),
        ("", "a", "a"),
        ("", "", ""),
        ("a", "b", "a.b"),
        ("a", "[3]", "a[3]"),
        ("a", "[3].b", "a[3].b"),
        ("[0]", "a", "[0].a"),
        ("[0]", "[1]", "[0][1]"),
    ],
)
def test_joins(step: str, path: str, joined: str) -> None:
    """A path grows from its end: names with dots, places in brackets."""
    assert join(step, path) == joined


def test_faults_come_up_with_their_paths() -> None:
    """A plain error is a fault of the value itself; Violations are as many as they hold."""
    inner = Violations(("x", "bad"), ("[1]", "worse"))

    assert faults(ValueError("no")) == (("", "no"),)
    assert below("a", inner) == [("a.x", "bad"), ("a[1]", "worse")]
    assert below("a", ValueError("no")) == [("a", "no")]
    assert str(inner) == "x: bad; [1]: worse"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stringFeild", "; did you mean 'stringField'?"),
        ("string_field", "; did you mean 'stringField'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_nearest_name(name: str, hint: str) -> None:
    """A name is offered only where it is near."""
    assert nearest(name, ["stringField", "int32Field"]) == hint


def test_a_value_is_told_so_many_faults() -> None:
    """Faults are gathered up to a limit, and then told at once."""
    found: list[tuple[str, str]] = []
    for number in range(MAX_FAULTS - 1):
        gather(found, f"[{number}]", ValueError("no"))

    with pytest.raises(Violations) as caught:
        gather(found, "last", ValueError("no"))

    assert len(caught.value.items) == MAX_FAULTS
    assert caught.value.items[-1] == ("last", "no")
