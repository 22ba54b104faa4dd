"""What clients stream: uploads of many messages, and round trips over a WebSocket. Messages, not requests."""

from __future__ import annotations

import json
from typing import Final

from bench import sides
from bench.lab import Lab, in_turn
from bench.turns import http_request, websocket_request

GROUP: Final = "duplex"
_MESSAGES: Final = 1_000
_AMOUNT: Final = {"fromCurrency": "USD", "toCurrency": "EUR", "amount": 100}


async def run(lab: Lab) -> None:
    """Measures all; Envoy has no WebSockets for its transcoder."""
    array = json.dumps([_AMOUNT] * _MESSAGES, separators=(",", ":")).encode()
    uploads = {
        f"an upload of {_MESSAGES} messages, {count}": (
            http_request("POST", "/convert:batch", array),
            count,
        )
        for count in (1, 8)
    }
    frame = json.dumps(_AMOUNT).encode()
    trips = {
        f"a WebSocket round trip, {count}": (
            websocket_request("/convert:live", "grpc-json.v1", frame),
            count,
        )
        for count in (1, 32, 256)
    }
    async with sides.core() as core, sides.edges(lab.folder, core) as edges:
        await in_turn(lab, GROUP, edges, uploads)
        await in_turn(lab, GROUP, [s for s in edges if s.name != "Envoy"], trips, "websocket")
