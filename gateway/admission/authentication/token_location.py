"""Where a token is in a request: in `Authorization`, or in a cookie; never in the query.

Sources: RFC 6750, section 2.1 and 2.3; RFC 9700, section 4.3.2 (no tokens in URLs); RFC 6265, section 5.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.exchange.request_info import RequestInfo, Wire
from gateway.transcoding.origin import is_same_origin, serialized_origin
from gateway.transcoding.status import PERMISSION_DENIED, StatusError

_PARAMETER: Final = b"access_token"
_SCHEME: Final = b"bearer "
_SCHEME_SIZE: Final = len(_SCHEME)
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110, section 9.2.1."""


class LocationError(Exception):
    """A token is where it may not be, or twice; the text says so."""


class TokenLocation:
    """Finds the token of a request."""

    def __init__(
        self,
        cookie: str = "",
        *,
        refuse_query: bool = True,
        allows_origin: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Takes where tokens may be.

        Args:
            cookie: name of the cookie; empty: none is read.
            refuse_query: whether `access_token` in the query is an error.
            allows_origin: whether a page of an origin other than the edge's own, which is serialized, may
                send the cookie.
        """
        self._cookie = cookie.encode("ascii")
        self._refuse_query = refuse_query
        self._allows_origin = allows_origin

    def find(self, request: RequestInfo) -> bytes | None:
        """Returns the token; None if there is none.

        A token in `Authorization` wins over a cookie, which browsers add by themselves.

        Raises:
            LocationError: it is in the query, or there are two.
            StatusError: PERMISSION_DENIED, a page of a foreign origin sends the cookie.
        """
        if self._refuse_query and _PARAMETER in request.query:
            self._check_query(request.query)
        authorization = request.header_values(b"authorization")
        if len(authorization) > 1:
            raise LocationError("Authorization is given more than once")
        if authorization:
            value = authorization[0]
            if value[:_SCHEME_SIZE].lower() == _SCHEME and (
                token := value[_SCHEME_SIZE:].strip(b" ")
            ):
                return token
            if value.lower().rstrip(b" ") == b"bearer":
                raise LocationError("Authorization has the scheme Bearer, and no token")
        return self._cookie_token(request) if self._cookie else None

    def _check_query(self, query: bytes) -> None:
        names = (part.partition(b"=")[0] for part in query.split(b"&"))
        if any(unquote_to_bytes(name) == _PARAMETER for name in names):
            raise LocationError(
                "access_token is in the query, which ends up in logs; send it as Authorization: Bearer"
            )

    def _cookie_token(self, request: RequestInfo) -> bytes | None:
        lines = request.header_values(b"cookie")
        pairs = (pair.strip(b" ").partition(b"=") for line in lines for pair in line.split(b";"))
        tokens = [value for name, _, value in pairs if name == self._cookie]
        if not tokens:
            return None
        if len(tokens) > 1:  # perhaps of a sibling's domain
            raise LocationError("the cookie with the token is given more than once")
        if request.wire is Wire.WEBSOCKET or request.http_method not in SAFE_METHODS:
            self._check_origin(request)
        return tokens[0].strip(b'"') or None

    def _check_origin(self, request: RequestInfo) -> None:
        """Refuses a page of a foreign origin: browsers add cookies whoever asks.

        Raises:
            StatusError: PERMISSION_DENIED.
        """
        origin = request.header(b"origin")
        if origin is None:
            if request.wire is Wire.HTTP and request.header(b"sec-fetch-site") == b"same-origin":
                return
            raise StatusError.of(
                PERMISSION_DENIED,
                "a token in a cookie needs an Origin here; send Origin, or Authorization: Bearer",
            )
        try:
            page = serialized_origin(origin.decode("latin-1"))
        except ValueError:  # null, as that of a sandboxed frame
            page = ""
        if page and is_same_origin(page, request.host, secure=request.scheme == "https"):
            return
        if not page or not self._allows_origin(page):
            raise StatusError.of(
                PERMISSION_DENIED, "a page of this origin may not use the token of a cookie"
            )
