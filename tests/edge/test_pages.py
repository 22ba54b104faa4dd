"""Static files beside the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.edge.asgi import ask, connect
from tests.edge.conftest import MakeApp

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@pytest.fixture
def paged(tmp_path: Path, make_app: MakeApp) -> FastAPI:
    """An application with a folder of files, two of which never show."""
    folder = tmp_path / "pages"
    (folder / "v1").mkdir(parents=True)
    (folder / "docs").write_text("the edge has this path")
    (folder / "index.html").write_text("<!doctype html><title>Hi</title>")
    (folder / "page.js").write_text("export {};")
    (folder / "404.html").write_text("nothing here")
    (folder / "v1" / "bidi").write_text("the contract has this path")
    (tmp_path / "secret").write_text("outside")
    (folder / "link").symlink_to(tmp_path / "secret")
    return make_app(pages=folder)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("/", "html"), ("/index.html", "html"), ("/page.js", "javascript")],
)
async def test_files_are_served_with_their_policy(
    paged: FastAPI, path: str, media_type: str
) -> None:
    """A file has its type, and headers that keep the page to its own origin."""
    request = await ask(paged, "GET", path)

    assert request.status == 200
    assert media_type in request.headers["content-type"]
    assert request.headers["content-security-policy"] == POLICY
    assert request.headers["x-content-type-options"] == "nosniff"
    assert request.headers["referrer-policy"] == "no-referrer"


async def test_a_file_that_has_not_changed_is_304(paged: FastAPI) -> None:
    """A browser asks each time, and gets the file again only where it is another."""
    first = await ask(paged, "GET", "/")
    again = await ask(paged, "GET", "/", headers={"if-none-match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"
    assert (again.status, again.body) == (304, b"")


async def test_head_has_no_body(paged: FastAPI) -> None:
    """HEAD is GET without the body."""
    request = await ask(paged, "HEAD", "/")

    assert (request.status, request.body) == (200, b"")


@pytest.mark.parametrize("http_method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_on_a_file_are_405(paged: FastAPI, http_method: str) -> None:
    """A file is there to be read."""
    request = await ask(paged, http_method, "/page.js")

    assert (request.status, request.headers["allow"]) == (405, "GET, HEAD")
    assert request.json == {"code": 12, "message": "this is a file"}


@pytest.mark.parametrize(
    ("http_method", "path"),
    [
        ("GET", "/nothing"),
        ("POST", "/nothing"),
        ("GET", "/404"),
        ("GET", "/../secret"),
        ("GET", "/..%2Fsecret"),
        ("GET", "/%2Fetc%2Fpasswd"),
        ("GET", "/link"),
        ("GET", "/%00"),
    ],
)
async def test_what_is_no_file_is_404_as_before(
    paged: FastAPI, http_method: str, path: str
) -> None:
    """Unknown paths, and those that lead out of the folder, are answered with a Status."""
    request = await ask(paged, http_method, path)

    assert request.status == 404
    assert request.json == {"code": 5, "message": "no method of the contract is bound to this path"}


async def test_the_contract_comes_first(paged: FastAPI) -> None:
    """A file hides neither a path of the contract, nor its 405, nor the edge's own routes."""
    assert (await ask(paged, "GET", "/v1/bidi")).headers["allow"].startswith("OPTIONS, POST")
    assert (await ask(paged, "GET", "/healthz")).json == {"status": "SERVING"}
    assert b"data-document" in (await ask(paged, "GET", "/docs")).body


async def test_a_websocket_on_a_file_is_refused_as_before(paged: FastAPI) -> None:
    """A handshake that no method takes is answered with a Status."""
    request = await connect(paged, "/").ended()

    assert request.status == 404


async def test_without_the_setting_there_are_no_pages(app: FastAPI) -> None:
    """By default the edge serves its contract and nothing else."""
    assert (await ask(app, "GET", "/")).status == 404
