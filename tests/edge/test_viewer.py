"""The page that shows the OpenAPI document, and its files."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI

from tests.edge.asgi import ask
from tests.edge.conftest import MakeApp
from tests.edge.test_pages import POLICY

FILES = {
    "/docs/swagger-ui.css": ("text/css", b".swagger-ui"),
    "/docs/swagger-ui-bundle.js": ("javascript", b"SwaggerUIBundle"),
    "/docs/viewer.js": ("javascript", b"SwaggerUIBundle({"),
}


async def urls(app: FastAPI, path: str) -> list[str]:
    """Returns the URLs in the page, in their order."""
    page = (await ask(app, "GET", path)).body.decode()
    return [unescape(url) for url in re.findall(r'(?:src|href|data-\w+)="([^"]*)"', page)]


@pytest.mark.parametrize("path", ["/docs", *FILES])
async def test_page_and_files_have_the_policy(app: FastAPI, path: str) -> None:
    """Scripts come from files of the same origin, and types are taken as they are told."""
    answer = await ask(app, "GET", path)

    assert answer.status == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", FILES)
async def test_a_file_has_its_type(app: FastAPI, path: str) -> None:
    """A browser runs no script, and applies no style, of another type."""
    media_type, part = FILES[path]
    answer = await ask(app, "GET", path)

    assert media_type in answer.headers["content-type"]
    assert part in answer.body


@pytest.mark.parametrize("path", FILES)
async def test_a_file_that_has_not_changed_is_304(app: FastAPI, path: str) -> None:
    """A browser asks each time, and gets the file again only where it is another."""
    etag = (await ask(app, "GET", path)).headers["etag"]
    again = await ask(app, "GET", path, headers={"if-none-match": etag})

    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", FILES)
async def test_head_has_no_body(app: FastAPI, path: str) -> None:
    """HEAD is GET without the body."""
    head = await ask(app, "HEAD", path)

    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0


async def test_nothing_runs_that_is_no_file(app: FastAPI) -> None:
    """The page has neither a script nor a style in its text, and no handler of events."""
    page = (await ask(app, "GET", "/docs")).body.decode()

    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\s(?:style|on\w+)=", page)
    assert all(not text for text in re.findall(r"<script[^>]*>(.*?)</script>", page))


@pytest.mark.parametrize(
    ("settings", "page"),
    [
        ({}, "/docs"),
        ({"docs_path": "/-/docs"}, "/-/docs"),
        ({"docs_path": "/a/b/c", "openapi_path": "/a/api.json"}, "/a/b/c"),
        ({"docs_path": "/d:x", "openapi_path": "/o:y"}, "/d:x"),
        ({"docs_path": "/d&lt;'", "openapi_path": "/d&lt;'/document"}, "/d&lt;'"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/behind/a/proxy"])
async def test_urls_are_relative(
    make_app: MakeApp, settings: dict[str, Any], page: str, prefix: str
) -> None:
    """Wherever the page is, below whatever prefix, its URLs lead to the edge's own paths there."""
    told = {"openapi_path": "/openapi.json", "docs_path": "/docs"} | settings
    icon, *relative = await urls(make_app(**settings), page)

    assert icon == "data:,"
    assert all(url.startswith("./") for url in relative)
    base = f"https://edge.test{prefix}"
    found = {urljoin(base + page, url) for url in relative}
    files = {f"{base}{page}/{path.rpartition('/')[2]}" for path in FILES}
    assert found == {*files, base + told["openapi_path"], f"{base}/"}


async def test_there_is_one_page(app: FastAPI) -> None:
    """FastAPI's own pages, whose scripts come from a public host, are closed."""
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert (await ask(app, "GET", path)).status == 404


async def test_an_application_that_is_mounted_has_it_too(app: FastAPI) -> None:
    """Below a path of another application the page and its files are there."""
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    outer.mount("/below", app)

    for path in ("/docs", *FILES):
        assert (await ask(outer, "GET", f"/below{path}")).status == 200
