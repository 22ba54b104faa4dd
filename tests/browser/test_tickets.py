"""Tickets in a browser: web/protoway.js and a plain EventSource, with connections that are cut."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.admission.cors_settings import CorsSettings
from gateway.admission.identity import Identity
from gateway.admission.tickets.settings import TicketSettings
from gateway.app import create_app
from gateway.exchange.request_info import RequestInfo
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.browser import scripted
from tests.browser.chromium import Browser, Page
from tests.browser.scripted import ScriptedServer
from tests.contracts import feeds_descriptor_set
from tests.feeds.stage import METHODS, news
from tests.whole.conftest import ROOT
from tests.whole.serving import serving

HEADERS = "{ headers: { authorization: 'Bearer ann' } }"
PAGE = "<!doctype html><link rel=icon href=data:,>"


class Tokens:
    """Lets in who has a token, and the page to whoever asks."""

    def __init__(self) -> None:
        self.last_ids: list[str] = []
        self.kinds: list[str] = []

    def admit(self, request: RequestInfo) -> None:
        """Sets the identity; the streams need one."""
        if request.identity is None and request.header(b"authorization") == b"Bearer ann":
            request.identity = Identity("ann", "jwt")
        if request.method is not None:
            identity = request.identity
            self.kinds.append(identity.kind if isinstance(identity, Identity) else "")
            self.last_ids.append(request.last_event_id)


class Relay:
    """Passes connections on to a port, and cuts all of them when it is told to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes one connection on."""
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, back}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, back))
                both.create_task(_pass_on(there, writer))
        except* OSError:
            pass
        finally:
            for each in (writer, back):
                self._open.discard(each)
                each.close()

    def cut(self) -> None:
        """Resets all connections."""
        for each in tuple(self._open):
            each.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def count(_call: ScriptedCall) -> AsyncIterator[bytes]:
    """Answers with numbers, without an end."""
    number = 0
    while True:
        number += 1
        yield news(number)
        await asyncio.sleep(0.02)


@asynccontextmanager
async def relayed(port: int) -> AsyncIterator[tuple[Relay, int]]:
    """Runs a relay; the block is given it, and its port."""
    relay = Relay(port)
    server = await asyncio.start_server(relay.handle, "127.0.0.1", 0)
    try:
        yield relay, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        relay.cut()


class Edge:
    """An edge behind a relay."""

    def __init__(self, relay: Relay, url: str, tokens: Tokens) -> None:
        self.relay = relay
        self.url = url
        self.tokens = tokens


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[Edge]:
    """Runs an edge that gives tickets, serves a page, and numbers without an end."""
    (folder / "pages").mkdir()
    (folder / "pages/index.html").write_text(PAGE)
    shutil.copy(ROOT / "web/protoway.js", folder / "pages/protoway.js")
    (folder / "feeds.binpb").write_bytes(feeds_descriptor_set())
    given = Settings(
        descriptor_set=folder / "feeds.binpb",
        pages=folder / "pages",
        retry_seconds=0.05,
        tickets=TicketSettings(enabled=True),
        **settings,
    )
    upstream = ScriptedUpstream({method.path: count for method in METHODS.values()})
    tokens = Tokens()
    app = create_app(given, upstream, policies=[tokens])
    async with serving(app, given) as port, relayed(port) as (relay, public):
        yield Edge(relay, f"http://127.0.0.1:{public}", tokens)


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    """An edge whose own page calls it."""
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def opened(browser: Browser, edge: Edge) -> AsyncIterator[Page]:
    """A page of that edge, in which the module is at hand."""
    async with browser.page(edge.url) as page:
        await page.call("Network.enable")
        await page.run("globalThis.protoway = await import('/protoway.js')")
        yield page
        assert page.problems == []


def is_consecutive(numbers: list[int]) -> bool:
    """Whether nothing is missing, and nothing came twice."""
    return numbers == list(range(1, len(numbers) + 1))


def tickets(page: Page) -> list[str]:
    """Returns the tickets of all URLs that the page has asked for."""
    return [url.partition("ticket=")[2] for url in page.requests if "ticket=" in url]


async def count_with_an_event_source(page: Page, edge: Edge) -> None:
    """Reads a stream with three cuts, and asserts that nothing is lost and nothing comes twice."""
    await page.run(
        """
        globalThis.seen = []; globalThis.states = []; globalThis.gaps = 0;
        globalThis.open = async (lastEventId) => {
          const given = { headers: { authorization: "Bearer ann" }, lastEventId };
          const source = new EventSource(await protoway.ticketed("EDGE/lingering/a", given));
          let last = lastEventId;
          source.onmessage = (event) => {
            seen.push(Number(JSON.parse(event.data).number));
            last = event.lastEventId;
          };
          source.addEventListener("gap", () => gaps++);
          source.onerror = () => {
            states.push(source.readyState);
            if (source.readyState === EventSource.CLOSED) open(last);
          };
        };
        await open("");
        """.replace("EDGE", edge.url)
    )
    for cuts in range(1, 4):
        await page.until("seen.length > 5")
        before = await page.run("return seen.length")
        edge.relay.cut()
        await page.until(f"seen.length > {before} + 5 && states.length >= {2 * cuts}")
    seen, states, gaps = await page.run("return [seen, states, gaps]")

    assert is_consecutive(seen)
    assert gaps == 0
    assert states == [0, 2] * 3  # it comes back by itself, and is refused for good
    assert len(set(tickets(page))) == 4
    assert edge.tokens.kinds == ["ticket"] * 4
    assert edge.tokens.last_ids[0] == ""
    assert all(edge.tokens.last_ids[1:])


async def test_an_event_source_resumes_with_new_tickets(opened: Page, edge: Edge) -> None:
    """The browser comes back with the used ticket, is refused, and the page makes another EventSource."""
    await count_with_an_event_source(opened, edge)


async def test_the_client_resumes_with_new_tickets(opened: Page, edge: Edge) -> None:
    """`openEvents` asks for one for each connection; none is lost, none comes twice."""
    await opened.run(
        f"""
        globalThis.seen = []; globalThis.kinds = [];
        globalThis.stop = new AbortController();
        (async () => {{
          const options = {{ ticket: {HEADERS}, signal: stop.signal }};
          for await (const event of protoway.openEvents("/lingering/a?", options)) {{
            if (event.type === "message") seen.push(Number(event.data.number));
            else kinds.push(event.type);
          }}
        }})();
        """
    )
    for _ in range(3):
        await opened.until("seen.length > 5")
        before = await opened.run("return seen.length")
        edge.relay.cut()
        await opened.until(f"seen.length > {before} + 5")
    seen, kinds = await opened.run("stop.abort(); return [seen, kinds]")

    assert is_consecutive(seen)
    assert kinds[:3] == ["connecting", "open", "cut"]
    assert "gap" not in kinds
    assert "failed" not in kinds
    assert len(set(tickets(opened))) == len(tickets(opened)) == 4


async def test_a_websocket_opens_with_a_ticket(opened: Page) -> None:
    """What is sent before there is a ticket is kept."""
    kinds, numbers = await opened.run(
        f"""
        const socket = protoway.openSocket("/lingering/b", {{ ticket: {HEADERS} }});
        socket.halfClose();
        const kinds = [], numbers = [];
        for await (const event of socket) {{
          if (event.type === "message") numbers.push(Number(event.data.number));
          else kinds.push(event.type);
          if (event.error) kinds.push(event.error.message);
          if (numbers.length === 3) break;
        }}
        return [kinds, numbers];
        """
    )
    assert (kinds, numbers) == (["connecting", "open"], [1, 2, 3])


@pytest.mark.parametrize("how", ["openEvents", "openSocket"])
async def test_without_credentials_there_is_no_ticket(opened: Page, how: str) -> None:
    """The status of the refusal is the last event."""
    events = await opened.run(
        f"""
        const events = [];
        for await (const event of protoway.{how}("/lingering/c", {{ ticket: {{}} }})) {{
          events.push([event.type, event.error?.code]);
        }}
        return events;
        """
    )
    assert events == [["connecting", None], ["failed", 16]]


async def test_a_page_of_another_origin_cannot_use_a_ticket(
    browser: Browser, opened: Page, server: ScriptedServer
) -> None:
    """It may have read the URL somewhere; its handshake names it."""
    url = await opened.run(f"return String(await protoway.ticketed('/lingering/d', {HEADERS}))")
    async with browser.page(server.url) as foreign:
        state: Any = await foreign.run(
            f"""
            const socket = new WebSocket("{url.replace("http", "ws")}", "grpc-json.v1");
            return await new Promise((resolve) => {{
              socket.onopen = () => resolve("open");
              socket.onclose = () => resolve("closed");
            }});
            """
        )
    used = await opened.run(f"return (await fetch('{url}')).status")
    assert (state, used) == ("closed", 401)


async def test_a_listed_page_of_another_origin_uses_tickets(
    browser: Browser, tmp_path: Path
) -> None:
    """EventSource with resume, and WebSocket; a page of a third origin can use neither."""
    async with scripted.serving() as listed, scripted.serving() as third:
        settings = {"cors": CorsSettings(origins=(listed.url,))}
        async with running(tmp_path, **settings) as edge, browser.page(listed.url) as page:
            await page.call("Network.enable")
            await page.run("globalThis.protoway = await import('/protoway.js')")
            await count_with_an_event_source(page, edge)
            url = f"{edge.url}/lingering/b"
            kinds = await page.run(
                f"""
                const kinds = [];
                for await (const event of protoway.openSocket("{url}", {{ ticket: {HEADERS} }})) {{
                  kinds.push(event.type);
                  if (event.type === "message") return kinds;
                }}
                return kinds;
                """
            )
            assert kinds == ["connecting", "open", "message"]
            made = [
                await page.run(f"return String(await protoway.ticketed('{url}', {HEADERS}))")
                for _ in range(2)
            ]
            async with browser.page(third.url) as foreign:
                await foreign.run("globalThis.protoway = await import('/protoway.js')")
                refused = await foreign.run(
                    f"""
                    const demand = await protoway.ticketed("{url}", {HEADERS}).catch(() => "refused");
                    const events = await new Promise((resolve) => {{
                      const source = new EventSource("{made[0]}");
                      source.onopen = () => resolve("open");
                      source.onerror = () => resolve(source.readyState);
                    }});
                    const socket = await new Promise((resolve) => {{
                      const socket = new WebSocket("{made[1].replace("http", "ws")}", "grpc-json.v1");
                      socket.onopen = () => resolve("open");
                      socket.onclose = () => resolve("closed");
                    }});
                    return [demand, events, socket];
                    """
                )
            assert refused == ["refused", 2, "closed"]
