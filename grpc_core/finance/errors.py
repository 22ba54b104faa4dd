"""What the domain refuses, and why.

Rule: an error lists everything that is wrong with a request, not only what was found first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request.

    Attributes:
        field: The path of the field: `amount`, `target_currencies[2]`.
        description: What is wrong with its value, for a person to read.
    """

    field: str
    description: str


class FinanceError(Exception):
    """A request that cannot be fulfilled as it stands. Raised only as one of its two subclasses.

    Attributes:
        violations: Everything that is wrong with the request; at least one.
    """

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(violation.description for violation in self.violations))

    def at(self, position: int) -> Self:
        """Returns the same error, said of the request at `position` of its stream, from 0."""
        return type(self)(
            Violation(violation.field, f"request {position}: {violation.description}")
            for violation in self.violations
        )


class InvalidArgumentError(FinanceError):
    """A value that is wrong whatever the state of the world, such as an unknown currency."""


class OutOfRangeError(FinanceError):
    """A value of the right kind that lies past a limit, such as a negative amount."""
