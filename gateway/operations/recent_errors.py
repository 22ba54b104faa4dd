"""The last errors of each route, for whoever looks at the admin page.

Rule: bounded, and nothing that a caller has sent but the id of its request, which is cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any, Final

from gateway.exchange.observer import RequestEnd
from gateway.transcoding.status import code_name

KEPT: Final = 8
"""Errors that are kept of a route."""
_MAX_ID: Final = 128
"""Maximum characters of an id."""


class RecentErrors:
    """The last errors of each route; there are as many routes as the contract has, and one for all else."""

    def __init__(self) -> None:
        self._by_route: dict[tuple[str, str], deque[tuple[float, int, int, str]]] = {}

    def add(self, route: str, http_method: str, end: RequestEnd) -> None:
        """Keeps an error; route and HTTP method are labels, so they are no caller's."""
        kept = self._by_route.get((route, http_method))
        if kept is None:
            kept = self._by_route[(route, http_method)] = deque(maxlen=KEPT)
        kept.append((end.time, end.http_status, end.code, end.request_id[:_MAX_ID]))

    def forget_others(self, routes: Collection[str]) -> None:
        """Forgets the errors of all routes but these, which are those of another contract."""
        self._by_route = {key: kept for key, kept in self._by_route.items() if key[0] in routes}

    def listed(self) -> list[dict[str, Any]]:
        """Returns all as JSON has them, the last one first."""
        found = [
            (at, status, code, request_id, route, method)
            for (route, method), kept in self._by_route.items()
            for at, status, code, request_id in kept
        ]
        found.sort(reverse=True)
        return [
            {
                "time": at,
                "route": route,
                "http_method": method,
                "status": status,
                "code": code_name(code),
                "request_id": request_id,
            }
            for at, status, code, request_id, route, method in found
        ]
