"""Authorizers for tests: Envoy's `ext_authz` on `grpc.aio`, and one over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from gateway.admission.authorizer.ext_authz import messages

_, CheckResponse = messages()
Check = Callable[[Any, Any], Awaitable[Any]]
"""(CheckRequest, context) -> CheckResponse, or bytes that are none."""


@asynccontextmanager
async def grpc_authorizer(check: Check, tls: Path | None = None) -> AsyncIterator[str]:
    """Runs a server of grpc.aio that decides by a function; the block is given its address.

    Args:
        check: the function.
        tls: folder with its certificate and key; None: no TLS.
    """
    request, _ = messages()
    method: Any = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=request.FromString,
        response_serializer=_serialized,
    )
    server = aio.server()
    name = "envoy.service.auth.v3.Authorization"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(name, {"Check": method}),)
    )
    if tls is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = ((tls / "key.pem").read_bytes(), (tls / "certificate.pem").read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def _serialized(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())


def allowed(**headers: str) -> Any:
    """Returns an answer that allows a request, with headers for the upstream."""
    response = CheckResponse()
    response.status.code = 0
    response.ok_response.SetInParent()
    for name, value in headers.items():
        add(response.ok_response.headers, name.replace("_", "-"), value)
    return response


def denied(http_status: int = 0, body: str = "", **headers: str) -> Any:
    """Returns an answer that refuses a request."""
    response = CheckResponse()
    response.status.code = 7
    if http_status or body or headers:
        response.denied_response.status.code = http_status
        response.denied_response.body = body
        for name, value in headers.items():
            add(response.denied_response.headers, name.replace("_", "-"), value)
    return response


def add(headers: Any, name: str, value: str) -> None:
    """Adds a header to a list of an answer."""
    header = headers.add().header
    header.key, header.value = name, value


async def by_token(request: Any, _context: Any) -> Any:
    """Decides by a header: the verdicts that an authorizer can give."""
    http = request.attributes.request.http
    token = http.headers.get("authorization", "")
    if http.path.startswith("/v1/hang"):
        return denied()
    if token == "Bearer ann":
        response = allowed(x_user="ann")
        add(response.ok_response.response_headers_to_add, "x-quota", "7")
        response.ok_response.headers_to_remove.append("x-role")
        return response
    if token == "Bearer bob":
        return denied(403, '{"reason":"bob"}', content_type="application/json")
    if token == "Bearer carl":
        return denied(302, location="https://login.example/")
    if token == "Bearer dora":
        return denied(429, "slow down", retry_after="3")
    if token == "Bearer nothing":
        return CheckResponse()
    return denied(401, "who are you?", www_authenticate='Bearer realm="tests"')


Respond = Callable[[dict[str, str]], Awaitable[bytes]]
"""Headers of the request, `:path` among them -> the whole response."""


@asynccontextmanager
async def http_authorizer(respond: Respond) -> AsyncIterator[str]:
    """Runs an HTTP server that decides by a function; the block is given its URL."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").rstrip().split("\r\n")
                pairs = (line.split(": ", 1) for line in lines)
                headers = {name.lower(): value for name, value in pairs}
                writer.write(await respond({":path": first, **headers}))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            writers.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/check"
    finally:
        server.close()
        for writer in tuple(writers):
            writer.close()
        await server.wait_closed()


def response(status: int, body: str = "", **headers: str) -> bytes:
    """Returns a whole HTTP response."""
    lines = [f"HTTP/1.1 {status} Fine", f"content-length: {len(body)}"]
    lines += (f"{name.replace('_', '-')}: {value}" for name, value in headers.items())
    return ("\r\n".join([*lines, "", ""]) + body).encode()
