"""CORS: pages of the listed origins may call the edge, and read what it answers.

Preflight requests are answered from the contract, and from the routes of the framework. Responses, errors
too, get their headers before any other policy can refuse the request. A page of another origin gets none, so
its browser keeps the response from it; it cannot send unsafe requests either.

Source: Fetch Standard, section 3.3 (CORS protocol); RFC 9110, 12.5.5 (`Vary`); Private Network Access,
section 3.1. WebSockets are no part of CORS, and have none of its headers; the same list opens them, those of
the framework's routes too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final, NamedTuple, NoReturn

from gateway.admission.cors_settings import CorsSettings
from gateway.exchange.policy import Answer
from gateway.exchange.request_info import RequestInfo, Wire
from gateway.transcoding.metadata import PREFIX, Headers
from gateway.transcoding.origin import Origins, is_same_origin
from gateway.transcoding.status import PERMISSION_DENIED, StatusError
from gateway.transcoding.violations import quoted

ANY_METHOD: Final = "*"
"""Among the HTTP methods of a path: it takes every one."""
PathMethods = Callable[[str], Awaitable[Collection[str]]]
"""Returns the HTTP methods that a path takes, whoever answers it; none: there is no such path."""

REQUEST_HEADERS: Final = (
    "authorization",
    "baggage",
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-type",
    "grpc-timeout",
    "last-event-id",
    "traceparent",
    "tracestate",
    "x-grpc-web",
    "x-request-id",
    "x-server-timeout",
    "x-user-agent",
)
"""Request headers that listed pages may send without a setting, beside `Grpc-Metadata-…`."""
RESPONSE_HEADERS: Final = (
    "allow",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
    "x-request-id",
)
"""Response headers of the edge itself that listed pages may read, beside those that Fetch safelists."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""RFC 9110, section 9.2.1."""
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_KEY: Final = re.compile(rb"[0-9a-z_.-]{1,128}")
"""Name of metadata behind `Grpc-Metadata-`."""
_MAX_NAMES: Final = 64
"""Maximum requested headers that are looked at."""
_MAX_ORIGINS: Final = 1024
"""Maximum entries of the cache of origins; a full cache is emptied."""
_MAX_ORIGIN: Final = 300
"""Maximum characters of a cached origin: a host has at most 253."""

_WEBSOCKET: Final = Wire.WEBSOCKET
_METHOD: Final = b"access-control-request-method"
_HEADERS: Final = b"access-control-request-headers"
_NETWORK: Final = b"access-control-request-private-network"


class _Origin(NamedTuple):
    """What one origin is answered with."""

    response: Headers
    """Headers of every response but that to a preflight request."""
    preflight: Headers
    """Headers of every response to a preflight request."""
    allowed: bool = True


class Cors:
    """The policy. It is made for at least one origin."""

    def __init__(
        self,
        settings: CorsSettings,
        path_methods: PathMethods,
        *,
        from_callers: Iterable[str] = (),
        from_metadata: Iterable[str] = (),
    ) -> None:
        """Compiles the settings.

        Args:
            settings: the section `cors`.
            path_methods: asked for paths, or methods of paths, that the contract does not have.
            from_callers: request headers that the edge reads: for metadata, as an API key, and so on.
            from_metadata: response headers that the edge makes of the server's metadata.
        """
        self._origins = Origins(settings.origins)
        self._path_methods = path_methods
        self._credentials = settings.credentials
        self._network = settings.private_network
        self._max_age = b"%d" % settings.max_age_seconds
        self._allowed_headers = ", ".join(request_headers(settings, from_callers)).encode()
        exposed = ", ".join(response_headers(settings, from_metadata)).encode()
        self._exposed: Headers = ((b"access-control-expose-headers", exposed),)
        self._every = self._of_any() if self._origins.any else None
        self._seen: dict[str, _Origin] = {"": self._not_listed()}
        """Origin as it came -> its answer; without one the response says that it depends on it."""

    def admit(self, request: RequestInfo) -> Awaitable[None] | None:
        """Adds the headers; answers a preflight request.

        Raises:
            Answer: to a preflight request.
            StatusError: PERMISSION_DENIED, a page of another origin sends a preflight request, opens a
                WebSocket, or sends a request with an unsafe method.
        """
        if request.wire is _WEBSOCKET:
            if request.origin and not self._origins.allow(request.origin):
                self._check_own(request)
            return None
        origin = self._of(request.origin)
        if request.http_method == "OPTIONS" and _is_preflight(request):
            request.is_preflight = True
            request.response_headers += origin.preflight
            return self._answer(request) if origin.allowed else self._refuse(request)
        request.response_headers += origin.response
        if not origin.allowed and request.http_method not in _SAFE and request.origin:
            self._check_own(request)
        return None

    def headers_for(self, origin: str) -> Headers:
        """Returns the headers of a response to an origin, for what is refused before it is a request."""
        return self._of(origin).response

    def _of(self, origin: str) -> _Origin:
        return self._every or self._seen.get(origin) or self._learn(origin)

    def _learn(self, origin: str) -> _Origin:
        """Returns the answer to an origin, and remembers it."""
        allowed = self._origins.allow(origin)
        found = self._listed(origin.encode("latin-1")) if allowed else self._not_listed()
        if len(origin) <= _MAX_ORIGIN:
            if len(self._seen) >= _MAX_ORIGINS:
                self._seen = {"": self._seen[""]}
            self._seen[origin] = found
        return found

    def _of_any(self) -> _Origin:
        """Every origin, and a request without one, has the same response, which so does not vary."""
        allow = ((b"access-control-allow-origin", b"*"),)
        return _Origin((*allow, *self._exposed), (*allow, self._preflight_vary()))

    def _listed(self, origin: bytes) -> _Origin:
        allow: Headers = ((b"access-control-allow-origin", origin),)
        if self._credentials:
            allow = (*allow, (b"access-control-allow-credentials", b"true"))
        vary = (b"vary", b"Origin")
        return _Origin((*allow, *self._exposed, vary), (*allow, self._preflight_vary(b"Origin")))

    def _not_listed(self) -> _Origin:
        return _Origin(((b"vary", b"Origin"),), (self._preflight_vary(b"Origin"),), allowed=False)

    def _preflight_vary(self, *names: bytes) -> tuple[bytes, bytes]:
        names = (*names, b"Access-Control-Request-Method", b"Access-Control-Request-Headers")
        if self._network:
            names = (*names, b"Access-Control-Request-Private-Network")
        return b"vary", b", ".join(names)

    def _answer(self, request: RequestInfo) -> Awaitable[None] | None:
        """Answers a preflight request, at once if the contract has the method."""
        asked = (request.header(_METHOD) or b"").decode("latin-1")
        if asked in request.allowed_methods:
            raise self._allow(request, request.allowed_methods)
        return self._ask(request, asked)

    async def _ask(self, request: RequestInfo, asked: str) -> None:
        """Answers for a path that has the method, if at all, by a route that is not the contract's.

        If it has not, the response lists the others: a browser then says in its console which method is not
        allowed, and sends GET and POST all the same, so that the page can read the 405. A path that there is
        not is left to the other policies and the router, which answers 404.
        """
        methods = {*request.allowed_methods, *await self._path_methods(request.path)}
        if ANY_METHOD in methods and _TOKEN.fullmatch(asked):
            methods = methods - {ANY_METHOD} | {asked}
        if methods:
            raise self._allow(request, sorted(methods))

    def _allow(self, request: RequestInfo, methods: Iterable[str]) -> Answer:
        """Makes the answer that allows these methods, and the headers that any page may send."""
        requested = request.header(_HEADERS)
        names = self._allowed_headers
        if requested is not None and PREFIX in requested:
            names = b", ".join((names, *_metadata_names(requested)))
        headers: Headers = (
            (b"access-control-allow-methods", ", ".join(methods).encode("latin-1")),
            (b"access-control-allow-headers", names),
            (b"access-control-max-age", self._max_age),
        )
        if self._network and request.header(_NETWORK) == b"true":
            headers = (*headers, (b"access-control-allow-private-network", b"true"))
        return Answer(204, headers)

    def _check_own(self, request: RequestInfo) -> None:
        """Lets the edge's own pages send unsafe requests, and open WebSockets.

        A browser says itself whose page asks (Fetch Metadata, section 2.3), which holds behind a proxy that
        changes `Host` too.
        """
        if request.wire is Wire.HTTP and request.header(b"sec-fetch-site") == b"same-origin":
            return
        if not is_same_origin(request.origin, request.host, secure=request.scheme == "https"):
            self._refuse(request)

    def _refuse(self, request: RequestInfo) -> NoReturn:
        origin = quoted(request.origin)
        raise StatusError.of(
            PERMISSION_DENIED, f"the origin {origin} is not allowed: it is not in cors_origins"
        )


def _is_preflight(request: RequestInfo) -> bool:
    """Whether an OPTIONS is a preflight request; one that the contract has a method for calls that."""
    return (
        request.method is None
        and request.header(b"origin") is not None
        and request.header(_METHOD) is not None
    )


def request_headers(settings: CorsSettings, from_callers: Iterable[str]) -> tuple[str, ...]:
    """Returns the request headers that listed pages may send, without `Grpc-Metadata-…`."""
    return _sorted(REQUEST_HEADERS, from_callers, settings.headers)


def response_headers(settings: CorsSettings, from_metadata: Iterable[str]) -> tuple[str, ...]:
    """Returns the response headers that listed pages may read."""
    return _sorted(RESPONSE_HEADERS, from_metadata, settings.exposed_headers)


def _sorted(*lists: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name.lower() for names in lists for name in names}))


def _metadata_names(requested: bytes) -> list[bytes]:
    """Returns the names of metadata among requested headers; the edge forwards them under any name."""
    names = [name.strip().lower() for name in requested.split(b",", _MAX_NAMES)[:_MAX_NAMES]]
    return [name for name in names if name.startswith(PREFIX) and _KEY.fullmatch(name, len(PREFIX))]
