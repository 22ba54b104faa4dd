"""The transcoder of a contract: its endpoints and their routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.contract.bindings import RpcMethods, bind, rpc_bindings, rpc_methods
from gateway.contract.descriptors import Contract
from gateway.contract.http_rule import Binding, accepts_websocket
from gateway.contract.method import Method
from gateway.contract.route_table import NoRoute, RouteConflict, RouteMatch, RouteTable
from gateway.contract.unknown_method import unknown_binding
from gateway.transcoding.codec import JsonCodec, JsonOptions
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.error_body import ErrorBodies
from gateway.transcoding.parameters import Parameters
from gateway.transcoding.status import INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, StatusError
from gateway.transcoding.violations import truncated

_HANDSHAKE: Final = "GET"
"""HTTP method of a WebSocket handshake (RFC 6455, 4.1), whatever the HTTP method of the rule."""


class Transcoder:
    """Matches requests with endpoints, and prints errors."""

    def __init__(
        self,
        contract: Contract,
        options: JsonOptions,
        *,
        ignore_unknown: bool = False,
        show_debug_info: bool = False,
        rpc: RpcMethods = "contract",
    ) -> None:
        """Compiles all bindings of a contract.

        Args:
            contract: the contract.
            options: default options of the JSON.
            ignore_unknown: whether unknown fields, parameters and enum values in requests are ignored.
            show_debug_info: whether errors show `google.rpc.DebugInfo`.
            rpc: which methods gRPC, gRPC-Web and Connect reach.

        Raises:
            ContractError: a rule is invalid, two bindings have the same route, or there is no binding.
        """
        codec = JsonCodec(contract.pool, options, ignore_unknown=ignore_unknown)
        parameters = Parameters(codec.decoder)
        self.bindings, problems = bind(contract.methods)
        if problems:
            raise problems[0]
        self._routes: RouteTable[Endpoint] = RouteTable(fully_decode=contract.fully_decode)
        self._handshakes: RouteTable[Endpoint] = RouteTable(fully_decode=contract.fully_decode)
        endpoints = [Endpoint(binding, codec, parameters) for binding in self.bindings]
        for endpoint in endpoints:
            self._routes.add(endpoint.binding.http_method, endpoint.binding.template, endpoint)
        self._add_handshakes(endpoints)
        self._codec, self._parameters = codec, parameters
        self.rpc: dict[str, RouteMatch[Endpoint]] = {}
        """`/package.Service/Method` -> route of a call that is an RPC on its own wire."""
        self.rpc_methods = rpc
        self.add_rpc(rpc_methods(contract.methods, self.bindings, rpc))
        self.errors = ErrorBodies(contract.pool, options, debug=show_debug_info)

    @property
    def literal_routes(self) -> Mapping[tuple[str, str], RouteMatch[Endpoint]]:
        """HTTP method and path -> route, of templates without variables and wildcards; see `match`."""
        return self._routes.literal

    def add_rpc(self, methods: Iterable[Method]) -> None:
        """Adds routes of RPCs on their own wires; a method that has one keeps it."""
        for path, binding in rpc_bindings(methods, self.bindings).items():
            if path not in self.rpc:
                endpoint = Endpoint(binding, self._codec, self._parameters, raw=False)
                self.rpc[path] = RouteMatch(endpoint, ())

    def unknown_rpc(self, path: str, *, streams: bool) -> RouteMatch[Endpoint]:
        """Makes the route of a call whose method the contract does not know; see `unknown_binding`."""
        binding = unknown_binding(path, streams=streams)
        return RouteMatch(Endpoint(binding, self._codec, self._parameters, raw=False), ())

    @property
    def all_bindings(self) -> list[Binding]:
        """The bindings of HTTP rules, and those of each method's own path, without repetition."""
        own = (match.target.binding for match in self.rpc.values())
        return list(dict.fromkeys((*self.bindings, *own)))

    def match(self, http_method: str, raw_path: str) -> RouteMatch[Endpoint] | NoRoute:
        """Finds the endpoint of a request.

        Raises:
            StatusError: INVALID_ARGUMENT, a captured text is not UTF-8.
        """
        return _match(self._routes, http_method, raw_path)

    def match_handshake(self, raw_path: str) -> RouteMatch[Endpoint] | NoRoute:
        """Finds the endpoint of a WebSocket handshake; only streaming methods have one.

        Raises:
            StatusError: INVALID_ARGUMENT, a captured text is not UTF-8.
        """
        return _match(self._handshakes, _HANDSHAKE, raw_path)

    def no_route(self, miss: NoRoute, http_method: str, raw_path: str) -> StatusError:
        """Makes the error for a request without a route: 405 if the path has others, otherwise 404."""
        if methods := allowed_methods(miss):
            asked = "GET" if http_method == "HEAD" else truncated(http_method)  # they answer alike
            return StatusError.of(
                UNIMPLEMENTED,
                f"this path takes the HTTP methods {_listed(methods)}, not {asked}",
                http_status=405,
                headers=(allow_header(methods),),
            )
        return StatusError.of(
            NOT_FOUND, _no_path(self._routes, "no method of the contract", raw_path)
        )

    def no_handshake(self, raw_path: str) -> StatusError:
        """Makes the error for a WebSocket handshake without a route, 404."""
        text = _no_path(self._handshakes, "no streaming method", raw_path)
        for endpoint in self._routes.targets_of(raw_path):
            streams = endpoint.method.streams
            reason = "carries raw data" if streams else "is unary"
            text = f"{text}: {endpoint.method.full_name} {reason}"
            break
        return StatusError.of(NOT_FOUND, text)

    def _add_handshakes(self, endpoints: Iterable[Endpoint]) -> None:
        """Adds the routes of handshakes. Of two methods with one path, the one with a client stream wins."""
        streaming = [endpoint for endpoint in endpoints if accepts_websocket(endpoint.binding)]
        for endpoint in sorted(streaming, key=lambda e: not e.method.stream_type.client):
            try:
                self._handshakes.add(_HANDSHAKE, endpoint.binding.template, endpoint)
            except RouteConflict:
                continue


def _match(
    table: RouteTable[Endpoint], http_method: str, raw_path: str
) -> RouteMatch[Endpoint] | NoRoute:
    try:
        return table.match(http_method, raw_path)
    except UnicodeDecodeError:
        raise StatusError.of(INVALID_ARGUMENT, "the path is not UTF-8") from None


def allowed_methods(miss: NoRoute) -> list[str]:
    """Returns the HTTP methods of a path, with OPTIONS and HEAD, which the edge adds; empty: no such path."""
    if not miss.allowed:
        return []
    return sorted(miss.allowed | {"OPTIONS"} | ({"HEAD"} if "GET" in miss.allowed else set()))


def allow_header(methods: list[str]) -> tuple[bytes, bytes]:
    """Returns the header `Allow` (RFC 9110, 10.2.1)."""
    return b"allow", ", ".join(methods).encode()


def _listed(methods: list[str]) -> str:
    *others, last = methods
    return f"{', '.join(others)} and {last}" if others else last


def _no_path(table: RouteTable[Endpoint], what: str, raw_path: str) -> str:
    """Returns the text of a 404, with the template that may have been meant."""
    text = f"{what} is bound to this path"
    near = table.near(raw_path)
    if near is None:
        return text
    if raw_path.endswith("/"):
        text += ", which has a trailing slash"
    return f"{text}; did you mean {near}?"
