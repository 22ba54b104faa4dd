"""A browser for all tests that need one; where none is installed they are skipped."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.browser import chromium
from tests.browser.scripted import ScriptedServer, serving


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[chromium.Browser]:
    """One Chromium for the whole run."""
    executable = chromium.find()
    if executable is None:
        pytest.skip(f"needs a browser: none of {', '.join(chromium.NAMES)} is installed")
    async with chromium.running(executable) as running:
        yield running


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A server that follows a script."""
    async with serving() as server:
        yield server


@pytest.fixture
async def page(browser: chromium.Browser, server: ScriptedServer) -> AsyncIterator[chromium.Page]:
    """A page of that server's, in which the module is at hand; its console stays empty."""
    async with browser.page(server.url) as page:
        await page.run("globalThis.protoway = await import('/protoway.js')")
        yield page
        assert page.problems == []
