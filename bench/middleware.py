"""What a user's middleware costs a unary call: `python -m bench.middleware`, half a minute.

The figure that the start says (`gateway.start_lines.UNARY_COST`) comes from here.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from statistics import median
from typing import Final

from bench import sides
from bench.orders import Load
from bench.processes import Part
from bench.turns import http_request

_APPS: Final = ("without", "nothing", "cors")
_BODY: Final = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":100}'
_COUNT: Final = 32
_SECONDS: Final = 0.7
_ROUNDS: Final = 9
_REQUESTS: Final = {
    "POST small": http_request("POST", "/convert", _BODY),
    "POST small and traced": http_request("POST", "/convert", _BODY, traced=True),
}


async def measure() -> None:
    """Prints the median CPU of the edge for each application, and how it compares with none."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        core = await enter(sides.core(transport=sides.WIRE))
        load = await enter(Load.running())
        edges = {
            name: await enter(
                Part.serving(
                    *("gateway", "serve", "--port", "0"),
                    *("--app", f"bench.peers.with_middleware:{name}"),
                    PROTOWAY_UPSTREAM=core.address,
                )
            )
            for name in _APPS
        }
        for case, request in _REQUESTS.items():
            seen: dict[str, list[float]] = {name: [] for name in _APPS}
            for _ in range(_ROUNDS):
                for name, edge in edges.items():
                    figures = await load.turns(
                        *("http", edge.port, request),
                        count=_COUNT,
                        seconds=_SECONDS,
                        pids={"edge": edge.pid},
                    )
                    seen[name].append(figures["edge_us"])
            least = median(seen["without"])
            for name, costs in seen.items():
                print(f"{case}: {name}: {median(costs):.1f} us, {median(costs) / least:.2f}")


if __name__ == "__main__":
    asyncio.run(measure())
