"""What the images are made of is what the tests run with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_SHIPPED = {"httpx"}
"""A client, for checks."""


def pins(name: str) -> set[str]:
    """Returns the lines of a lock."""
    return set((ROOT / "requirements" / f"{name}.txt").read_text().splitlines())


def names(requirements: list[str]) -> set[str]:
    """Returns the packages that are required."""
    return {re.split(r"[<>=; ]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("image", ["core", "gateway", "tls"])
def test_an_image_has_the_versions_that_are_tested(image: str) -> None:
    """Each pin of an image's lock is one of the development lock."""

    def bare(lines: set[str]) -> set[str]:
        return {line.partition(" ;")[0] for line in lines}

    assert bare(pins(image)) <= bare(pins("dev"))


def test_the_images_need_what_the_package_needs() -> None:
    """Core and edge together need all that the package does, and nothing else."""
    groups = PROJECT["dependency-groups"]

    assert {*groups["core"], *groups["gateway"]} | NOT_SHIPPED == names(
        PROJECT["project"]["dependencies"]
    )


@pytest.mark.parametrize("image", ["core", "gateway", "tls"])
def test_a_lock_has_all_that_its_image_needs(image: str) -> None:
    """No package was added to an image and forgotten in its lock."""
    locked = names(sorted(pins(image)))

    assert set(PROJECT["dependency-groups"][image]) <= locked
