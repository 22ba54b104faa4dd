"""A stream's subscriber that reads nothing among many that do: what it costs the edge, and the others."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.request import urlopen

from bench import sides
from bench.lab import Lab
from bench.streams import TARGET, TICK_PERIOD, with_option
from bench.subscribers import read_on, request, stalled
from gateway.v1 import options_pb2

GROUP: Final = "stalled"
_KEEP: Final = 64
"""How many messages are kept for the one who does not read, so that he soon lags behind them."""
_PAGE: Final = "/healthz"
_FILLED: Final = 72 * 1024
"""Bytes of answers that he asks for before the stream: most of what a connection holds unread. With more of
them the stream would not begin before he reads."""
_OTHERS: Final = 1_000
_SECONDS: Final = 30


async def run(lab: Lab) -> None:
    """Measures the others, while one reads nothing."""
    keeping = with_option(_keep_little, lab.folder / "keeping.binpb")
    ticks = lab.folder / "stalled-ticks"
    async with (
        sides.core(TICK_PERIOD, ticks) as core,
        sides.ours(core, keeping, tight=True) as side,
    ):
        pages = _FILLED // await asyncio.to_thread(_size, side.part.port)
        asked = request(_PAGE) * pages + request(TARGET)
        with stalled(side.part.port, asked) as connection:
            (figures,) = await lab.load.subscribers(
                side.part.port,
                TARGET,
                counts=(_OTHERS,),
                seconds=_SECONDS,
                ticks=ticks,
                pids=side.pids,
            )
            async with asyncio.timeout(_SECONDS):
                gap = await read_on(connection, b"event: gap\ndata: ")
    case = f"1 of {_OTHERS + 1} subscribers reads nothing"
    lab.results.add(GROUP, case, side.name, figures)
    lab.say(GROUP, case)
    print(f"{GROUP}: it is told that it has missed {gap.decode()}", flush=True)


def _size(port: int) -> int:
    """Returns the bytes of one answer, about."""
    with urlopen(f"http://127.0.0.1:{port}{_PAGE}", timeout=_SECONDS) as answer:
        return len(bytes(answer.headers)) + len(answer.read())


def _keep_little(options: Any) -> None:
    options.Extensions[options_pb2.stream].keep = _KEEP
