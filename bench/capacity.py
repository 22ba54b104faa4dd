"""Two thousand streams that stay open and say nothing: what each takes, and unary calls beside them.

Those with credentials of their own share no call, so the server has as many streams as the edge has clients.
An edge is started anew for each kind, for memory that was once used is not given back.
"""

from __future__ import annotations

from typing import Final

from bench import sides
from bench.lab import Lab
from bench.sides import WIRE
from bench.streams import TARGET
from bench.turns import NUMBER, websocket_handshake
from bench.unary import POST

GROUP: Final = "capacity"
SIDE: Final = "ours, wire, wire core"
_COUNT: Final = 2_000
_CREDENTIALS: Final = f"authorization: Bearer {NUMBER.decode()}\r\n".encode()
_KINDS: Final = {
    "event streams": b"GET %b HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n"
    % TARGET.encode(),
    "WebSockets": websocket_handshake("/convert:live", "grpc-json.v1"),
    "uploads": b"POST /convert:batch HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-ndjson\r\n"
    b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n",
}
"""Heads of requests, without the empty line behind them; each is answered when its call can be opened."""


def case(kind: str, *, own: bool) -> str:
    """Returns the name of a case: of streams with credentials of their own, or without."""
    return f"{_COUNT} {kind}, {'each with its own' if own else 'without'} credentials"


async def run(lab: Lab) -> None:
    """Measures all."""
    for kind, head in _KINDS.items():
        for own in (True,) if lab.quick else (True, False):
            opening = head + (_CREDENTIALS if own else b"") + b"\r\n"
            for _ in range(lab.rounds):
                await _one(lab, case(kind, own=own), opening)
            lab.say(GROUP, case(kind, own=own))


async def _one(lab: Lab, name: str, opening: bytes) -> None:
    async with (
        sides.core(transport=WIRE) as core,
        sides.ours(core, name=SIDE, transport=WIRE) as side,
    ):
        figures = await lab.load.beside(
            side.part.port, opening, POST, count=_COUNT, seconds=lab.seconds, pids=side.pids
        )
        lab.results.add(GROUP, name, side.name, figures)
