"""What a ticket may be bound to: the streams of the contract that a URL alone opens."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.contract.method import Method
from gateway.contract.route_table import RouteMatch
from gateway.exchange.routing import Route, Router


class Streams:
    """The streams that are opened by GET, or by a WebSocket handshake."""

    def __init__(self, router: Router, methods: Iterable[Method]) -> None:
        """Takes the contract's routes, and the methods that have one."""
        self._router = router
        self._methods = {each.path for each in methods if each.stream_type.value}

    def has_method(self, path: str) -> bool:
        """Whether `/package.Service/Method` is served as a stream."""
        return path in self._methods

    def has_path(self, path: str) -> bool:
        """Whether a stream is opened at a path, percent-encoded and without a query."""
        if "?" in path or "#" in path:
            return False
        found = (self._router.find("GET", path), self._router.find_handshake(path))
        return any(map(_is_stream, found))


def _is_stream(route: Route) -> bool:
    return isinstance(route, RouteMatch) and bool(route.target.method.stream_type.value)
