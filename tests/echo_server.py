"""The tests' own contract on a real `grpc.aio` server, in the loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import DebugInfo, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import aio

from tests.contracts import echo_contract

_POOL = echo_contract().pool
Everything: Any = GetMessageClass(_POOL.FindMessageTypeByName("echo.v1.Everything"))
Summary: Any = GetMessageClass(_POOL.FindMessageTypeByName("echo.v1.Summary"))
FailRequest: Any = GetMessageClass(_POOL.FindMessageTypeByName("echo.v1.FailRequest"))
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass
class EchoServer:
    """The server's address, and what its endless calls have seen."""

    address: str = ""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def unary(self, request: bytes, context: Any) -> bytes:
        """Answers with the request, and with what it was told, as metadata."""
        seen = tuple((k, v) for k, v in context.invocation_metadata() if not k.startswith("grpc"))
        await context.send_initial_metadata((("etag", '"e"'), *seen))
        context.set_trailing_metadata((("cost", "3"),))
        return request

    async def server_stream(self, request: bytes, _context: Any) -> AsyncIterator[bytes]:
        """Answers the request as often as its `int32_field` says."""
        try:
            for _ in range(Everything.FromString(request).int32_field):
                yield request
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled.set()
            raise

    async def client_stream(self, requests: AsyncIterator[bytes], _context: Any) -> bytes:
        """Counts the requests."""
        strings = [Everything.FromString(request).string_field async for request in requests]
        return bytes(Summary(count=len(strings), strings=strings).SerializeToString())

    async def bidi(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        """Answers each request with itself."""
        async for request in requests:
            yield request

    async def fail(self, request: bytes, context: Any) -> bytes:
        """Ends with the status that was asked for."""
        await _abort(context, FailRequest.FromString(request))
        return b""

    async def fail_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Answers so many messages, then ends with the status that was asked for."""
        wanted = FailRequest.FromString(request)
        for number in range(wanted.after):
            yield Everything(int32_field=number + 1).SerializeToString()
        await _abort(context, wanted)

    async def hang(self, _request: bytes, _context: Any) -> bytes:
        """Never answers."""
        await self._wait()
        return b""

    async def hang_stream(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        """Answers once, and then no more."""
        yield Everything(string_field="first").SerializeToString()
        await self._wait()

    async def _wait(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    def methods(self) -> dict[str, Any]:
        """Returns all methods, on bytes."""
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "ServerStream": grpc.unary_stream_rpc_method_handler(self.server_stream),
            "ClientStream": grpc.stream_unary_rpc_method_handler(self.client_stream),
            "Bidi": grpc.stream_stream_rpc_method_handler(self.bidi),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "FailStream": grpc.unary_stream_rpc_method_handler(self.fail_stream),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
            "HangStream": grpc.unary_stream_rpc_method_handler(self.hang_stream),
        }

    def handlers(self) -> grpc.GenericRpcHandler:
        """Returns the methods as a server takes them."""
        return grpc.method_handlers_generic_handler("echo.v1.Echo", self.methods())


class DeafServer(EchoServer):
    """A server that takes uploads, and never reads what is in them."""

    async def client_stream(self, _requests: AsyncIterator[bytes], _context: Any) -> bytes:
        """Never answers."""
        await self._wait()
        return b""


async def _abort(context: Any, wanted: Any) -> None:
    if not wanted.code:
        return
    metadata: list[tuple[str, str | bytes]] = []
    if wanted.details:
        status = Status(code=wanted.code, message=wanted.message)
        status.details.add().Pack(ErrorInfo(reason="WISH", domain="tests"))
        if wanted.message == "debug":
            status.details.add().Pack(DebugInfo(detail="an inner matter"))
        metadata.append(("grpc-status-details-bin", status.SerializeToString()))
    if wanted.message == "metadata":
        await context.send_initial_metadata((("etag", '"e"'), ("www-authenticate", "Basic")))
        metadata.append(("cost", "3"))
    await context.abort(_CODES[wanted.code], wanted.message, tuple(metadata))


@asynccontextmanager
async def echo_server(kind: type[EchoServer] = EchoServer) -> AsyncIterator[EchoServer]:
    """Runs the server on a free port until the block is left."""
    echo = kind()
    server = aio.server(options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((echo.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    echo.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield echo
    finally:
        await server.stop(None)


ALL_CODES = tuple(code for code in code_pb2.Code.values() if code)
