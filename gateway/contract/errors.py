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
        super().__init__(": ".join(str(part) for part in (location, subject, problem) if part))
