"""The floor of a Python gRPC server: a servicer of `grpc.aio` that returns a constant.

`python -m bench.peers.bare_core`. The generated code reads and writes its messages, as it does in the core.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from grpc_core._generated import finance_pb2_grpc
from grpc_core._generated.finance_pb2 import ConvertReply, ConvertRequest

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]

_REPLY = ConvertReply(converted_amount=86.5, rate=0.865, timestamp="2026-11-20T13:15:00Z")


class Constant(finance_pb2_grpc.CurrencyConverterServicer):
    """Converts everything to the same."""

    async def Convert(self, _request: ConvertRequest, _context: Any) -> ConvertReply:  # noqa: N802 - as the contract says
        """Answers."""
        return _REPLY


async def serve() -> None:
    """Serves on a free port without end."""
    server = grpc.aio.server()
    finance_pb2_grpc.add_CurrencyConverterServicer_to_server(Constant(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving: {port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve())
