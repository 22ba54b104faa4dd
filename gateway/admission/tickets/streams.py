"""What a ticket may be bound to: the streams of the contract that a URL alone opens."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.contract.http_rule import Binding
from gateway.contract.route_table import RouteMatch
from gateway.exchange.routing import Route, Router, below_root


class Streams:
    """The streams that are opened by GET, or by a WebSocket handshake."""

    def __init__(self, router: Router, bindings: Iterable[Binding], root_path: str = "") -> None:
        """Takes the contract's routes and bindings, and a proxy's prefix of all paths."""
        methods = (binding.method for binding in bindings)
        self._router = router
        self._methods = {each.path for each in methods if each.stream_type.streams}
        self._root_path = root_path

    def has_method(self, path: str) -> bool:
        """Whether `/package.Service/Method` is served as a stream."""
        return path in self._methods

    def below_root(self, path: str) -> str | None:
        """Returns a path without the prefix; None if no stream is opened there.

        Args:
            path: percent-encoded and without a query, as a page sees it.
        """
        if "?" in path or "#" in path:
            return None
        path = below_root(path, self._root_path)
        found = (self._router.find("GET", path), self._router.find_handshake(path))
        return path if any(map(_is_stream, found)) else None


def _is_stream(route: Route) -> bool:
    return isinstance(route, RouteMatch) and bool(route.target.method.stream_type.streams)
