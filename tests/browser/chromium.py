"""A headless Chromium, driven over the DevTools protocol.

Source: chromedevtools.github.io/devtools-protocol: Target, Page, Runtime, Log and Emulation.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = """--headless --no-sandbox --disable-gpu --disable-software-rasterizer --disable-dev-shm-usage
--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync
--disable-default-apps --disable-extensions --disable-component-extensions-with-background-pages
--disable-features=SpareRendererForSitePerProcess --remote-debugging-port=0"""
Json = Any


def find() -> str | None:
    """Returns where a Chromium is installed, if one is."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """The connection to a running Chromium; each page of its own is a session on it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count()
        self._calls: dict[int, asyncio.Future[Json]] = {}
        self._pages: dict[str, Page] = {}

    async def read(self) -> None:
        """Hands out what comes in, until the connection ends."""
        with suppress(ConnectionClosed):
            while said := json.loads(await self._connection.recv()):
                if answer := self._calls.pop(said.get("id"), None):
                    answer.set_result(said)
                elif page := self._pages.get(said.get("sessionId")):
                    page.hears(said["method"], said["params"])

    async def call(self, method: str, session: str = "", /, **params: Json) -> Json:
        """Calls a method of the protocol."""
        number = next(self._numbers)
        answer = self._calls[number] = asyncio.Future[Json]()
        said = {"id": number, "method": method, "params": params}
        await self._connection.send(json.dumps(said | ({"sessionId": session} if session else {})))
        return (await answer)["result"]

    @asynccontextmanager
    async def page(self, url: str) -> AsyncIterator[Page]:
        """Opens a page that shares nothing with others."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        session = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = self._pages[session["sessionId"]] = Page(self, session["sessionId"])
        try:
            for domain in ("Page", "Runtime", "Log"):
                await page.call(f"{domain}.enable")
            await page.go(url)
            yield page
        finally:
            await self.call("Target.disposeBrowserContext", browserContextId=context)


class Page:
    """One page.

    `problems` are the errors in its console, and what its policy has refused; `requests` are the URLs that it
    has asked for, once its `Network` domain is enabled.
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._loaded = asyncio.Event()
        self.problems: list[str] = []
        self.requests: list[str] = []

    def hears(self, event: str, params: Json) -> None:
        """Notes an event; that a request has failed is for the page to show, and no problem."""
        if event == "Page.loadEventFired":
            self._loaded.set()
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"]["exception"]["description"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.problems.append(json.dumps(params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["source"] != "network":
            self.problems.append(params["entry"]["text"])

    async def call(self, method: str, **params: Json) -> Json:
        """Calls a method of the protocol for this page."""
        return await self._browser.call(method, self._session, **params)

    async def go(self, url: str) -> None:
        """Loads a page, and waits until it is there."""
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await self._loaded.wait()

    async def run(self, body: str) -> Json:
        """Runs the body of an async function in the page; returns what it returns, by way of JSON."""
        code = f"(async () => {{ {body} }})().then((value) => JSON.stringify(value ?? null))"
        done = await self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in done:
            raise AssertionError(done["exceptionDetails"]["exception"].get("description", done))
        return json.loads(done["result"]["value"])

    async def until(self, condition: str) -> Json:
        """Waits until an expression is true in the page; returns its value."""
        return await self.run(
            f"for (;;) {{ const found = {condition}; if (found) return found;"
            " await new Promise((resolve) => setTimeout(resolve, 20)); }"
        )


@asynccontextmanager
async def running(executable: str, *flags: str) -> AsyncIterator[Browser]:
    """Runs a Chromium that knows nothing, and leaves neither process nor file behind."""
    with TemporaryDirectory(prefix="chromium-") as profile:
        process = await asyncio.create_subprocess_exec(
            *(executable, *_FLAGS.split(), *flags, f"--user-data-dir={profile}", "about:blank"),
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            where = Path(profile) / "DevToolsActivePort"
            while not (found := where.exists() and re.match(r"(\d+)\n(/\S+)", where.read_text())):
                assert process.returncode is None, "Chromium has ended"
                await asyncio.sleep(0.02)
            address = f"ws://127.0.0.1:{found[1]}{found[2]}"
            async with connect(address, max_size=None, ping_interval=None) as connection:
                browser = Browser(connection)
                reading = asyncio.create_task(browser.read())
                yield browser
                await browser.call("Browser.close")
                await reading
                await asyncio.wait_for(process.wait(), 10)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
