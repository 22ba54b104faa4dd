"""What it costs to be watched: our edge and Envoy with an access log and metrics, beside the same without.

With `protoway serve` the access log is on by default, and metrics are counted where there is an admin
listener. Both logs go to the null device, line by line as they would go to a file.
"""

from __future__ import annotations

from typing import Final

from bench import sides
from bench.lab import Lab, Turns, in_turn
from bench.turns import http_request
from bench.unary import POST

GROUP: Final = "watched"
WATCHED: Final = ", watched"
"""Behind the name of a side that writes an access log and counts."""
SMALL: Final = "POST small, our core, 32"
TRACED: Final = "POST small and traced, our core, 32"
_COUNT: Final = 32
_BODY: Final = POST.partition(b"\r\n\r\n")[2]


async def run(lab: Lab) -> None:
    """Measures all."""
    cases = {
        SMALL: Turns(POST, _COUNT),
        TRACED: Turns(http_request("POST", "/convert", _BODY, traced=True), _COUNT),
    }
    ours, envoy = "ours, wire, wire core", "Envoy, wire core"
    async with (
        sides.core(transport=sides.WIRE) as core,
        sides.ours(core, name=ours, transport=sides.WIRE) as bare,
        sides.ours(core, name=ours + WATCHED, transport=sides.WIRE, watched=True) as watched,
    ):
        if sides.envoy_path() is None:
            await in_turn(lab.aimed_at, GROUP, [bare, watched], cases)
            return
        async with (
            sides.envoy(lab.folder, core, name=envoy) as other,
            sides.envoy(lab.folder, core, name=envoy + WATCHED, watched=True) as logging,
        ):
            await in_turn(lab.aimed_at, GROUP, [bare, watched, other, logging], cases)
