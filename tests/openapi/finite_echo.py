"""The tests' own contract, served so that every call ends soon and ends well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from tests.echo_server import EchoServer, Everything

_MOST = 3


class FiniteEcho(EchoServer):
    """An `EchoServer` whose streams end after a few messages, and which has the methods on raw bytes."""

    async def server_stream(self, request: bytes, _context: Any) -> AsyncIterator[bytes]:
        """Answers the request as often as its `int32_field` says, up to three times."""
        for _ in range(min(Everything.FromString(request).int32_field, _MOST)):
            yield request

    async def raw(self, request: bytes, _context: Any) -> bytes:
        """Answers with the request."""
        return request

    async def raw_upload(self, requests: AsyncIterator[bytes], _context: Any) -> bytes:
        """Takes all that is sent; the answer is an Empty."""
        async for _ in requests:
            pass
        return b""

    async def raw_download(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        """Answers with two empty pieces of data."""
        for _ in range(2):
            yield b""

    def methods(self) -> dict[str, Any]:
        """Returns all methods, on bytes."""
        return super().methods() | {
            "Raw": grpc.unary_unary_rpc_method_handler(self.raw),
            "RawUpload": grpc.stream_unary_rpc_method_handler(self.raw_upload),
            "RawDownload": grpc.unary_stream_rpc_method_handler(self.raw_download),
        }
