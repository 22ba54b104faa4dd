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


@pytest.fixture(scope="session")
async def tab(browser: chromium.Browser) -> AsyncIterator[chromium.Page]:
    """One page for many tests: to open one takes five times as long as to load another origin in it."""
    async with browser.page("about:blank") as opened:
        yield opened


@pytest.fixture
async def page(tab: chromium.Page, server: ScriptedServer) -> AsyncIterator[chromium.Page]:
    """A page of that server's, in which the module is at hand; its console stays empty."""
    tab.problems.clear()
    await tab.go(server.url)
    await tab.run("globalThis.protoway = await import('/protoway.js')")
    yield tab
    problems = list(tab.problems)
    await tab.go("about:blank")  # closes its connections
    assert problems == []
