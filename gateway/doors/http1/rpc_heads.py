"""Reads the heads of unary calls of Connect and gRPC-Web that are answered directly.

All headers of such a call are metadata, so a head is read as a whole. One that says nothing about who calls
is shared, and cached by its bytes as any other (`DirectDoor`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from gateway.contract.route_table import RouteMatch
from gateway.doors.http.header_uses import RPC_SHARED
from gateway.doors.http1.lines import cut, is_plain
from gateway.exchange.request import Request, parse_head
from gateway.exchange.served import ServedContract
from gateway.transcoding.metadata import MetadataFilter


class RpcHead(NamedTuple):
    """What the head of a call says."""

    request: Request
    is_shared: bool
    """Whether it says nothing about who calls."""


class RpcHeads:
    """Reads heads.

    Attributes:
        lines: the request lines of the methods that are answered directly -> path below the root.
    """

    def __init__(self, allowed: MetadataFilter, root_path: str, *, secure: bool) -> None:
        """Takes what all requests share; the arguments are those of `PlainHeads`."""
        self._allowed = allowed
        self._root_path = root_path
        self._secure = secure
        self._served: ServedContract
        self.lines: dict[bytes, str] = {}

    def follow(self, served: ServedContract) -> None:
        """Looks up methods of another contract."""
        self._served = served
        self.lines = {
            f"POST {root}{path} HTTP/1.1".encode(): path
            for path in served.direct_calls
            for root in {"", quote(self._root_path)}
        }

    def read(self, path: str, lines: Sequence[bytes], length: int) -> RpcHead | None:
        """Returns what a head says; None if it is no plain head of such a call.

        Args:
            path: of `lines`.
            lines: the header lines.
            length: bytes that have come behind the head.
        """
        headers = cut(lines)
        if not is_plain(lines, headers, length):
            return None
        served = self._served
        route, rpc = served.router.find_by_head("POST", path, headers, b"", has_trailers=False)
        if rpc is None or not isinstance(route, RouteMatch):
            return None
        head, error = parse_head(headers, self._allowed, is_rpc=True)
        if error is not None:
            return None
        request = Request("POST", path, head, route, served, secure=self._secure, rpc=rpc)
        return RpcHead(request, all(name in RPC_SHARED for name, _ in headers))
