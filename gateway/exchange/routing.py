"""Finds the method of a request in the contract's table."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

from gateway.contract.route_table import NoRoute, RouteMatch
from gateway.contract.unknown_method import is_method_path
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.request_head import RequestHead
from gateway.transcoding.rpc.choose import choose, is_plain
from gateway.transcoding.rpc.wire import RpcWire
from gateway.transcoding.status import UNIMPLEMENTED, StatusError
from gateway.transcoding.transcoder import Transcoder
from gateway.transcoding.transcoder import allowed_methods as all_allowed_methods
from gateway.transcoding.violations import quoted

NO_ROUTE: Final = NoRoute(frozenset())
"""A path that no binding has."""
_OWN_PATH: Final = NoRoute(frozenset({"GET"}))
"""A path of the edge's own, asked with another method than it takes."""
_POSTED_PATH: Final = NoRoute(frozenset({"POST"}))
"""The same for one that takes POST."""

_OFF: Final = "gRPC, gRPC-Web and Connect are switched off here"
_NO_TRAILERS: Final = "gRPC needs HTTP/2 to the edge itself: use it, or gRPC-Web, or Connect"


class Options(NamedTuple):
    """A request with OPTIONS for a path that takes these methods."""

    methods: list[str]


Route: TypeAlias = RouteMatch[Endpoint] | NoRoute | Options | StatusError
"""What the table says of a request; a StatusError is what is wrong with its path."""


class Router:
    """Looks requests up."""

    def __init__(
        self,
        transcoder: Transcoder,
        own_paths: Container[str] = (),
        *,
        posted: Container[str] = (),
    ) -> None:
        """Takes the table, and the paths that the framework's routes answer whatever the contract says.

        Of these paths, those in `posted` take POST, the others GET and HEAD.
        """
        self._transcoder = transcoder
        self._own_paths = own_paths
        self._posted = posted
        self._literal = {
            key: match
            for key, match in transcoder.literal_routes.items()
            if not self._is_own(key[1])
        }

    @property
    def literal_paths(self) -> Iterable[tuple[str, str]]:
        """HTTP methods and paths of the contract that have no variables."""
        return self._literal

    def find(self, http_method: str, path: str) -> Route:
        """Looks a request over HTTP up.

        Args:
            http_method: as it came.
            path: as it came, percent-encoded, without the query.
        """
        literal = self._literal.get((http_method, path))
        if literal is not None:
            return literal
        if self._is_own(path):
            return _own_path(http_method, posted=unquote(path) in self._posted)
        try:
            found = self._transcoder.match(http_method, path)
            if isinstance(found, NoRoute) and http_method == "HEAD" and "GET" in found.allowed:
                found = self._transcoder.match("GET", path)
        except StatusError as error:
            return error
        if isinstance(found, NoRoute) and http_method == "OPTIONS":
            if path in self._transcoder.rpc:
                found = NoRoute(found.allowed | {"POST"})
            if found.allowed:
                return Options(all_allowed_methods(found))
        return found

    def find_by_head(
        self,
        http_method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        query: bytes,
        *,
        has_trailers: bool,
    ) -> tuple[Route, RpcWire | None]:
        """Looks a request up that may be an RPC on its own wire; with None it is not, and REST.

        Args:
            http_method: as it came.
            path: as it came, percent-encoded, without the query.
            headers: all, with names in lower case.
            query: as it came.
            has_trailers: whether the response can have trailers, which gRPC needs.
        """
        if path in self._transcoder.rpc:
            found = self._find_rpc(http_method, path, headers, query, has_trailers=has_trailers)
            return found or (self.find(http_method, path), None)
        route = self.find(http_method, path)
        if not isinstance(route, NoRoute):
            return route, None
        found = self._find_rpc(http_method, path, headers, query, has_trailers=has_trailers)
        return found or (route, None)

    def _find_rpc(
        self,
        http_method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        query: bytes,
        *,
        has_trailers: bool,
    ) -> tuple[Route, RpcWire] | None:
        match = self._transcoder.rpc.get(path)
        method = None if match is None else match.target.method
        choice = choose(http_method, headers, query, method)
        if choice is None:
            return None
        wire, error = choice
        if wire.needs_trailers and not has_trailers:
            error = StatusError.of(UNIMPLEMENTED, _NO_TRAILERS)
        if match is None and error is None:
            match = self._find_unknown(path, wire)
        if match is None:
            off = self._transcoder.rpc_methods == "off"
            text = _OFF if off else f"no method {quoted(path)} is served"
            error = StatusError.of(UNIMPLEMENTED, text, http_status=404)
        elif wire.name == "connect-stream" and not match.target.method.streams:
            text = f"{match.target.method.full_name} is unary"
            error = StatusError.of(UNIMPLEMENTED, text)
        if match is None or error is not None:
            return error or NO_ROUTE, wire
        wire.bind(match.target)
        return match, wire

    def _find_unknown(self, path: str, wire: RpcWire) -> RouteMatch[Endpoint] | None:
        """Returns the route of a method of the upstream that the contract does not know, if they are served.

        Its messages pass as bytes, so JSON has no route.
        """
        is_served = self._transcoder.rpc_methods == "upstream" and not self._is_own(path)
        if not is_served or wire.content_type.endswith("json") or not is_method_path(path):
            return None
        return self._transcoder.unknown_rpc(path, streams=not wire.is_whole)

    def is_rpc(self, path: str, head: RequestHead) -> bool:
        """Whether a request with a body is an RPC on its own wire; see `find_by_head`."""
        return path in self._transcoder.rpc and not is_plain(
            head.content_type, names_connect=head.names_connect
        )

    def find_handshake(self, path: str) -> Route:
        """Looks a WebSocket handshake up."""
        if self._is_own(path):
            return NO_ROUTE
        try:
            return self._transcoder.match_handshake(path)
        except StatusError as error:
            return error

    def _is_own(self, path: str) -> bool:
        """Returns whether one of the framework's routes has a path; they see it decoded."""
        return path in self._own_paths or ("%" in path and unquote(path) in self._own_paths)


def _own_path(http_method: str, *, posted: bool) -> Route:
    """Returns the route of a path of the edge's own, which takes GET and HEAD, or POST."""
    if http_method in (("POST",) if posted else ("GET", "HEAD")):
        return NO_ROUTE  # and so the framework's to answer
    own = _POSTED_PATH if posted else _OWN_PATH
    return Options(all_allowed_methods(own)) if http_method == "OPTIONS" else own


def allowed_methods(route: Route) -> tuple[str, ...]:
    """Returns the HTTP methods that a path has, of a request whose method is none of them."""
    if isinstance(route, Options):
        return tuple(route.methods)
    return tuple(all_allowed_methods(route)) if isinstance(route, NoRoute) and route.allowed else ()


def below_root(path: str, root_path: str) -> str:
    """Returns a path without the root that the application has, where it starts with that.

    Args:
        path: percent-encoded.
        root_path: decoded, as ASGI has it.
    """
    if not root_path:
        return path
    root = quote(root_path)
    return path.removeprefix(root) if path.startswith(f"{root}/") else path
