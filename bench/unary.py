"""One request, one answer: over our core, and over one that costs nothing; small messages, and of 100 kB."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from google.protobuf import json_format

from bench import sides
from bench.contracts import LARGE, filled, messages, points
from bench.lab import Lab, Turns, in_turn
from bench.processes import Part
from bench.sides import GRPCIO
from bench.turns import http_request

GROUP: Final = "unary"
_COUNT: Final = 32
_COUNTS: Final = (1, _COUNT, 256)
_AMOUNT: Final = {"fromCurrency": "USD", "toCurrency": "EUR", "amount": 100}
_BODY: Final = json.dumps(_AMOUNT).encode()
POST: Final = http_request("POST", "/convert", _BODY)
_TRACED: Final = http_request("POST", "/convert", _BODY, traced=True)
_GET: Final = http_request("GET", "/convert?from_currency=USD&to_currency=EUR&amount=100")
_POINT: Final = b'{"name":"Frankfurt","count":7,"weight":89.5}'


async def run(lab: Lab) -> None:
    """Measures all."""
    await _over_our_core(lab)
    if not lab.quick:
        await _over_a_fast_core(lab)


async def _over_our_core(lab: Lab) -> None:
    requests = {"POST small": POST, "POST small and traced": _TRACED}
    aimed_at = _cases(requests, (_COUNT,), "our core")
    cases = _cases(requests | {"GET small": _GET}, _COUNTS, "our core")
    others = {case: turns for case, turns in cases.items() if case not in aimed_at}
    async with (
        sides.cores() as cores,
        sides.edges(lab.folder, cores) as edges,
        sides.stub() as stub,
        sides.empty() as empty,
        sides.policed(cores[sides.WIRE]) as policed,
    ):
        everyone = [*edges, stub, empty]
        await in_turn(lab.aimed_at, GROUP, [*everyone, policed], aimed_at)
        if not lab.quick:
            await in_turn(lab, GROUP, everyone, others)


async def _over_a_fast_core(lab: Lab) -> None:
    _, batch, _ = messages()
    text = json_format.MessageToJson(filled(batch, LARGE), indent=None).encode()
    small = {
        "POST small": http_request("POST", "/points", _POINT),
        "GET small": http_request("GET", "/points?name=Frankfurt&count=7&weight=89.5"),
    }
    large = {
        "POST 100 kB": http_request("POST", "/batches", text),
        "GET 100 kB": http_request("GET", f"/batches?count={LARGE}"),
    }
    contract = lab.folder / "points.binpb"
    contract.write_bytes(points())
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(Part.serving("bench.peers.fast_core"))
        edges = await stack.enter_async_context(sides.edges(lab.folder, {GRPCIO: core}, contract))
        await in_turn(lab, GROUP, edges, _cases(small, _COUNTS, "fast core"))
        await in_turn(lab, GROUP, edges, _cases(large, _COUNTS[:-1], "fast core"))
        # a crowd that waits for 100 kB by hand waits for minutes
        crowd = [side for side in edges if side.name != "by hand"]
        cases = _cases(large, _COUNTS[-1:], "fast core")
        await in_turn(replace(lab, rounds=1), GROUP, crowd, cases)


def _cases(requests: Mapping[str, bytes], counts: Sequence[int], core: str) -> dict[str, Turns]:
    return {
        f"{name}, {core}, {count}": Turns(request, count)
        for name, request in requests.items()
        for count in counts
    }
