"""What every case is given: the client, a folder, how long and how often; and where figures go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load
from bench.results import Results, median
from bench.sides import Side


@dataclass(frozen=True)
class Lab:
    """One run."""

    load: Load
    folder: Path
    results: Results
    seconds: float
    """That a burst takes."""
    rounds: int
    quick: bool
    """Whether only what the targets ask for is measured."""

    async def turns(
        self, group: str, case: str, side: Side, request: bytes, count: int, kind: str = "http"
    ) -> None:
        """Measures one burst of one side."""
        figures = await self.load.turns(
            kind, side.part.port, request, count=count, seconds=self.seconds, pids=side.pids
        )
        self.results.add(group, case, side.name, figures)

    def say(self, group: str, case: str) -> None:
        """Prints what has been seen of a case, while more is to come."""
        for side, row in self.results.groups[group][case].items():
            cells = "  ".join(f"{name} {median(numbers):.4g}" for name, numbers in row.items())
            print(f"{group}: {case}: {side}: {cells}", flush=True)


async def in_turn(
    lab: Lab,
    group: str,
    sides: Sequence[Side],
    cases: dict[str, tuple[bytes, int]],
    kind: str = "http",
) -> None:
    """Measures every case on every side, round by round."""
    for _ in range(lab.rounds):
        for case, (request, count) in cases.items():
            for side in sides:
                await lab.turns(group, case, side, request, count, kind)
    for case in cases:
        lab.say(group, case)
