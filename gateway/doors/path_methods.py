"""Which HTTP methods a path takes, whoever answers it: the contract, a route of the framework, or a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match

from gateway.contract.http_rule import ANY_METHOD
from gateway.contract.route_table import RouteMatch
from gateway.doors.asgi import OtherMethods
from gateway.doors.pages import Pages
from gateway.doors.types import Scope
from gateway.exchange.edge import Edge
from gateway.exchange.routing import allowed_methods

_NONE: Final = ""
"""An HTTP method that no route has."""


class PathMethods:
    """Looks paths up in an application. It is for preflight requests, which are rare: nothing is cached."""

    def __init__(self, app: FastAPI) -> None:
        """Takes the application, whose routes and contract are read at each call."""
        self._app = app

    async def __call__(self, path: str) -> frozenset[str]:
        """Returns the HTTP methods that a path takes; empty: there is no such path.

        `*` is among them if the path takes any, or its methods are unknown, as those of a mounted application
        without a list of routes are.

        Args:
            path: as it came, percent-encoded, below the root path.
        """
        edge: Edge = self._app.state.edge
        route = edge.served.router.find(_NONE, path)
        contract = (ANY_METHOD,) if isinstance(route, RouteMatch) else allowed_methods(route)
        scope: Scope = {
            "type": "http",
            "method": _NONE,
            "path": unquote(path),
            "root_path": "",
            "headers": [],
        }
        others = frozenset(_methods(self._app.router.routes, scope))
        found = others.union(contract)
        pages = self._app.router.default
        if not found and isinstance(pages, Pages):
            found = frozenset(await pages.methods(scope))
        return found


def _methods(routes: Iterable[BaseRoute], scope: Scope) -> Iterable[str]:
    for route in routes:
        if isinstance(route, OtherMethods):
            continue
        match, child = route.matches(scope)
        if match is Match.NONE:
            continue
        methods = getattr(route, "methods", None)
        inner = getattr(route, "routes", None)
        if methods:
            yield from methods
        elif inner:
            yield from _methods(inner, {**scope, **child})
        else:
            yield ANY_METHOD
