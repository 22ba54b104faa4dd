"""The images and the demo are made of what the tests run with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EDGE: list[str] = PROJECT["project"]["dependencies"]
CORE: list[str] = PROJECT["dependency-groups"]["core"]
EXTRAS: list[str] = [
    name for extra in PROJECT["project"]["optional-dependencies"].values() for name in extra
]
TRACES: list[str] = PROJECT["dependency-groups"]["otel"]
BUILD: list[str] = PROJECT["dependency-groups"]["build"]
LOCKS: dict[str, list[str]] = {
    "build": BUILD,
    "core": [*CORE, *TRACES],
    "demo": [*EDGE, *CORE],
    "gateway": [*EDGE, *EXTRAS],
    "tls": PROJECT["dependency-groups"]["tls"],
}
"""What each lock beside the development lock and the floors is made of."""


def pins(name: str) -> set[str]:
    """Returns the lines of a lock."""
    return set((ROOT / "requirements" / f"{name}.txt").read_text().splitlines())


def names(requirements: list[str]) -> set[str]:
    """Returns the packages that are required."""
    return {re.split(r"[<>=; ]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_the_versions_that_are_tested(lock: str) -> None:
    """Each pin of an image and of the demo is one of the development lock."""

    def bare(lines: set[str]) -> set[str]:
        return {line.partition(" ;")[0] for line in lines}

    assert bare(pins(lock)) <= bare(pins("dev"))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_all_that_it_is_made_of(lock: str) -> None:
    """No package was added to the edge or the core and forgotten in a lock."""
    assert names(LOCKS[lock]) <= names(sorted(pins(lock)))


def test_the_demo_installs_what_core_and_edge_need() -> None:
    """`make demo` installs packages of the two images; extras and traces are in the images alone."""
    assert pins("demo") <= pins("core") | pins("gateway")


def test_the_core_has_the_traces_of_the_edge() -> None:
    """The group of the core, which is in no wheel, is the extra of the edge."""
    assert PROJECT["project"]["optional-dependencies"]["otel"] == TRACES


def test_each_lower_bound_is_tested() -> None:
    """`make test-floors` installs exactly the lowest version that each bound allows."""
    floors = dict(pin.partition(" ;")[0].split("==") for pin in pins("floors"))
    bounds = dict(
        re.split("[>=]=", requirement.partition(";")[0]) for requirement in {*EDGE, *CORE, *EXTRAS}
    )

    assert {name: Version(floors[name]) for name in bounds} == {
        name: Version(bound) for name, bound in bounds.items()
    }


def test_what_both_need_has_one_bound() -> None:
    """A package of the edge and of the core is required from the same version on."""
    shared = names(EDGE) & names(CORE)

    assert len({*EDGE, *CORE}) == len(EDGE) + len(CORE) - len(shared)


def test_the_hook_of_the_wheel_asks_for_what_the_images_are_made_with() -> None:
    """Who builds a compiled wheel in an environment of its own has the compiler that the tests have."""
    hook = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]

    assert {*hook["dependencies"], *PROJECT["build-system"]["requires"]} <= {*BUILD, "hatchling"}
