"""A core of known capacity: it works on so many calls at a time, each takes so long, and others wait.

`python -m bench.peers.slow_core AT_A_TIME SECONDS`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from grpc_core._generated import finance_pb2_grpc
from grpc_core._generated.finance_pb2 import ConvertReply, ConvertRequest
from grpc_core.transport import TRANSPORTS

_REPLY = ConvertReply(converted_amount=86.5, rate=0.865, timestamp="2026-11-20T13:15:00Z")


class Slow(finance_pb2_grpc.CurrencyConverterServicer):
    """Converts everything to the same, when its turn has come."""

    def __init__(self, at_a_time: int, seconds: float) -> None:
        self._turns = asyncio.Semaphore(at_a_time)
        self._seconds = seconds

    async def Convert(self, _request: ConvertRequest, _context: Any) -> ConvertReply:  # noqa: N802 - as the contract says
        """Answers."""
        async with self._turns:
            await asyncio.sleep(self._seconds)
        return _REPLY


async def serve(at_a_time: int, seconds: float) -> None:
    """Serves on a free port without end."""
    server = TRANSPORTS["wire"].server()
    servicer = Slow(at_a_time, seconds)
    finance_pb2_grpc.add_CurrencyConverterServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]  # generated code has no types
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving: {port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
