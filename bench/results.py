"""What was seen: figures of each case, side and round, and what is made of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass
class Results:
    """The figures of a run: group -> case -> side -> figure -> one number for each round."""

    groups: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = field(default_factory=dict)

    def add(self, group: str, case: str, side: str, figures: Mapping[str, float]) -> None:
        """Adds one round of one side."""
        row = self.groups.setdefault(group, {}).setdefault(case, {}).setdefault(side, {})
        for name, number in figures.items():
            row.setdefault(name, []).append(number)

    def rounds(self, group: str, case: str, side: str, names: Iterable[str]) -> list[float]:
        """Returns the sum of some figures for each round; nothing where it was not measured."""
        row = self.groups.get(group, {}).get(case, {}).get(side, {})
        found = [row[name] for name in names if name in row]
        return [sum(numbers) for numbers in zip(*found, strict=True)]


def median(numbers: list[float]) -> float:
    """Returns the median."""
    return statistics.median(numbers)


def spread(numbers: list[float]) -> float:
    """Returns half of what lies between the least and the greatest."""
    return (max(numbers) - min(numbers)) / 2


def ratio(ours: list[float], theirs: list[float]) -> float | None:
    """Returns the median of the ratios, round by round; None where a side was not measured.

    The sides of one round were measured one after the other, so what disturbs a round disturbs both.
    """
    pairs = list(zip(ours, theirs, strict=False))
    return median([our / their for our, their in pairs]) if pairs else None


def beyond(ours: list[float], floor: list[float]) -> float | None:
    """Returns how much is added to a floor, as a share of it; None where a side was not measured."""
    whole = ratio(ours, floor)
    return None if whole is None else whole - 1
