"""A contract of two services, servers of each in the loop of the test, and edges before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from fastapi import FastAPI
from grpc import aio

from gateway.app import create_app
from gateway.settings import Settings
from tests.contracts import compile_text

_TEXT = """
syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
message Item { string name = 1; int32 number = 2; }
service Orders {
  rpc Get(Item) returns (Item) {
    option (google.api.http) = { post: "/orders" body: "*" };
    option idempotency_level = NO_SIDE_EFFECTS;
  }
  rpc Place(Item) returns (Item) { option (google.api.http) = { post: "/orders:place" body: "*" }; }
  rpc Watch(Item) returns (stream Item) {
    option (google.api.http) = { get: "/orders:watch" };
    option idempotency_level = NO_SIDE_EFFECTS;
  }
}
service Stock {
  rpc Get(Item) returns (Item) {
    option (google.api.http) = { post: "/stock" body: "*" };
    option idempotency_level = IDEMPOTENT;
  }
}
"""
ORDERS, STOCK = "shop.v1.Orders", "shop.v1.Stock"


@cache
def descriptor_set() -> bytes:
    """Returns the contract."""
    return compile_text(_TEXT)


class Server:
    """A server of both services, which answers each request with itself.

    Attributes:
        address: where it listens.
        calls: paths of the calls that came, in order.
        metadata: of the last call.
        code: what all calls end with.
        trailing: trailing metadata of calls that fail.
        failures: so many calls fail, then they succeed; None: all do while `code` is not OK.
        hangs: whether calls wait until they are cancelled.
        delay: seconds before an answer.
    """

    def __init__(self) -> None:
        self.address = ""
        self.calls: list[str] = []
        self.metadata: dict[str, str | bytes] = {}
        self.code = grpc.StatusCode.OK
        self.trailing: tuple[tuple[str, str], ...] = ()
        self.failures: int | None = None
        self.hangs = False
        self.delay = 0.0

    async def _unary(self, request: bytes, context: Any) -> bytes:
        await self._called(context)
        return request

    async def _stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        await self._called(context)
        yield request

    async def _called(self, context: Any) -> None:
        self.metadata = dict(context.invocation_metadata())
        if self.hangs:
            await asyncio.Event().wait()
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.code is grpc.StatusCode.OK:
            return
        if self.failures is not None:
            self.failures -= 1
            if self.failures < 0:
                return
        await context.abort(self.code, "as the test wishes", self.trailing)

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        """Returns the methods as a server takes them."""
        unary: Any = grpc.unary_unary_rpc_method_handler(self._unary)
        stream: Any = grpc.unary_stream_rpc_method_handler(self._stream)
        server = self

        class Handler(grpc.GenericRpcHandler):
            def service(self, details: Any) -> Any:
                if not details.method.startswith("/shop."):
                    return None
                server.calls.append(details.method)
                return stream if details.method.endswith("/Watch") else unary

        return (Handler(),)


@asynccontextmanager
async def shop_server(
    credentials: Any = None, address: str = "127.0.0.1:0"
) -> AsyncIterator[Server]:
    """Runs a server, on a free port by default, until the block is left."""
    running = Server()
    server = aio.server(options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers(running.handlers())
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    running.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield running
    finally:
        await server.stop(None)


def shop_app(folder: Path, upstreams: Sequence[dict[str, Any]], **settings: Any) -> FastAPI:
    """Makes an edge of these upstreams."""
    path = folder / "shop.binpb"
    path.write_bytes(descriptor_set())
    given: Any = tuple(upstreams)
    return create_app(Settings(descriptor_set=path, upstreams=given, **settings))
