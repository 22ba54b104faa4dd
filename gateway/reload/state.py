"""What became of the reloads of one process, for its metrics, its admin page and whoever asked for one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from time import time
from typing import Any


class Result(Enum):
    """What became of one reload."""

    APPLIED = "applied"
    """Another contract is in force."""
    UNCHANGED = "unchanged"
    """What was read is in force already."""
    REFUSED = "refused"
    """What was read cannot be served, or would break callers; the contract before stays in force."""
    FAILED = "failed"
    """Nothing could be read, or a worker was not ready; the contract before stays in force."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One reload."""

    result: Result
    fingerprint: str
    """Of the contract that is in force behind it."""
    problems: tuple[str, ...] = ()
    """Why it is not another one, a line each."""
    warnings: tuple[str, ...] = ()
    """What the new contract breaks, if it was applied all the same."""
    at: float = field(default_factory=time)
    """Unix time of its end."""

    def told(self) -> dict[str, Any]:
        """Returns it as JSON has it, without the time."""
        return {
            "result": self.result.value,
            "fingerprint": self.fingerprint,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }


@dataclass(slots=True, eq=False)
class ReloadState:
    """The reloads of one process."""

    counts: dict[Result, int] = field(default_factory=lambda: dict.fromkeys(Result, 0))
    last: Outcome | None = None
    """None: there was none."""
    in_force_since: float = field(default_factory=time)
    """Unix time at which the contract in force was compiled."""

    def note(self, outcome: Outcome) -> None:
        """Counts a reload that has ended."""
        self.counts[outcome.result] += 1
        self.last = outcome
        if outcome.result is Result.APPLIED:
            self.in_force_since = outcome.at
