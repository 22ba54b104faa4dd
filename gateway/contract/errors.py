"""Errors and warnings about a contract, with their location."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A location in a source file; line and column start at 1, 0 is unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class ContractError(Exception):
    """A contract that cannot be served. Its text is one line: `LOCATION: SUBJECT: PROBLEM`."""

    def __init__(
        self, problem: str, *, location: Location | None = None, subject: str = ""
    ) -> None:
        """Makes the error.

        Args:
            problem: what is wrong.
            location: where; None is unknown.
            subject: full name of the method; empty if it is not about one method.
        """
        self.problem = problem
        self.location = location
        self.subject = subject
        super().__init__(_line(location, subject, problem))


@dataclass(frozen=True, slots=True)
class ContractWarning:
    """A rule that is served, but perhaps not as its author expects. Same text form as `ContractError`."""

    text: str
    location: Location
    subject: str

    def __str__(self) -> str:
        return _line(self.location, self.subject, self.text)


def _line(location: Location | None, subject: str, text: str) -> str:
    return ": ".join(str(part) for part in (location, subject, text) if part)
