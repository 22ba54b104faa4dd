"""What clients stream: uploads of many messages, and round trips over a WebSocket.

Costs are for each message; how long an upload takes is for all of them.
"""

from __future__ import annotations

import json
from typing import Final

from bench import sides
from bench.lab import Lab, Turns, in_turn
from bench.turns import http_request, websocket_request

GROUP: Final = "duplex"
_MESSAGES: Final = 100
_AMOUNT: Final = {"fromCurrency": "USD", "toCurrency": "EUR", "amount": 100}


async def run(lab: Lab) -> None:
    """Measures all; Envoy has no WebSockets for its transcoder."""
    array = http_request("POST", "/convert:batch", json.dumps([_AMOUNT] * _MESSAGES).encode())
    uploads = {
        f"an upload of {_MESSAGES} messages, {count}": Turns(array, count, messages=_MESSAGES)
        for count in (1, 4)
    }
    frame = websocket_request("/convert:live", "grpc-json.v1", json.dumps(_AMOUNT).encode())
    trips = {
        f"a WebSocket round trip, {count}": Turns(frame, count, "websocket")
        for count in (1, 32, 256)
    }
    async with sides.cores() as cores, sides.edges(lab.folder, cores) as edges:
        await in_turn(lab, GROUP, edges, uploads)
        await in_turn(lab, GROUP, [side for side in edges if side.websockets], trips)
