"""Errors and warnings about a contract, with their location."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


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

    @property
    def problems(self) -> Sequence[ContractError]:
        """The errors, each with one line: this one, or all that it stands for."""
        return (self,)

    def with_file(self, name: Callable[[str], str]) -> ContractError:
        """Returns the error with another name of its file."""
        where = self.location
        renamed = where and replace(where, file=name(where.file))
        return ContractError(self.problem, location=renamed, subject=self.subject)


class ContractErrors(ContractError):
    """Several errors at once; the text has a line for each."""

    def __init__(self, problems: Sequence[ContractError]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self._problems = tuple(problems)

    @property
    def problems(self) -> Sequence[ContractError]:
        """The errors, each with one line."""
        return self._problems


def contract_errors(problems: Sequence[ContractError]) -> ContractError:
    """Returns one error that stands for some; there is at least one."""
    return problems[0] if len(problems) == 1 else ContractErrors(problems)


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
