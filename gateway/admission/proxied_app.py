"""An ASGI application behind trusted proxies: its scopes say who calls, to all routes and middleware.

It does to a scope what the policy `Proxies` does to a `RequestInfo`, and takes the proxies' headers out of
it, so that nobody behind reads them twice.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.admission.networks import canonical_address
from gateway.admission.proxies import Caller, Proxies
from gateway.admission.proxy_settings import FORWARDED_KEYS
from gateway.doors.types import App, Receive, Scope, Send
from gateway.exchange.routing import below_root

_NAMES: Final = frozenset(key.encode() for key in FORWARDED_KEYS)
_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


class ProxiedApp:
    """Middleware around all other middleware."""

    def __init__(self, app: App, proxies: Proxies, root_path: str) -> None:
        """Takes the application.

        Args:
            app: what answers.
            proxies: who is believed.
            root_path: prefix that the settings name, which a proxy's own one replaces.
        """
        self._app = app
        self._proxies = proxies
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request on, with a scope of the client's."""
        if scope["type"] in ("http", "websocket"):
            scope = self._scope(scope)
        await self._app(scope, receive, send)

    def _scope(self, scope: Scope) -> Scope:
        peer = scope.get("client") or ("", 0)
        scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
        headers = scope["headers"]
        try:
            caller = self._proxies.caller(peer[0], scheme, headers)
        except ValueError:
            return scope  # the policy refuses it
        is_peer = caller.client == (canonical_address(peer[0]) or peer[0])
        is_websocket = scope["type"] == "websocket"
        return {
            **scope,
            "client": scope.get("client") if is_peer else (caller.client, 0),
            "scheme": _WEBSOCKET_SCHEMES[caller.scheme] if is_websocket else caller.scheme,
            "headers": _without_proxies(headers, caller),
            **({} if caller.root_path is None else self._below(scope, caller.root_path)),
        }

    def _below(self, scope: Scope, prefix: str) -> Scope:
        """Returns the paths of a scope below the prefix that a proxy has stripped, and any mount."""
        mounted = scope.get("root_path", "")
        root = prefix if mounted == self._root_path else prefix + mounted
        path, raw = scope["path"], scope.get("raw_path")
        if mounted == self._root_path and mounted and path.startswith(f"{mounted}/"):
            path = path.removeprefix(mounted)
        paths: Scope = {"root_path": root, "path": prefix + path}
        if raw is not None:
            text = raw.decode("latin-1")
            below = below_root(text, mounted) if mounted == self._root_path else text
            paths["raw_path"] = (prefix + below).encode("latin-1")
        return paths


def _without_proxies(headers: Any, caller: Caller) -> list[tuple[bytes, bytes]]:
    """Returns headers without those of proxies, and with the host that the client has asked."""
    host = caller.host.encode("latin-1")
    return [
        (name, host if name == b"host" else value) for name, value in headers if name not in _NAMES
    ]
