"""Errors of the domain.

Rule: an error lists all violations of a request, not only the first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Violation:
    """An invalid field of a request.

    Attributes:
        field: Path of the field: `amount`, `target_currencies[2]`.
        description: What is wrong with its value.
    """

    field: str
    description: str


class FinanceError(Exception):
    """An invalid request. Raised only as one of its subclasses.

    Attributes:
        violations: All violations; at least one.
    """

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(violation.description for violation in self.violations))

    def at(self, position: int) -> Self:
        """Returns the error for the request at an index of a stream, from 0."""
        return type(self)(
            Violation(violation.field, f"request {position}: {violation.description}")
            for violation in self.violations
        )

    def named(self, fields: Mapping[str, str]) -> Self:
        """Returns the error with other names of its fields, as a contract names them."""
        return type(self)(
            Violation(fields.get(violation.field, violation.field), violation.description)
            for violation in self.violations
        )


class InvalidArgumentError(FinanceError):
    """An invalid value, such as an unknown currency."""


class OutOfRangeError(FinanceError):
    """A value out of range, such as a negative amount."""


class NotFoundError(FinanceError):
    """The name of something that does not exist."""


class RatesUnavailableError(Exception):
    """There are no rates, or they are too old to be served."""
