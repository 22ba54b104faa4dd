"""Metadata that is too large for the server, or for the edge: each gRPC's words become the edge's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from gateway.transcoding.status import StatusError
from gateway.upstream.transport import Name
from tests.echo_server import EchoServer
from tests.upstream.conftest import MESSAGE, METHODS, open_upstream
from tests.wire.server.stage import MAKERS

SMALL = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_metadata_size", 3000),
    ("grpc.absolute_max_metadata_size", 3000),
)
SIZES = [20_000, 700_000]


class Verbose(EchoServer):
    """A server that says too much, where and as much as it is asked to."""

    async def unary(self, request: bytes, context: Any) -> bytes:
        """Sends metadata, or a status, of so many bytes."""
        said = dict(context.invocation_metadata())
        text = "x" * int(said.get("size", 0))
        match said.get("where"):
            case "initial":
                await context.send_initial_metadata((("k", text),))
            case "trailing":
                context.set_trailing_metadata((("k", text),))
            case "message":
                await context.abort(grpc.StatusCode.NOT_FOUND, text)
            case "details":
                status = Status(code=5, message=text).SerializeToString()
                trailing = (("grpc-status-details-bin", status),)
                await context.abort(grpc.StatusCode.NOT_FOUND, "short", trailing)
        return request


@asynccontextmanager
async def server(kind: str) -> AsyncIterator[str]:
    """Runs the server on a gRPC."""
    running = MAKERS[kind](options=SMALL)
    running.add_generic_rpc_handlers((Verbose().handlers(),))
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await running.stop(None)


async def failure(upstream: Any, metadata: tuple[tuple[str, str], ...], name: str) -> StatusError:
    """Returns how a call ends; sees that the next one does not notice."""
    with pytest.raises(StatusError) as caught:
        async with upstream.open(METHODS[name], MESSAGE, metadata=metadata, timeout=30) as call:
            async for _ in call:
                pass
    async with upstream.open(METHODS["Unary"], MESSAGE, timeout=30) as call:
        assert await anext(call) == MESSAGE
    return caught.value


@pytest.mark.parametrize("size", [3_000, *SIZES])
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", ["Unary", "ServerStream"])
async def test_more_than_the_server_takes(transport: Name, kind: str, size: int, name: str) -> None:
    """It is the caller's 431, whichever of the two gRPCs finds it out."""
    async with server(kind) as address, open_upstream(address, transport) as upstream:
        error = await failure(upstream, (("authorization", "b" * size),), name)

    assert (error.code, error.http_status) == (8, 431)
    assert error.status.message.endswith("more than the server takes")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("where", ["initial", "trailing", "message", "details"])
async def test_more_than_the_edge_takes(transport: Name, kind: str, size: int, where: str) -> None:
    """It is the server's fault: INTERNAL, which no caller mends by coming back."""
    async with server(kind) as address, open_upstream(address, transport) as upstream:
        error = await failure(upstream, (("where", where), ("size", str(size))), "Unary")

    assert (error.code, error.http_status) == (13, 500)
    assert error.status.message == "the server's metadata are larger than the edge takes"
