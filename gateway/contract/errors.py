"""What is wrong with a contract, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a .proto file; line and column count from 1, 0 where the place is unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class ContractError(Exception):
    """A contract that cannot be served; its text is one line that names the place and the method."""

    def __init__(
        self, problem: str, *, location: Location | None = None, subject: str = ""
    ) -> None:
        self.problem = problem
        self.location = location
        self.subject = subject
        super().__init__(_line(location, subject, problem))


@dataclass(frozen=True, slots=True)
class ContractWarning:
    """What is served, but perhaps not as its author expects; its text has the form of a ContractError's."""

    text: str
    location: Location
    subject: str

    def __str__(self) -> str:
        return _line(self.location, self.subject, self.text)


def _line(location: Location | None, subject: str, text: str) -> str:
    return ": ".join(str(part) for part in (location, subject, text) if part)
