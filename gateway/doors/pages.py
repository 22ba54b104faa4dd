"""Static files beside the contract: what neither it nor the edge's own routes take.

By the Content-Security-Policy that goes with each file, a page loads from its own origin alone, runs no
script that stands in its text, and is put into no frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from gateway.doors.types import App, Receive, Scope, Send

_METHODS: Final = ("GET", "HEAD")
SECURITY_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""Headers of each page, of each file that it loads, and of the document that it shows."""
PAGE_HEADERS: Final = {
    **SECURITY_HEADERS,
    "cache-control": "no-cache",  # a browser asks each time, and is answered 304
}
"""Headers of each page, and of each file that it loads."""


class Pages(StaticFiles):
    """Answers with the files of a folder; what is none of them is left to `otherwise`."""

    def __init__(self, folder: Path, otherwise: App) -> None:
        super().__init__(directory=folder, html=True)
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request.

        Raises:
            HTTPException: 405, there is such a file, but it is not asked for with GET or HEAD.
        """
        if scope["type"] != "http":
            await self._otherwise(scope, receive, send)
            return
        found = await self._find(scope)
        if found is None:
            await self._otherwise(scope, receive, send)
            return
        if scope["method"] not in _METHODS:
            raise HTTPException(405, "this is a file", {"Allow": ", ".join(_METHODS)})
        found.headers.update(PAGE_HEADERS)
        await found(scope, receive, send)

    async def methods(self, scope: Scope) -> tuple[str, ...]:
        """Returns the HTTP methods that a path takes; none: there is no such file."""
        return () if await self._find(scope) is None else _METHODS

    async def _find(self, scope: Scope) -> Response | None:
        try:
            found = await self.get_response(self.get_path(scope), {**scope, "method": "GET"})
        except HTTPException:
            return None
        return None if found.status_code == 404 else found  # a folder's 404.html is no answer here
