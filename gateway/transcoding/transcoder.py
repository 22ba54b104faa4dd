"""The facade of the translation: a contract, made ready to be looked up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.contract.bindings import bind
from gateway.contract.descriptors import Contract
from gateway.contract.http_rule import accepts_websocket
from gateway.contract.route_table import NoRoute, RouteConflict, RouteMatch, RouteTable
from gateway.transcoding.codec import JsonCodec, JsonOptions
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.error_body import ErrorBodies
from gateway.transcoding.parameters import Parameters
from gateway.transcoding.status import INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, StatusError

_HANDSHAKE: Final = "GET"
"""What a WebSocket handshake is, whatever the method of the rule that it reaches (RFC 6455, 4.1)."""


class Transcoder:
    """Routes requests to endpoints, and writes statuses."""

    def __init__(
        self,
        contract: Contract,
        options: JsonOptions,
        *,
        ignore_unknown: bool = False,
        show_debug_info: bool = False,
    ) -> None:
        """Compiles every binding of the contract.

        Raises:
            ContractError: a rule is wrong, two bindings are the same, or there is none at all.
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
        self.errors = ErrorBodies(contract.pool, options, debug=show_debug_info)

    def match(self, http_method: str, raw_path: str) -> RouteMatch[Endpoint] | NoRoute:
        """Finds the endpoint of a request.

        Raises:
            StatusError: INVALID_ARGUMENT, for a captured text is not UTF-8.
        """
        return _match(self._routes, http_method, raw_path)

    def match_handshake(self, raw_path: str) -> RouteMatch[Endpoint] | NoRoute:
        """Finds the endpoint of a WebSocket handshake: one of a method of which a side streams.

        Raises:
            StatusError: INVALID_ARGUMENT, for a captured text is not UTF-8.
        """
        return _match(self._handshakes, _HANDSHAKE, raw_path)

    def _add_handshakes(self, endpoints: Iterable[Endpoint]) -> None:
        """Adds what a handshake reaches; of two methods on one path, the one whose client streams."""
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
    """Returns the methods that a path takes, with those that the edge itself answers for it."""
    if not miss.allowed:
        return []
    return sorted(miss.allowed | {"OPTIONS"} | ({"HEAD"} if "GET" in miss.allowed else set()))


def allow_header(methods: list[str]) -> tuple[bytes, bytes]:
    """Returns the header `Allow` (RFC 9110, 10.2.1)."""
    return b"allow", ", ".join(methods).encode()


def no_route(miss: NoRoute) -> StatusError:
    """Makes the error for a request that no binding takes: 405 where other methods would, else 404."""
    if methods := allowed_methods(miss):
        return StatusError.of(
            UNIMPLEMENTED,
            f"this path takes {', '.join(methods)}",
            http_status=405,
            headers=(allow_header(methods),),
        )
    return StatusError.of(NOT_FOUND, "no method of the contract is bound to this path")
