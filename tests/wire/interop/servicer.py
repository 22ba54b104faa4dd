"""The server of gRPC's interoperability tests, written for `grpc.aio`.

Source: grpc/grpc, doc/interop-test-descriptions.md, "Server".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection

from tests.wire.interop.contract import (
    POOL,
    SERVICE,
    Empty,
    SimpleResponse,
    StreamingInputCallResponse,
    StreamingOutputCallResponse,
    zeros,
)
from tests.wire.interop.tap import Tap, tapped
from tests.wire.tls import listen

_ECHO_INITIAL = "x-grpc-test-echo-initial"
_ECHO_TRAILING = "x-grpc-test-echo-trailing-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class TestServicer:
    """All features that the cases need."""

    __test__ = False

    def __init__(self) -> None:
        self.tap = Tap()
        """What stands before this server: it knows which requests were compressed."""

    async def EmptyCall(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - the contract's
        """Answers."""
        return Empty()

    async def UnaryCall(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's
        """Answers with so many zeros."""
        _compress(context, request.response_compressed.value)
        await _echo_metadata(context)  # always: grpc.aio forgets the compression where nobody does
        await self._expect_compressed(context, request, 0)
        await _echo_status(context, request)
        return SimpleResponse(payload=zeros(request.response_size))

    async def StreamingOutputCall(  # noqa: N802 - the contract's
        self, request: Any, context: Any
    ) -> AsyncIterator[Any]:
        """Answers with so many zeros, so many times."""
        _compress(context, any(each.compressed.value for each in request.response_parameters))
        async for response in _responses(context, request):
            yield response

    async def StreamingInputCall(  # noqa: N802 - the contract's
        self, requests: AsyncIterator[Any], context: Any
    ) -> Any:
        """Answers with the size of what came."""
        size, index = 0, 0
        async for request in requests:
            await self._expect_compressed(context, request, index)
            size += len(request.payload.body)
            index += 1
        return StreamingInputCallResponse(aggregated_payload_size=size)

    async def FullDuplexCall(  # noqa: N802 - the contract's
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        """Answers each request with so many zeros, so many times."""
        await _echo_metadata(context)
        async for request in requests:
            await _echo_status(context, request)
            async for response in _responses(context, request):
                yield response

    async def _expect_compressed(self, context: Any, request: Any, index: int) -> None:
        if not request.HasField("expect_compressed"):
            return
        if self.tap.last.requests[index].compressed is not request.expect_compressed.value:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is not as expected")


async def _echo_metadata(context: Any) -> None:
    told = dict(context.invocation_metadata())
    if _ECHO_TRAILING in told:
        context.set_trailing_metadata(((_ECHO_TRAILING, told[_ECHO_TRAILING]),))
    initial = ((_ECHO_INITIAL, told[_ECHO_INITIAL]),) if _ECHO_INITIAL in told else ()
    await context.send_initial_metadata(initial)


async def _echo_status(context: Any, request: Any) -> None:
    if request.HasField("response_status"):
        status = request.response_status
        await context.abort(_CODES[status.code], status.message)


def _compress(context: Any, compressed: bool) -> None:
    if compressed:
        context.set_compression(grpc.Compression.Gzip)


async def _responses(context: Any, request: Any) -> AsyncIterator[Any]:
    for wanted in request.response_parameters:
        await asyncio.sleep(wanted.interval_us / 1e6)
        if wanted.HasField("compressed") and not wanted.compressed.value:
            context.disable_next_message_compression()
        yield StreamingOutputCallResponse(payload=zeros(wanted.size))


def add_to_server(servicer: TestServicer, server: Any) -> None:
    """Adds a servicer to a server as generated code does, which leaves out what it does not have."""
    handlers = {
        method.name: _handler(
            method, getattr(servicer, method.name), GetMessageClass(method.input_type)
        )
        for method in POOL.FindServiceByName(SERVICE).methods
        if hasattr(servicer, method.name)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


def _handler(method: Any, behaviour: Any, request: Any) -> Any:
    makers: dict[tuple[bool, bool], Any] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return makers[method.client_streaming, method.server_streaming](
        behaviour,
        request_deserializer=request.FromString,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )


@asynccontextmanager
async def serving(
    make: Any, credentials: Any = None, tap: Tap | None = None, **arguments: Any
) -> AsyncIterator[Tap]:
    """Runs a server, and reflection, until the block is left.

    Args:
        make: makes the server.
        credentials: its TLS, if it is to have any.
        tap: hears what passes; without one, one is put before the server.
        arguments: those of the server.
    """
    server = make(options=[("grpc.so_reuseport", 0)], **arguments)
    servicer = TestServicer()
    add_to_server(servicer, server)
    reflection.enable_server_reflection([SERVICE], server, pool=POOL)
    address = f"127.0.0.1:{listen(server, '127.0.0.1:0', credentials)}"
    await server.start()
    try:
        async with tapped(address) if tap is None else nullcontext(tap) as servicer.tap:
            servicer.tap.address = servicer.tap.address or address
            yield servicer.tap
    finally:
        await server.stop(None)
