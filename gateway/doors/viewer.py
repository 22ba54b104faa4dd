"""The page at `docs_path`, which shows the OpenAPI document in Swagger UI.

Swagger UI's files come from the package `fastapi-swagger`. Every URL in the page is relative: nothing is
asked of another host, and the page works below a prefix that a reverse proxy adds. The page's policy forbids
scripts in its text, so the script that starts Swagger UI is a file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route, request_response
from starlette.staticfiles import StaticFiles

from gateway.doors.pages import PAGE_HEADERS

FILES: Final = ("swagger-ui.css", "swagger-ui-bundle.js", "viewer.js")
"""Names of the files that the page loads; each is served below the path of the page."""
_ETAG_DIGITS: Final = 32

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{folder}/swagger-ui.css">
<script src="{folder}/swagger-ui-bundle.js" defer></script>
<script src="{folder}/viewer.js" defer></script>
</head>
<body>
<noscript>This page needs JavaScript. The document itself is <a href="{document}">here</a>.</noscript>
<div id="viewer" data-document="{document}" data-root="{root}"></div>
</body>
</html>
"""


def viewer_routes(docs_path: str, openapi_path: str, title: Callable[[], str]) -> list[Route]:
    """Makes the routes of the page and of its files; they take GET and HEAD.

    Args:
        docs_path: path of the page.
        openapi_path: path of the document that it shows.
        title: returns the title of the page.

    Raises:
        AssertionError: `fastapi-swagger` is not installed.
    """
    static = Path(__file__).parent / "static"
    files = StaticFiles(directory=static, packages=[("fastapi_swagger", "resources")])

    async def show(_request: Request) -> Response:
        return HTMLResponse(_page(docs_path, openapi_path, title()), headers=PAGE_HEADERS)

    return [
        Route(docs_path, show),
        *(Route(f"{docs_path}/{name}", _file(files, name)) for name in FILES),
    ]


def secure_document(routes: Sequence[BaseRoute], openapi_path: str) -> None:
    """Adds the headers of pages, and an `ETag`, to the document, whose route is FastAPI's own."""
    for route in routes:
        if isinstance(route, Route) and route.path == openapi_path:
            route.app = request_response(_secured(route.endpoint))


def _secured(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def secured(request: Request) -> Response:
        response = await endpoint(request)
        etag = f'"{sha256(response.body).hexdigest()[:_ETAG_DIGITS]}"'
        known = request.headers.get("if-none-match", "")
        if etag in (each.strip().removeprefix("W/") for each in known.split(",")):
            response = Response(status_code=304)
        # behind a reload the document may be another one
        response.headers.update(PAGE_HEADERS | {"etag": etag})
        return response

    return secured


def _file(files: StaticFiles, name: str) -> Callable[[Request], Awaitable[Response]]:
    async def file(request: Request) -> Response:
        response = await files.get_response(name, request.scope)
        response.headers.update(PAGE_HEADERS)
        return response

    return file


def _page(docs_path: str, openapi_path: str, title: str) -> str:
    def relative(path: str) -> str:  # a first segment with a colon would be read as a scheme
        return escape("./" + posixpath.relpath(path, posixpath.dirname(docs_path)))

    return _PAGE.format(
        title=escape(title),
        folder=relative(docs_path),
        document=relative(openapi_path),
        root=relative("/"),
    )
