"""`grpc.reflection.v1.ServerReflection`, and v1alpha, from the edge's own contract.

Source: "GRPC Server Reflection Protocol". Named are the services that are served, and the edge's own. A file
is sent with its imports. Extensions are not looked up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from gateway.contract.descriptors import Contract
from gateway.contract.method import Method
from gateway.exchange.own_calls import OwnCall
from gateway.rpc_services import health
from gateway.sources.reflection_messages import METHODS, Request, Response
from gateway.transcoding.status import INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, StatusError

_HEALTH: Final = health.FILE.name


def reflection_calls(contract: Contract) -> dict[Method, OwnCall]:
    """Returns the methods of the services, and what answers them."""
    services = dict.fromkeys(method.service_name for method in contract.methods)
    services |= dict.fromkeys([health.SERVICE, *(method.service_name for method in METHODS)])
    own = DescriptorPool()
    own.AddSerializedFile(health.FILE.SerializeToString())
    pools = (contract.pool, own, METHODS[0].descriptor.containing_service.file.pool)
    reflection = _Reflection(sorted(services), pools)
    return dict.fromkeys(METHODS, reflection.answer)


class _Reflection:
    def __init__(self, services: Iterable[str], pools: tuple[DescriptorPool, ...]) -> None:
        self._pools = pools
        self._services = Response()
        for name in services:
            self._services.list_services_response.service.add(name=name)

    async def answer(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Answers each request with one response.

        Raises:
            StatusError: INVALID_ARGUMENT, it is no ServerReflectionRequest.
        """
        async for data in requests:
            try:
                request = Request.FromString(data)
            except DecodeError:
                text = "it is no ServerReflectionRequest"
                raise StatusError.of(INVALID_ARGUMENT, text) from None
            yield self._response(request).SerializeToString()

    def _response(self, request: Any) -> Any:
        kind = request.WhichOneof("message_request")
        if kind == "list_services":
            return self._services
        if kind not in ("file_by_filename", "file_containing_symbol"):
            return _error(UNIMPLEMENTED, "extensions are not looked up here")
        name = getattr(request, kind)
        for pool in self._pools:
            find = (
                pool.FindFileByName if kind == "file_by_filename" else pool.FindFileContainingSymbol
            )
            try:
                file = find(name)
            except KeyError:
                continue
            response = Response()
            files = [each.serialized_pb for each in _with_imports(file)]
            response.file_descriptor_response.file_descriptor_proto.extend(files)
            return response
        return _error(NOT_FOUND, "the contract has no such file or symbol")


def _with_imports(file: FileDescriptor) -> Iterable[FileDescriptor]:
    """Returns a file and what it imports; each once, however many ways lead to it."""
    found = {file.name: file}
    left = [file]
    while left:
        new = [each for each in left.pop().dependencies if each.name not in found]
        found |= {each.name: each for each in new}
        left += new
    return found.values()


def _error(code: int, message: str) -> Any:
    response = Response()
    response.error_response.error_code = code
    response.error_response.error_message = message
    return response
