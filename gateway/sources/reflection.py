"""Reads a contract from a server that runs, by gRPC's reflection.

Source: "GRPC Server Reflection Protocol" (v1, and v1alpha of older servers). Files have no comments there. A
server may send the imports with a file, or not: those that are missing are asked for by name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code

from gateway.contract.descriptors import STANDARD_FILES
from gateway.contract.errors import ContractError
from gateway.contract.method import Method
from gateway.sources.port import SourceUnavailable
from gateway.sources.reflection_messages import METHODS, Request, Response
from gateway.transcoding.status import (
    DEADLINE_EXCEEDED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    StatusError,
)
from gateway.upstream.port import Call, Upstream

_TIMEOUT: Final = 10.0
"""Seconds that a server has for all answers."""
_MAX_FILES: Final = 10_000
_INFRASTRUCTURE: Final = "grpc."
"""Package of services that are no part of a contract: reflection, health, channelz, admin."""
_ASKED: Final = tuple(replace(method, unknown_path=method.path) for method in METHODS)
"""As methods that no contract knows: an upstream warns of a server that lacks one of the contract."""


class ReflectionSource:
    """All services of a server, but those of gRPC itself."""

    def __init__(
        self,
        address: str,
        connect: Callable[[str], Upstream],
        *,
        services: Collection[str] = (),
        poll_seconds: float | None = None,
    ) -> None:
        """Takes the address of a server.

        Args:
            address: as the transport knows it.
            connect: makes the connections to an address.
            services: full names of the services that are read, if the server has them; empty: all.
            poll_seconds: interval after which `stamp` differs; None: it does not.
        """
        self._address = address
        self._connect = connect
        self._services = services
        self._poll_seconds = poll_seconds

    def read(self) -> bytes:
        """See `Source`; may be called from a thread with an event loop, which then waits."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._read()).result()

    def stamp(self) -> Hashable:
        """See `Source`."""
        return None if self._poll_seconds is None else time.monotonic() // self._poll_seconds

    def describe(self) -> str:
        """See `Source`."""
        return f"the reflection of {self._address}"

    async def _read(self) -> bytes:
        async with self._connect(self._address) as upstream:
            for method in _ASKED:
                try:
                    return await self._files(upstream, method)
                except StatusError as error:
                    if error.status.code != UNIMPLEMENTED:
                        raise self._failure(error) from error
        raise ContractError(
            f"{self._address} has no reflection: enable grpc.reflection.v1 in the server, or give the"
            " .proto files or a descriptor set"
        )

    def _failure(self, error: StatusError) -> ContractError:
        status = error.status
        text = f"{self.describe()}: {Code.Name(status.code)}: {status.message}"
        if status.code in (UNAVAILABLE, DEADLINE_EXCEEDED):
            return SourceUnavailable(text, status.message)
        return ContractError(text)

    async def _files(self, upstream: Upstream, method: Method) -> bytes:
        requests: asyncio.Queue[Any] = asyncio.Queue()
        sent = _serialized(requests)
        async with upstream.open(method, sent, timeout=_TIMEOUT) as call:
            conversation = _Conversation(call, requests, self.describe())
            services = [name for name in await conversation.services() if self._is_wanted(name)]
            if not services:
                raise ContractError(f"{self.describe()} names no services of a contract")
            files = await conversation.files(services)
        return FileDescriptorSet(file=_sorted(files)).SerializeToString()

    def _is_wanted(self, name: str) -> bool:
        if self._services:
            return name in self._services
        return not name.startswith(_INFRASTRUCTURE)


async def _serialized(requests: asyncio.Queue[Any]) -> AsyncIterator[bytes]:
    while True:
        yield (await requests.get()).SerializeToString()


class _Conversation:
    """One call of the reflection: a request, then its response."""

    def __init__(self, call: Call, requests: asyncio.Queue[Any], server: str) -> None:
        self._call = call
        self._requests = requests
        self._server = server

    async def services(self) -> list[str]:
        """Asks for the names of all services."""
        response = await self._ask(list_services="*")
        return [each.name for each in response.list_services_response.service]

    async def files(self, services: list[str]) -> dict[str, FileDescriptorProto]:
        """Asks for the files of services, and for those that they import."""
        found: dict[str, FileDescriptorProto] = {}
        for service in services:
            if not any(_defines(file, service) for file in found.values()):
                self._add(found, await self._ask(file_containing_symbol=service))
                if not any(_defines(file, service) for file in found.values()):
                    raise ContractError(f"{self._server}: the service {service!r} is in no file")
        while missing := self._missing(found):
            name = missing[0]
            response = await self._ask(file_by_filename=name)
            self._add(found, response)
            if name not in found:
                raise ContractError(f"{self._server} sends other files than {name!r}")
        return found

    @staticmethod
    def _missing(found: dict[str, FileDescriptorProto]) -> list[str]:
        imports = (name for file in found.values() for name in file.dependency)
        return [name for name in imports if name not in found and name not in STANDARD_FILES]

    def _add(self, found: dict[str, FileDescriptorProto], response: Any) -> None:
        for serialized in response.file_descriptor_response.file_descriptor_proto:
            try:
                file = FileDescriptorProto.FromString(serialized)
            except DecodeError as error:
                raise ContractError(f"{self._server} sends what is no file") from error
            found.setdefault(file.name, file)
        if len(found) > _MAX_FILES:
            raise ContractError(f"{self._server} sends more than {_MAX_FILES} files")

    async def _ask(self, **request: str) -> Any:
        self._requests.put_nowait(Request(**request))
        try:
            response = Response.FromString(await anext(self._call))
        except StopAsyncIteration:
            raise ContractError(f"{self._server} ends without an answer") from None
        except DecodeError as error:
            raise ContractError(f"{self._server} sends what is no answer") from error
        if response.HasField("error_response"):
            said = response.error_response.error_message
            what = " ".join(request.values())
            raise ContractError(f"{self._server} has no file for {what!r}: {said}")
        return response


def _defines(file: FileDescriptorProto, service: str) -> bool:
    prefix = f"{file.package}." if file.package else ""
    return any(prefix + each.name == service for each in file.service)


def _sorted(files: dict[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    """Returns files by name, so that the same contract is the same bytes."""
    return [files[name] for name in sorted(files)]
