"""Reads the heads of requests over HTTP/2 that are answered directly.

What `plain_heads` is to HTTP/1.1: fields that say nothing about who calls are read once, together, and cached
by the fields; the others are read each time. A request with anything unusual is left to `request_head`.

Rule: only fields that say nothing about who calls are cached (`header_uses`): no credentials.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import quote

from gateway.contract.route_table import RouteMatch
from gateway.doors.http.header_uses import ReadAllError, Use, use_of
from gateway.doors.http2.plain_head import MAX_FIELD, MAX_SHARED, PlainHead, keep
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
_COLON: Final = ord(":")
# Names of their own: to look a member of an enum up costs more than to compare it.
_SHARE, _IGNORE, _METADATA, _ID = Use.SHARED, Use.IGNORED, Use.METADATA, Use.REQUEST_ID
_SHARED: Final = (Use.SHARED, "")
_IGNORED: Final = (Use.IGNORED, "")
_OWN: Final = {
    b":scheme": _IGNORED,
    b":authority": _SHARED,
    b":method": _IGNORED,
    b":path": _IGNORED,
    b"content-length": _IGNORED,
    b"te": _IGNORED,
    b"trailer": _IGNORED,
}
"""Uses of fields that the engine has checked, or that are read here."""

_Pair: TypeAlias = tuple[str, str | bytes]


class _Shared(NamedTuple):
    """What shared fields mean together."""

    head: RequestHead
    error: StatusError | None
    metadata: Metadata


class Heads:
    """Reads heads, with caches of fields and of what they mean together."""

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
        self._served: ServedContract
        self._literal: frozenset[tuple[bytes, bytes]]
        """Methods and paths without variables: all callers share them."""
        self._uses: dict[bytes, tuple[Use, str]] = {**_OWN}
        self._shared: dict[Headers, _Shared] = {}
        self._requests: dict[tuple[bytes, bytes, Headers], Request] = {}
        self._whole: dict[Headers, PlainHead] = {}
        """Heads of which all fields are shared."""
        self._rpc = RpcHeads(allowed, root_path, secure=secure)
        self.follow(served)

    def follow(self, served: ServedContract) -> None:
        """Looks up routes in the table of another contract; see `PlainHeads`."""
        self._served = served
        self._literal = frozenset(
            (method.encode(), f"{root}{path}".encode())
            for method, path in served.router.literal_paths
            for root in {"", quote(self._root_path)}
        )
        self._requests.clear()
        self._whole.clear()
        self._rpc.follow(served)

    def read(self, fields: Headers, max_headers: int) -> PlainHead | None:
        """Returns what the head of a unary request says; None if it is none, or not plain."""
        known = self._whole.get(fields)
        if known is not None:
            return known
        if len(fields) > max_headers:
            return None
        pseudo = dict(fields[:_PSEUDO])
        path = pseudo.get(b":path", b"")
        if path in self._rpc.paths and pseudo[b":method"] == b"POST":
            call = self._rpc.read(fields, path)
            if call is not None:
                if call[1]:
                    keep(self._whole, fields, call[0])
                return call[0]
        try:
            return self._read(fields)
        except ReadAllError:
            return self._read_all(fields)

    def _read(self, fields: Headers) -> PlainHead | None:
        request_id = ""
        metadata: list[_Pair] = []
        shared: list[tuple[bytes, bytes]] = []
        uses = self._uses
        ignored = 0
        for field in fields:
            name, value = field
            use, key = uses.get(name) or self._learn(name)
            if use is _SHARE and len(value) <= MAX_FIELD:
                shared.append(field)
            elif use is _IGNORE:
                ignored += (
                    name[0] != _COLON and name != b"content-length"
                )  # callers send few lengths
            elif use is _METADATA:
                metadata.append((key, _text(key, value)))
            elif use is _ID and is_request_id(text := value.decode("latin-1")):
                request_id = text
                metadata += ((key, request_id),) if key else ()
            else:
                raise ReadAllError
        pseudo = dict(fields[:_PSEUDO])
        method, target = pseudo[b":method"], pseudo[b":path"]
        if len(shared) > MAX_SHARED:
            raise ReadAllError
        path, question, query = target.partition(b"?")
        together = tuple(shared)
        known = self._shared.get(together) or self._join(together)
        request = None if known is None else self._request(method, path, together, known)
        if request is None or known is None or not _QUERY.fullmatch(query):
            return None
        both = (*known.metadata, *metadata) if metadata else known.metadata
        plain = PlainHead(request, query, request_id, both)
        is_shared = not (ignored or metadata or request_id or question)
        if is_shared and (method, path) in self._literal:
            keep(self._whole, fields, plain)
        return plain

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
        served = self._served
        route = served.router.find(http_method, below)
        if not isinstance(route, RouteMatch) or route.target.method.stream_type.streams:
            return None
        if served.router.is_rpc(below, head):
            return None
        return Request(
            *(http_method, below, head, route, served, error),
            secure=self._secure,
            http_version=VERSION,
        )

    def _read_all(self, fields: Headers) -> PlainHead | None:
        """Reads a head of which the order of all fields matters, or in which something is wrong."""
        headers = edge_headers(fields)
        if any(name == b"expect" or (name == b"host" and not is_host(v)) for name, v in headers):
            return None
        head, error = parse_head(headers, self._allowed)
        pseudo = dict(fields[:_PSEUDO])
        path, _, query = pseudo[b":path"].partition(b"?")
        request = self._find(pseudo[b":method"], path, head, error)
        if request is None or not head.host or not _QUERY.fullmatch(query):
            return None
        return PlainHead(request, query, head.request_id, tuple(head.metadata))


def _text(key: str, value: bytes) -> str:
    """Returns the value of metadata that is printable ASCII.

    Raises:
        ReadAllError: it is anything else.
    """
    if not value.isascii() or not value.decode().isprintable() or key.endswith("-bin"):
        raise ReadAllError
    return value.decode()
