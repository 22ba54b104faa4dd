"""The service of the Connect conformance suite, on a real `grpc.aio` server.

Source: connectrpc/conformance/v1/service.proto, whose comments say what each method does.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status
from grpc import aio

from tests.contracts import compile_protos

_PACKAGE = "connectrpc.conformance.v1"
SERVICE = f"{_PACKAGE}.ConformanceService"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def descriptor_set(folder: Path) -> bytes:
    """Returns the suite's contract, of the .proto files below a folder."""
    return compile_protos(
        folder,
        "connectrpc/conformance/v1/service.proto",
        "connectrpc/conformance/v1/server_compat.proto",
    )


class Messages:
    """The suite's messages, by their names."""

    def __init__(self, descriptors: bytes) -> None:
        self._pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(descriptors).file:
            self._pool.Add(file)

    def __getattr__(self, name: str) -> Any:
        return GetMessageClass(self._pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


class Core:
    """Does what each request asks for."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def handlers(self) -> grpc.GenericRpcHandler:
        """Returns the methods."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Unary": grpc.unary_unary_rpc_method_handler(self._unary("Unary")),
                "IdempotentUnary": grpc.unary_unary_rpc_method_handler(
                    self._unary("IdempotentUnary")
                ),
                "ServerStream": grpc.unary_stream_rpc_method_handler(self._server_stream),
                "ClientStream": grpc.stream_unary_rpc_method_handler(self._client_stream),
                "BidiStream": grpc.stream_stream_rpc_method_handler(self._bidi),
            },
        )

    def _unary(self, name: str) -> Any:
        request_class = getattr(self._messages, f"{name}Request")
        response_class = getattr(self._messages, f"{name}Response")

        async def answer(data: bytes, context: Any) -> bytes:
            request = request_class.FromString(data)
            payload = await self._one(request.response_definition, [request], context)
            return bytes(response_class(payload=payload).SerializeToString())

        return answer

    async def _client_stream(self, stream: AsyncIterator[bytes], context: Any) -> bytes:
        requests = [self._messages.ClientStreamRequest.FromString(d) async for d in stream]
        definition = (
            requests[0].response_definition
            if requests
            else self._messages.UnaryResponseDefinition()
        )
        payload = await self._one(definition, requests, context)
        response = self._messages.ClientStreamResponse(payload=payload)
        return bytes(response.SerializeToString())

    async def _one(self, definition: Any, requests: list[Any], context: Any) -> Any:
        info = self._info(requests, context)
        await self._send_head(definition, context)
        await asyncio.sleep(definition.response_delay_ms / 1000)
        if definition.HasField("error"):
            await self._abort(definition.error, info, context)
        return self._messages.ConformancePayload(data=definition.response_data, request_info=info)

    async def _server_stream(self, data: bytes, context: Any) -> AsyncIterator[bytes]:
        request = self._messages.ServerStreamRequest.FromString(data)
        definition = request.response_definition
        await self._send_head(definition, context)
        info = self._info([request], context)
        for number, answer in enumerate(definition.response_data):
            payload = self._messages.ConformancePayload(data=answer)
            if not number:
                payload.request_info.CopyFrom(info)
            await asyncio.sleep(definition.response_delay_ms / 1000)
            response = self._messages.ServerStreamResponse(payload=payload)
            yield response.SerializeToString()
        if definition.HasField("error"):
            await self._abort(definition.error, None if definition.response_data else info, context)

    async def _bidi(self, stream: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        definition: Any = None
        full_duplex, sent = False, 0
        requests: list[Any] = []
        async for data in stream:
            request = self._messages.BidiStreamRequest.FromString(data)
            requests.append(request)
            if definition is None:
                definition, full_duplex = request.response_definition, request.full_duplex
                await self._send_head(definition, context)
            if full_duplex:
                if sent >= len(definition.response_data):
                    break
                yield await self._one_of_many(definition, sent, requests, context)
                sent, requests = sent + 1, []
        if definition is None:
            return
        for number in range(sent, len(definition.response_data)):
            yield await self._one_of_many(definition, number, requests, context)
            requests = []
        if definition.HasField("error"):
            info = None if definition.response_data else self._info(requests, context)
            await self._abort(definition.error, info, context)

    async def _one_of_many(
        self, definition: Any, number: int, requests: list[Any], context: Any
    ) -> bytes:
        payload = self._messages.ConformancePayload(data=definition.response_data[number])
        if not number:
            payload.request_info.CopyFrom(self._info(requests, context))
        elif requests:
            _pack_all(requests, payload.request_info.requests)
        await asyncio.sleep(definition.response_delay_ms / 1000)
        response = self._messages.BidiStreamResponse(payload=payload)
        return bytes(response.SerializeToString())

    async def _send_head(self, definition: Any, context: Any) -> None:
        context.set_trailing_metadata(_pairs(definition.response_trailers))
        await context.send_initial_metadata(_pairs(definition.response_headers))

    def _info(self, requests: list[Any], context: Any) -> Any:
        payload = self._messages.ConformancePayload()
        info = payload.request_info
        values: dict[str, list[str]] = {}
        for key, value in context.invocation_metadata():
            values.setdefault(key, []).append(_text(value))
        for name, texts in values.items():
            info.request_headers.add(name=name, value=texts)
        remaining = context.time_remaining()
        if remaining is not None:
            info.timeout_ms = round(remaining * 1000)
        _pack_all(requests, info.requests)
        return info

    async def _abort(self, error: Any, info: Any, context: Any) -> None:
        status = Status(code=error.code, message=error.message)
        for each in error.details:
            status.details.add(type_url=each.type_url, value=each.value)
        _pack_all([] if info is None else [info], status.details)
        details = ("grpc-status-details-bin", status.SerializeToString())
        trailing = (*context.trailing_metadata(), details)
        await context.abort(_CODES[error.code], error.message, trailing)


def _pack_all(messages: list[Any], packed: Any) -> None:
    """Adds messages to a list of `google.protobuf.Any`."""
    for each in messages:
        type_url = f"type.googleapis.com/{each.DESCRIPTOR.full_name}"
        packed.add(type_url=type_url, value=each.SerializeToString())


def _text(value: str | bytes) -> str:
    return b64encode(value).decode().rstrip("=") if isinstance(value, bytes) else value


def _pairs(headers: Any) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(
        (
            each.name.lower(),
            b64decode(value + "=" * (-len(value) % 4))
            if each.name.lower().endswith("-bin")
            else value,
        )
        for each in headers
        for value in each.value
    )


async def start(messages: Messages) -> tuple[aio.Server, int]:
    """Starts the server on a free port; returns both."""
    server = aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)))
    server.add_generic_rpc_handlers((Core(messages).handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port
