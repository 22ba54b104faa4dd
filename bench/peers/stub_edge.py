"""The edge over an upstream that answers at once: all that it costs but for the gRPC call.

`python -m bench.peers.stub_edge DESCRIPTOR_SET`.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from gateway.app import create_app
from gateway.server import Server
from gateway.settings import Settings
from gateway.transcoding.metadata import Metadata
from gateway.upstream.port import Outcome, Response
from grpc_core._generated.finance_pb2 import ConvertReply

_BACKLOG = 2048
_REPLY = ConvertReply(converted_amount=86.5, rate=0.865, timestamp="2026-11-20T13:15:00Z")


class Constant:
    """An upstream, each of its calls, and what iterates over them; see `gateway.upstream.port`."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def open(self, *_: object, **__: object) -> Any:
        """Opens a call, which needs no state of its own."""
        return self

    def start_unary(
        self, method: object, request: bytes, on_outcome: Callable[[Outcome], None], **_: object
    ) -> Callable[[], object]:
        """Makes a call, which has ended before there is anything to cancel."""
        del method, request
        on_outcome(Response(self._answer, (), ()))
        return int

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return self._answer

    async def initial_metadata(self) -> Metadata:
        """Returns none."""
        return ()

    async def trailing_metadata(self) -> Metadata:
        """Returns none."""
        return ()


def main() -> None:
    """Serves on a free port until it is told to stop."""
    settings = Settings(descriptor_set=Path(sys.argv[1]), log_level="warning")
    app = create_app(settings, Constant(_REPLY.SerializeToString()))
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listening:
        Server(app, settings).serve_on([listening])


if __name__ == "__main__":
    main()
