"""An authorizer over gRPC, by `envoy.service.auth.v3.Authorization/Check`.

Its messages live in a pool of their own: generated modules would collide in the default pool with those of a
program that has Envoy's API installed.

Source: protos/envoy/service/auth/v3/external_auth.proto, and what Envoy's filter does with an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from time import time
from typing import Any, Final, Self

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from gateway.admission.authorizer.verdict import (
    MAX_ANSWER,
    AuthorizerError,
    CheckedRequest,
    Verdict,
    metadata_of,
    refusal,
    response_headers_of,
)
from gateway.upstream.transport import Transport

CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"
_PACKAGE: Final = "envoy.service.auth.v3"
_FORBIDDEN: Final = 403
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_ANSWER),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@cache
def messages() -> tuple[Any, Any]:
    """Returns the classes of CheckRequest and CheckResponse."""
    data = files("gateway.admission.authorizer").joinpath("ext_authz.binpb").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    names = (f"{_PACKAGE}.{name}" for name in ("CheckRequest", "CheckResponse"))
    request, response = (GetMessageClass(pool.FindMessageTypeByName(name)) for name in names)
    return request, response


class GrpcAuthorizer:
    """The connection to an authorizer, open as long as the block."""

    def __init__(self, transport: Transport, target: str, credentials: Any) -> None:
        """Takes where it is; nothing connects before the first question.

        Args:
            transport: carries the calls.
            target: HOST:PORT.
            credentials: for TLS, as the transport makes them; None: no TLS.
        """
        self._transport = transport
        self._target = target
        self._credentials = credentials
        self._request, self._response = messages()
        self._channel: Any = None
        self._check: Any = None

    async def __aenter__(self) -> Self:
        """Prepares for questions."""
        self._channel = self._transport.channel(self._target, self._credentials, _OPTIONS)
        # on bytes: grpc.aio makes None of a message that it cannot parse
        self._check = self._channel.unary_unary(CHECK)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def check(self, checked: CheckedRequest, seconds: float) -> Verdict:
        """Asks about a request.

        Raises:
            AuthorizerError: there is no decision.
        """
        try:
            answer = await self._check(self._message(checked), timeout=seconds)
            response = self._response.FromString(answer)
        except grpc.RpcError as error:
            code: Any = getattr(error, "code", lambda: None)()
            raise AuthorizerError(f"its call ends with {getattr(code, 'name', code)}") from None
        except DecodeError:
            raise AuthorizerError("its answer is no CheckResponse") from None
        return verdict_of(response)

    def _message(self, checked: CheckedRequest) -> bytes:
        message = self._request()
        attributes = message.attributes
        if checked.client:
            address = attributes.source.address.socket_address
            address.address, address.port_value = checked.client, 0
        attributes.source.principal = checked.principal
        request = attributes.request
        now = time()
        request.time.seconds, request.time.nanos = int(now), int(now % 1 * 1e9)
        http = request.http
        http.id, http.method, http.path = checked.request_id, checked.http_method, checked.path
        http.host, http.scheme, http.protocol = checked.host, checked.scheme, "HTTP/1.1"
        http.size = -1
        http.headers.update(checked.headers)
        if checked.rpc:
            attributes.context_extensions["rpc"] = checked.rpc
        return bytes(message.SerializeToString())


def verdict_of(response: Any) -> Verdict:
    """Returns what a CheckResponse says, as Envoy reads it.

    Raises:
        AuthorizerError: it has something that neither HTTP nor gRPC allows.
    """
    if response.status.code == 0:
        allowed = response.ok_response
        return Verdict(
            allowed=True,
            metadata=metadata_of(_pairs(allowed.headers)),
            removed=frozenset(name.lower() for name in allowed.headers_to_remove),
            response_headers=response_headers_of(_pairs(allowed.response_headers_to_add)),
        )
    denied = response.denied_response
    headers = response_headers_of(_pairs(denied.headers))
    return refusal(denied.status.code or _FORBIDDEN, headers, denied.body.encode())


def _pairs(options: Iterable[Any]) -> list[tuple[str, bytes]]:
    headers = (option.header for option in options)
    return [(header.key, header.raw_value or header.value.encode()) for header in headers]
