"""The floor of a Python gRPC server: a servicer that returns a constant, and one that returns what it got.

`python -m bench.peers.bare_core TRANSPORT`. The generated code reads and writes the messages of the former,
as it does in the core; the latter has bytes.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

from grpc_core._generated import finance_pb2_grpc
from grpc_core._generated.finance_pb2 import ConvertReply, ConvertRequest
from grpc_core.transport import TRANSPORTS, TransportName

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]  # it is another type of loop

_REPLY = ConvertReply(converted_amount=86.5, rate=0.865, timestamp="2026-11-20T13:15:00Z")


class Constant(finance_pb2_grpc.CurrencyConverterServicer):
    """Converts everything to the same."""

    async def Convert(self, _request: ConvertRequest, _context: Any) -> ConvertReply:  # noqa: N802 - as the contract says
        """Answers."""
        return _REPLY


async def _echo(message: bytes, _context: Any) -> bytes:
    return message


async def serve(transport: TransportName) -> None:
    """Serves on a free port without end."""
    server = TRANSPORTS[transport].server()
    finance_pb2_grpc.add_CurrencyConverterServicer_to_server(Constant(), server)  # type: ignore[no-untyped-call]  # generated code has no types
    echo: Any = grpc.unary_unary_rpc_method_handler(_echo)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Points", {"Echo": echo}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving: {port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(sys.argv[1]))  # type: ignore[arg-type]  # of a command line
