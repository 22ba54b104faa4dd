"""Few and many bindings: what a match costs, and a request through the edge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import sides
from bench.contracts import many_bindings, path_of
from bench.lab import Lab, Turns, in_turn
from bench.processes import Part
from bench.sides import GRPCIO
from bench.timing import side_by_side
from bench.turns import http_request
from gateway.contract.descriptors import load
from gateway.contract.route_table import RouteMatch
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.transcoder import Transcoder

GROUP: Final = "routes"
COUNTS: Final = (10, 500, 5_000)


async def run(lab: Lab) -> None:
    """Measures all."""
    matches = {str(count): matching(count) for count in COUNTS}
    for _ in range(lab.rounds):
        for name, micros in side_by_side(matches).items():
            lab.results.add(GROUP, "a match", name, {"us": micros})
    lab.say(GROUP, "a match")
    if not lab.quick:
        for count in COUNTS:
            await _through_the_edge(lab, count)


def matching(count: int) -> Callable[[], object]:
    """Returns what matches the path of the last of so many bindings."""
    transcoder = Transcoder(load(many_bindings(count)), JsonOptions())
    path = path_of(count - 1)
    assert isinstance(transcoder.match("GET", path), RouteMatch)
    return lambda: transcoder.match("GET", path)


def written(folder: Path, count: int) -> Path:
    """Writes a contract with so many bindings."""
    path = folder / f"many-{count}.binpb"
    path.write_bytes(many_bindings(count))
    return path


async def _through_the_edge(lab: Lab, count: int) -> None:
    contract = written(lab.folder, count)
    cases = {
        f"GET among {count}, fast core, 32": Turns(http_request("GET", path_of(count - 1)), 32)
    }
    async with (
        Part.serving("bench.peers.fast_core") as core,
        sides.edges(lab.folder, {GRPCIO: core}, contract, without=("by hand",)) as edges,
    ):
        await in_turn(lab, GROUP, edges, cases)
