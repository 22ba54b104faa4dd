"""Multicallables: what stubs call, one object per method."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias, TypeVar

import grpc
from grpc import aio

from grpc_wire.call.message import DEFLATE, GZIP, IDENTITY
from grpc_wire.call.metadata import to_headers
from grpc_wire.client import call as client_call
from grpc_wire.client import intercepted_call as intercepted
from grpc_wire.client.balancer import Balancer
from grpc_wire.client.call import serialized
from grpc_wire.client.method import ClientMethod
from grpc_wire.client.stream import ClientStream
from grpc_wire.headers.section import list_size

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Metadata: TypeAlias = aio.Metadata | Sequence[tuple[str, str | bytes]]

_ENCODINGS = {
    None: IDENTITY,
    grpc.Compression.NoCompression: IDENTITY,
    grpc.Compression.Deflate: DEFLATE,
    grpc.Compression.Gzip: GZIP,
}


_Settings: TypeAlias = tuple[
    float | None,
    Iterable[tuple[str, str | bytes]] | None,
    grpc.CallCredentials | None,
    bool | None,
    grpc.Compression | None,
]
"""Settings of one call: timeout, metadata, credentials, wait_for_ready, compression."""


class _MultiCallable:
    """Makes the calls of one method."""

    intercepted_call_type: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        balancer: Callable[[], Balancer],
        method: ClientMethod,
        compression: grpc.Compression | None,
        interceptors: Sequence[aio.ClientInterceptor],
    ) -> None:
        """Takes what all calls share.

        Args:
            balancer: returns the channel's balancer; called for each call.
            method: to call.
            compression: of requests, unless a call sets another.
            interceptors: of each call, the outermost first.
        """
        self._balancer = balancer
        self._method = method
        self._compression = compression
        self._interceptors = interceptors

    def _intercepted(self, request: Any, settings: _Settings) -> Any:
        timeout, metadata, credentials, wait_for_ready, compression = settings
        self._balancer()  # raises if the channel is closed
        path: Any = (
            self._method.path.encode()
        )  # bytes, as grpc.aio gives it, whatever its stubs say
        details = aio.ClientCallDetails(
            path,
            timeout,
            aio.Metadata(*(metadata or ())),
            credentials,
            wait_for_ready,
        )
        return type(self).intercepted_call_type(
            self._interceptors, self._continuation(compression), details, request
        )

    def _continuation(self, compression: grpc.Compression | None) -> Callable[[Any, Any], Any]:
        """Returns the function that the last interceptor calls to start the call."""

        def start(details: Any, request: Any) -> Any:
            _, *settings = details
            method = _renamed(self._method, details.method)
            return self._start_call(method, request, (*settings, compression))

        return start

    def _start_call(self, method: ClientMethod, request: Any, settings: _Settings) -> Any:
        raise NotImplementedError

    def _stream(self, method: ClientMethod, settings: _Settings) -> ClientStream:
        timeout, metadata, credentials, wait_for_ready, compression = settings
        if credentials is not None:
            raise aio.UsageError(
                "what is in grpc.CallCredentials cannot be read; let an interceptor add metadata"
            )
        encoding = _ENCODINGS[compression or self._compression]
        headers = to_headers(metadata) if metadata else ()
        if encoding != IDENTITY:
            headers = ((b"grpc-encoding", encoding.encode()), *headers)
        return ClientStream(
            self._balancer(),
            method,
            headers,
            timeout,
            encoding,
            wait_for_ready=bool(wait_for_ready),
        )


class _OneRequest(_MultiCallable):
    call_type: ClassVar[type[Any]]

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: _Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Starts a call."""
        settings = (timeout, metadata, credentials, wait_for_ready, compression)
        if self._interceptors:
            return self._intercepted(request, settings)
        return self._start_call(self._method, request, settings)

    def _start_call(self, method: ClientMethod, request: Any, settings: _Settings) -> Any:
        stream = self._stream(method, settings)
        message = serialized(stream, request)
        if message is not None:
            stream.start(message)
        return self.call_type(stream)


class _ManyRequests(_MultiCallable):
    call_type: ClassVar[type[Any]]

    def __call__(
        self,
        request_iterator: AsyncIterable[Any] | Iterable[Any] | None = None,
        timeout: float | None = None,
        metadata: _Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,  # noqa: FBT001 - as in grpc.aio
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Starts a call; without an iterator, requests are sent by `write`."""
        settings = (timeout, metadata, credentials, wait_for_ready, compression)
        if self._interceptors:
            return self._intercepted(request_iterator, settings)
        return self._start_call(self._method, request_iterator, settings)

    def _start_call(self, method: ClientMethod, request: Any, settings: _Settings) -> Any:
        stream = self._stream(method, settings)
        stream.start(None)
        return self.call_type(stream, request)


class UnaryUnaryMultiCallable(_OneRequest, aio.UnaryUnaryMultiCallable[_Request, _Response]):
    """Makes calls with one request and one response."""

    call_type = client_call.UnaryUnaryCall
    intercepted_call_type = intercepted.UnaryUnaryCall


class UnaryStreamMultiCallable(_OneRequest, aio.UnaryStreamMultiCallable[_Request, _Response]):
    """Makes calls with one request and a stream of responses."""

    call_type = client_call.UnaryStreamCall
    intercepted_call_type = intercepted.UnaryStreamCall


class StreamUnaryMultiCallable(_ManyRequests, aio.StreamUnaryMultiCallable[_Request, _Response]):
    """Makes calls with a stream of requests and one response."""

    call_type = client_call.StreamUnaryCall
    intercepted_call_type = intercepted.StreamUnaryCall


class StreamStreamMultiCallable(_ManyRequests, aio.StreamStreamMultiCallable[_Request, _Response]):
    """Makes calls with a stream either way."""

    call_type = client_call.StreamStreamCall
    intercepted_call_type = intercepted.StreamStreamCall


def _renamed(method: ClientMethod, path: bytes | str) -> ClientMethod:
    name = path if isinstance(path, bytes) else path.encode()
    if name == method.path.encode():
        return method
    head = tuple((key, name if key == b":path" else value) for key, value in method.head)
    return replace(method, path=name.decode(), head=head, head_size=list_size(head))
