"""Reads the heads of unary calls on a wire of RPC that are answered directly: what `heads` is to REST.

All headers of such a call are metadata, and its deadline is another each time. So what many calls share is
read together, once for each method, and cached; deadline, request id and metadata are read each time. A head
with anything unusual is left to `contract_route`, which says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote

from gateway.contract.route_table import RouteMatch
from gateway.doors.http.header_uses import RPC_SHARED, ReadAllError, Use
from gateway.doors.http2.plain_head import (
    MAX_FIELD,
    HeadPattern,
    PlainHead,
    keep,
    metadata_text,
    sort_fields,
)
from gateway.doors.http2.request_head import VERSION, edge_headers
from gateway.exchange.request import Request, parse_head
from gateway.exchange.served import ServedContract
from gateway.transcoding.deadline import (
    read_connect_timeout,
    read_grpc_timeout,
    read_server_timeout,
    shortest,
)
from gateway.transcoding.host import is_host
from gateway.transcoding.metadata import PREFIX, Metadata, MetadataFilter
from gateway.transcoding.request_head import REQUEST_ID, is_request_id
from gateway.transcoding.rpc.metadata import request_metadata
from grpc_wire.headers.section import Headers

_TIMEOUTS: Final[dict[bytes, Callable[[str], float]]] = {
    b"grpc-timeout": read_grpc_timeout,
    b"connect-timeout-ms": read_connect_timeout,
    b"x-server-timeout": read_server_timeout,
}
_IGNORED: Final = frozenset({b":method", b":path", b":scheme", b"content-length"})
_UNUSUAL: Final = frozenset({b"expect", b"host", b"trailer"})
# Names of their own: to look a member of an enum up costs more than to compare it.
_METADATA: Final = Use.METADATA
_TIMEOUT: Final = Use.TIMEOUT


class _Shared(NamedTuple):
    """What shared fields mean together, for one method."""

    request: Request
    metadata: Metadata


class RpcHeads:
    """Reads heads, with a cache of what shared fields mean.

    Attributes:
        paths: those of the methods that are answered directly, as they come -> below the root.
    """

    def __init__(self, allowed: MetadataFilter, root_path: str, *, secure: bool) -> None:
        """Makes an empty cache; the arguments are those of `Heads`."""
        self._allowed = allowed
        self._id_key = allowed.request.get(REQUEST_ID)
        self._root_path = root_path
        self._secure = secure
        self._served: ServedContract
        self._uses: dict[bytes, tuple[Use, str]] = {}
        self._shared: dict[tuple[bytes, Headers], _Shared] = {}
        self.paths: dict[bytes, str] = {}

    def follow(self, served: ServedContract) -> None:
        """Looks up methods of another contract."""
        self._served = served
        self.paths = {
            f"{root}{path}".encode(): path
            for path in served.direct_calls
            for root in {"", quote(self._root_path)}
        }
        self._shared.clear()

    def read(self, fields: Headers, path: bytes) -> PlainHead | None:
        """Returns what the head of a POST to one of `paths` says; None if it is not plain."""
        try:
            shared, kept, own, ignores = sort_fields(fields, self._uses, self._learn)
            key = (path, shared)
            found = self._shared.get(key) or self._join(key)
            is_shared = not (own or ignores)
            pattern = HeadPattern(
                found.request, found.metadata, kept, own, path, is_shared=is_shared
            )
            return self.read_own(pattern, fields)
        except ReadAllError:
            return None

    def read_own(self, pattern: HeadPattern, fields: Headers) -> PlainHead:
        """Returns what a head says of which this is the pattern.

        Raises:
            ReadAllError: there is something unusual about it.
        """
        request_id, timeout = "", None
        metadata: list[tuple[str, str | bytes]] = []
        is_plain = True
        for index, use, key in pattern.own:
            name, value = fields[index]
            if use is _TIMEOUT:
                timeout = shortest(timeout, _seconds(name, value))
            elif use is _METADATA:
                metadata.append((key, metadata_text(value)))
                is_plain = is_plain and key != ""
            else:
                request_id = value.decode("latin-1")
                if not is_request_id(request_id):
                    raise ReadAllError
        own = tuple(metadata) if is_plain else self._metadata(fields)
        both = (*pattern.metadata, *own) if own else pattern.metadata
        if request_id and self._id_key is not None:
            both = (*both, (self._id_key, request_id))
        return PlainHead(pattern.request, b"", request_id, both, timeout, pattern)

    def _metadata(self, fields: Headers) -> Metadata:
        """Returns the metadata among fields of which some have more than a text."""
        own = tuple([field for field in fields if self._learn(field[0])[0] is _METADATA])
        read = request_metadata(tuple(edge_headers(own)))
        return tuple(self._allowed.without_withheld(read))

    def _learn(self, name: bytes) -> tuple[Use, str]:
        """Returns the use of a field, and remembers it.

        Of metadata with it the key under which the text goes upstream; empty if there is more to it.
        """
        found = self._allowed.request.get(name, "")
        key = ""
        if name in _UNUSUAL or name.startswith(PREFIX) or found.endswith("-bin"):
            use = Use.UNUSUAL
        elif name in _IGNORED:
            use = Use.IGNORED
        elif name in RPC_SHARED:
            use = Use.SHARED
        elif name in _TIMEOUTS:
            use = _TIMEOUT
        elif name == REQUEST_ID:
            use = Use.REQUEST_ID
        else:
            use = _METADATA
            read = self._allowed.without_withheld(request_metadata(((name, b""),)))
            if read and name != b"cookie" and not read[0][0].endswith("-bin"):
                key = read[0][0]
        if len(name) <= MAX_FIELD:
            keep(self._uses, name, (use, key))
        return use, key

    def _join(self, key: tuple[bytes, Headers]) -> _Shared:
        """Returns what shared fields mean together, and remembers it.

        Raises:
            ReadAllError: that is no plain call.
        """
        path, fields = key
        headers = edge_headers(fields)
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not is_host(hosts[0]):
            raise ReadAllError
        below, served = self.paths[path], self._served
        route, rpc = served.router.find_by_head("POST", below, headers, b"", has_trailers=True)
        head, error = parse_head(headers, self._allowed, is_rpc=True)
        if rpc is None or error is not None or not isinstance(route, RouteMatch):
            raise ReadAllError
        request = Request(
            *("POST", below, head, route, served),
            secure=self._secure,
            rpc=rpc,
            http_version=VERSION,
        )
        shared = _Shared(request, tuple(head.metadata))
        keep(self._shared, key, shared)
        return shared


def _seconds(name: bytes, value: bytes) -> float:
    """Returns the timeout that a field says; raises ReadAllError if it is none."""
    try:
        return _TIMEOUTS[name](value.decode("latin-1"))
    except ValueError:
        raise ReadAllError from None
