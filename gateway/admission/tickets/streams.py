"""What a ticket may be bound to: the streams of the contract in force that a URL alone opens."""

from __future__ import annotations

from collections.abc import Callable

from gateway.contract.route_table import RouteMatch
from gateway.exchange.routing import Route, below_root
from gateway.exchange.served import ServedContract


class Streams:
    """The streams that are opened by GET, or by a WebSocket handshake."""

    def __init__(self, served: Callable[[], ServedContract], root_path: str = "") -> None:
        """Takes what returns the contract in force, and a proxy's prefix of all paths."""
        self._served = served
        self._root_path = root_path

    def has_method(self, path: str) -> bool:
        """Whether `/package.Service/Method` is served as a stream."""
        methods = (binding.method for binding in self._served().transcoder.bindings)
        return any(each.path == path and each.streams for each in methods)

    def below_root(self, path: str) -> str | None:
        """Returns a path without the prefix; None if no stream is opened there.

        Args:
            path: percent-encoded and without a query, as a page sees it.
        """
        if "?" in path or "#" in path:
            return None
        path = below_root(path, self._root_path)
        router = self._served().router
        found = (router.find("GET", path), router.find_handshake(path))
        return path if any(map(_is_stream, found)) else None


def _is_stream(route: Route) -> bool:
    return isinstance(route, RouteMatch) and route.target.method.streams
