"""connect-web and grpc-web in a real Chromium: `make interop` installs and bundles them.

A page makes the calls of `edge_calls.mjs` that a browser can make, of its own origin and of another one, in
clear text and over TLS. `test_edge.py` has the same clients in Node.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from gateway.app import create_app
from gateway.settings import Settings
from tests.browser import chromium
from tests.contracts import echo_descriptor_set
from tests.echo_server import EchoServer, echo_server
from tests.interop.test_edge import AS_A_BROWSER
from tests.interop.test_interop import INSTALLED
from tests.whole.certificates import made
from tests.whole.serving import serving

pytestmark = pytest.mark.interop

CLIENTS: Final = (
    ("connect", "proto"),
    ("connect", "json"),
    ("grpc-web", "proto"),
    ("google", "text"),
    ("google", "binary"),
)
"""Library and form, as `edge_browser.mjs` takes them."""
VERSIONS: Final = {"http": "http/1.1", "https": "h2"}
"""Scheme -> what Chromium speaks to an edge that offers both versions."""


@dataclass(frozen=True)
class Party:
    """What all tests share: a browser, and the server behind the edges with its contract."""

    browser: chromium.Browser
    echo: EchoServer
    contract: Path
    tls: dict[str, Any]


@pytest.fixture(scope="module")
async def party(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Party]:
    """The parts that start once."""
    executable = chromium.find()
    if executable is None:
        pytest.skip(f"needs a browser: none of {', '.join(chromium.NAMES)} is installed")
    folder = tmp_path_factory.mktemp("browser")
    contract = folder / "echo.binpb"
    contract.write_bytes(echo_descriptor_set())
    files = made(folder) / "gateway"
    tls = {"tls_certificate": files / "certificate.pem", "tls_key": files / "key.pem"}
    async with chromium.running(executable) as browser, echo_server() as echo:
        yield Party(browser, echo, contract, tls)


def edge(party: Party, scheme: str, **settings: Any) -> Any:
    """Serves an edge within a block, which is given its port."""
    given = settings | (party.tls if scheme == "https" else {})
    made_settings = Settings(
        descriptor_set=party.contract, upstream=party.echo.address, access_log="off", **given
    )
    return serving(create_app(made_settings), made_settings)


async def calls(party: Party, page_of: str, url: str, library: str, form: str) -> Any:
    """Makes the calls in a page; returns what came of each, and the versions of HTTP of its own origin."""
    contract = b64encode(party.contract.read_bytes()).decode()
    arguments = ", ".join(orjson.dumps(each).decode() for each in (library, form, url, contract))
    async with party.browser.page("about:blank") as page:
        await page.call("Security.enable")
        await page.call("Security.setIgnoreCertificateErrors", ignore=True)
        await page.go(f"{page_of}/healthz")
        found = await page.run(
            f"{(INSTALLED / 'browser.js').read_text()}\n"
            f"const found = await callEdge({arguments});\n"
            "const entries = performance.getEntriesByType('resource');\n"
            "const versions = entries.map((each) => each.nextHopProtocol).filter(Boolean);\n"
            "return [found, [...new Set(versions)]];"
        )
        assert page.problems == []
    return found


@pytest.mark.parametrize("scheme", VERSIONS)
@pytest.mark.parametrize(("library", "form"), CLIENTS)
async def test_a_page_of_the_edges_own_origin(
    party: Party, library: str, form: str, scheme: str
) -> None:
    """Unary calls with metadata, streams of the server, errors with details, and deadlines."""
    async with edge(party, scheme) as port:
        url = f"{scheme}://127.0.0.1:{port}"
        found, versions = await calls(party, url, url, library, form)

    assert found == AS_A_BROWSER
    assert versions == [VERSIONS[scheme]]


@pytest.mark.parametrize("scheme", VERSIONS)
@pytest.mark.parametrize(("library", "form"), CLIENTS)
async def test_a_page_of_a_listed_origin(
    party: Party, library: str, form: str, scheme: str
) -> None:
    """The same; metadata of the caller's own need `cors_headers` and `cors_exposed_headers`."""
    async with edge(party, scheme) as other:
        origin = f"{scheme}://127.0.0.1:{other}"
        cors = {
            "origins": (origin,),
            "headers": ("x-given",),
            "exposed_headers": ("x-given", "trailer-cost"),
        }
        async with edge(party, scheme, cors=cors) as port:
            url = f"{scheme}://127.0.0.1:{port}"
            found, _ = await calls(party, origin, url, library, form)

    assert found == AS_A_BROWSER


@pytest.mark.parametrize(("library", "form"), CLIENTS)
async def test_a_page_of_an_origin_that_is_not_listed(
    party: Party, library: str, form: str
) -> None:
    """Its browser lets it make no call: the libraries hear of no HTTP status."""
    async with edge(party, "http") as other, edge(party, "http") as port:
        origin, url = (f"http://127.0.0.1:{each}" for each in (other, port))
        with pytest.raises(AssertionError, match=r"Failed to fetch|http status code: 0\b"):
            await calls(party, origin, url, library, form)
