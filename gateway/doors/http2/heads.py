"""Reads the heads of requests over HTTP/2 that are answered directly.

What `plain_heads` is to HTTP/1.1: fields that say nothing about who calls are read once, together, and cached
by the fields; the others are read each time. A request with anything unusual is left to `request_head`.

Rule: only fields that say nothing about who calls are cached (`header_uses`): no credentials.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from gateway.contract.route_table import RouteMatch
from gateway.doors.http.header_uses import ReadAllError, Use, use_of
from gateway.doors.http2.plain_head import (
    MAX_FIELD,
    HeadPattern,
    PlainHead,
    keep,
    metadata_text,
    sort_fields,
)
from gateway.doors.http2.request_head import VERSION, edge_headers
from gateway.doors.http2.rpc_heads import RpcHeads
from gateway.exchange.request import Request, parse_head
from gateway.exchange.routing import below_root
from gateway.exchange.served import ServedContract
from gateway.transcoding.host import is_host
from gateway.transcoding.metadata import Metadata, MetadataFilter
from gateway.transcoding.request_head import RequestHead, is_request_id
from gateway.transcoding.status import StatusError
from grpc_wire.headers.section import Headers

_METHODS: Final = {
    name.encode(): name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
}
_PATH: Final = re.compile(rb"/[!\"$->@-~]*")
_QUERY: Final = re.compile(rb"[!\"$-~]*")
_PSEUDO: Final = 4
"""How many fields of a request begin with a colon at most; they come first."""
# Names of their own: to look a member of an enum up costs more than to compare it.
_METADATA: Final = Use.METADATA
_TARGET: Final = Use.TARGET
_SHARED: Final = (Use.SHARED, "")
_IGNORED: Final = (Use.IGNORED, "")
_OWN: Final = {
    b":scheme": _IGNORED,
    b":authority": _SHARED,
    b":method": _IGNORED,
    b":path": (Use.TARGET, ""),
    b"content-length": _IGNORED,
    b"te": _IGNORED,
    b"trailer": _IGNORED,
}
"""Uses of fields that the engine has checked, or that are read here."""


class _Shared(NamedTuple):
    """What shared fields mean together."""

    head: RequestHead
    error: StatusError | None
    metadata: Metadata


class Heads:
    """Reads heads, with caches of fields and of what they mean together.

    Attributes:
        served: the contract whose routes are looked up.
        rpc: reads the heads of calls on a wire of RPC.
    """

    def __init__(
        self,
        allowed: MetadataFilter,
        served: ServedContract,
        root_path: str = "",
        *,
        secure: bool = False,
    ) -> None:
        """Makes empty caches; the arguments are those of `PlainHeads`."""
        self._allowed = allowed
        self._root_path = root_path
        self._secure = secure
        self.served: ServedContract
        self._literal: frozenset[tuple[bytes, bytes]]
        """Methods and paths without variables: all callers share them."""
        self._uses: dict[bytes, tuple[Use, str]] = {**_OWN}
        self._shared: dict[Headers, _Shared] = {}
        self._requests: dict[tuple[bytes, bytes, Headers], Request] = {}
        self._whole: dict[Headers, PlainHead] = {}
        """Heads of which all fields are shared."""
        self.rpc = RpcHeads(allowed, root_path, secure=secure)
        self.follow(served)

    def follow(self, served: ServedContract) -> None:
        """Looks up routes in the table of another contract; see `PlainHeads`."""
        self.served = served
        self._literal = frozenset(
            (method.encode(), f"{root}{path}".encode())
            for method, path in served.router.literal_paths
            for root in {"", quote(self._root_path)}
        )
        self._requests.clear()
        self._whole.clear()
        self.rpc.follow(served)

    def read(self, fields: Headers, max_headers: int) -> PlainHead | None:
        """Returns what the head of a unary request says; None if it is none, or not plain."""
        known = self._whole.get(fields)
        if known is not None:
            return known
        if len(fields) > max_headers:
            return None
        method, target = _method_and_target(fields)
        plain = None
        if method == b"POST" and target in self.rpc.paths:
            plain = self.rpc.read(fields, target)
        if plain is None:
            try:
                plain = self._read(fields, method, target)
            except ReadAllError:
                return self._read_all(fields, method, target)
        if plain is not None and plain.is_shared:
            keep(self._whole, fields, plain)
        return plain

    def read_like(self, pattern: HeadPattern, fields: Headers) -> PlainHead | None:
        """Returns what a head says that is like another; None if it is not."""
        if pattern.request.served is not self.served or not pattern.is_like(fields):
            return None
        try:
            if pattern.request.rpc is not None:
                return self.rpc.read_own(pattern, fields)
            return _read_own(pattern, fields)
        except ReadAllError:
            return None

    def _read(self, fields: Headers, method: bytes, target: bytes) -> PlainHead | None:
        shared, kept, own, ignores = sort_fields(fields, self._uses, self._learn)
        path = target.partition(b"?")[0]
        known = self._shared.get(shared) or self._join(shared)
        request = None if known is None else self._request(method, path, shared, known)
        if request is None or known is None:
            return None
        is_shared = not (own or ignores) and (method, path) in self._literal
        pattern = HeadPattern(request, known.metadata, kept, own, path, is_shared=is_shared)
        return _read_own(pattern, fields)

    def _learn(self, name: bytes) -> tuple[Use, str]:
        """Returns the use of a field, and remembers it.

        Raises:
            ReadAllError: the edge reads the field, with all others.
        """
        use = use_of(name, self._allowed)
        if use[1] and name == b"cookie":  # its crumbs are one
            raise ReadAllError
        if len(name) <= MAX_FIELD:
            keep(self._uses, name, use)
            self._uses.update(_OWN)
        return use

    def _join(self, fields: Headers) -> _Shared | None:
        """Returns what shared fields mean together, and remembers it; None if they have not one host."""
        headers = edge_headers(fields)
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not is_host(hosts[0]):
            return None
        read, error = parse_head(headers, self._allowed)
        shared = _Shared(read, error, tuple(read.metadata))
        if error is None:
            keep(self._shared, fields, shared)
        return shared

    def _request(
        self, method: bytes, path: bytes, fields: Headers, shared: _Shared
    ) -> Request | None:
        key = (method, path, fields)
        request = self._requests.get(key)
        if request is None:
            request = self._find(method, path, shared.head, shared.error)
            if request is not None and shared.error is None and key[:2] in self._literal:
                keep(self._requests, key, request)
        return request

    def _find(
        self, method: bytes, path: bytes, head: RequestHead, error: StatusError | None
    ) -> Request | None:
        """Returns a request; None if it is not for a unary method of the contract."""
        if method not in _METHODS or not _PATH.fullmatch(path):
            return None
        http_method, below = _METHODS[method], below_root(path.decode(), self._root_path)
        served = self.served
        route = served.router.find(http_method, below)
        if not isinstance(route, RouteMatch) or route.target.method.streams:
            return None
        if served.router.is_rpc(below, head):
            return None
        return Request(
            *(http_method, below, head, route, served, error),
            secure=self._secure,
            http_version=VERSION,
        )

    def _read_all(self, fields: Headers, method: bytes, target: bytes) -> PlainHead | None:
        """Reads a head of which the order of all fields matters, or in which something is wrong."""
        headers = edge_headers(fields)
        if any(name == b"expect" or (name == b"host" and not is_host(v)) for name, v in headers):
            return None
        head, error = parse_head(headers, self._allowed)
        path, _, query = target.partition(b"?")
        request = self._find(method, path, head, error)
        if request is None or not head.host or not _QUERY.fullmatch(query):
            return None
        return PlainHead(request, query, head.request_id, tuple(head.metadata))


def _method_and_target(fields: Headers) -> tuple[bytes, bytes]:
    method = target = b""
    for name, value in fields[:_PSEUDO]:
        if name == b":method":
            method = value
        elif name == b":path":
            target = value
    return method, target


def _read_own(pattern: HeadPattern, fields: Headers) -> PlainHead:
    """Returns what a head says of which this is the pattern.

    Raises:
        ReadAllError: there is something unusual about it.
    """
    request_id, query = "", b""
    metadata: list[tuple[str, str | bytes]] = []
    for index, use, key in pattern.own:
        value = fields[index][1]
        if use is _METADATA:
            metadata.append((key, metadata_text(value)))
        elif use is _TARGET:
            path, _, query = value.partition(b"?")
            if path != pattern.path or not _QUERY.fullmatch(query):
                raise ReadAllError
        else:
            request_id = value.decode("latin-1")
            if not is_request_id(request_id):
                raise ReadAllError
            if key:
                metadata.append((key, request_id))
    both = (*pattern.metadata, *metadata) if metadata else pattern.metadata
    return PlainHead(pattern.request, query, request_id, both, None, pattern)
