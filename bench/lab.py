"""What every case is given: the client, a folder, how long and how often; and where figures go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.orders import Load
from bench.results import Results, median
from bench.sides import Side

_AIMED_AT: Final = 3
_NO_CASES: Final[Mapping[str, Turns]] = MappingProxyType({})


@dataclass(frozen=True)
class Turns:
    """A prepared request, and how it is asked."""

    request: bytes
    count: int
    """Of connections, of calls at once (`unary`), or of messages in flight on one call (`bidi`)."""
    kind: str = "http"
    """`http`, `http2`, `http2 streams`, `websocket`, `unary` or `bidi`."""
    path: str = ""
    """The gRPC method's, where one is called."""
    messages: int = 1
    """In a request, where it is these that are counted."""

    def by_message(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Returns costs for each message; how long a request took stays what it is."""
        return {
            name: number / self.messages
            if name.endswith("_us")
            else number * self.messages
            if name == "per_second"
            else number
            for name, number in figures.items()
        }


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

    @property
    def aimed_at(self) -> Lab:
        """The same for what targets look at: in thrice as many rounds, for one may differ by a third."""
        return replace(self, rounds=_AIMED_AT * self.rounds)

    async def burst(self, group: str, case: str, side: Side, turns: Turns) -> None:
        """Measures one burst of one side."""
        figures = await self.load.turns(
            turns.kind,
            side.part.port,
            turns.request,
            count=turns.count,
            seconds=self.seconds,
            pids=side.pids,
            path=turns.path,
            channel=side.channel,
        )
        self.results.add(group, case, side.name, turns.by_message(figures))

    def say(self, group: str, case: str) -> None:
        """Prints what has been seen of a case, while more is to come."""
        for side, row in self.results.groups[group][case].items():
            cells = "  ".join(f"{name} {median(numbers):.4g}" for name, numbers in row.items())
            print(f"{group}: {case}: {side}: {cells}", flush=True)


async def in_turn(
    lab: Lab,
    group: str,
    sides: Sequence[Side],
    cases: Mapping[str, Turns],
    of_first: Mapping[str, Turns] = _NO_CASES,
) -> None:
    """Measures every case on every side, round by round; those `of_first` on the first side alone."""
    every = [(case, turns, sides) for case, turns in cases.items()]
    every += [(case, turns, sides[:1]) for case, turns in of_first.items()]
    for _ in range(lab.rounds):
        for case, turns, asked in every:
            for side in asked:
                await lab.burst(group, case, side, turns)
    for case, *_ in every:
        lab.say(group, case)
