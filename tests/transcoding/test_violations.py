"""Paths of faults, and the nearest name."""

from __future__ import annotations

import pytest

from gateway.transcoding.violations import (
    MAX_VIOLATIONS,
    Violations,
    collect,
    items_of,
    join,
    prefixed,
    suggestion,
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

    assert items_of(ValueError("no")) == (("", "no"),)
    assert prefixed("a", inner) == [("a.x", "bad"), ("a[1]", "worse")]
    assert prefixed("a", ValueError("no")) == [("a", "no")]
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
    assert suggestion(name, ["stringField", "int32Field"]) == hint


def test_a_value_is_told_so_many_faults() -> None:
    """Faults are gathered up to a limit, and then told at once."""
    found: list[tuple[str, str]] = []
    for number in range(MAX_VIOLATIONS - 1):
        collect(found, f"[{number}]", ValueError("no"))

    with pytest.raises(Violations) as caught:
        collect(found, "last", ValueError("no"))

    assert len(caught.value.items) == MAX_VIOLATIONS
    assert caught.value.items[-1] == ("last", "no")
