"""One page with more streams than HTTP/1.1 would let it have: a browser's own HTTP/2, over TLS."""

from __future__ import annotations

import socket
from pathlib import Path

from gateway.app import create_app
from gateway.settings import Settings
from tests.browser import chromium
from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.whole.certificates import made
from tests.whole.serving import serving

EVENT_SOURCES, WEBSOCKETS = 30, 10
_ESTABLISHED = "01"
_SCRIPT = f"""
  const sources = Array.from({{length: {EVENT_SOURCES}}}, () => new EventSource("/v1/hang-stream"));
  const sockets = Array.from({{length: {WEBSOCKETS}}}, () =>
    new WebSocket(`wss://${{location.host}}/v1/bidi`));
  globalThis.kept = [sources, sockets];
  const first = (target, type) => new Promise((resolve, reject) => {{
    target.addEventListener(type, resolve, {{once: true}});
    target.addEventListener("error", () => reject(new Error(`${{target.url}} has failed`)));
  }});
  await Promise.all(sources.map((source) => first(source, "message")));
  await Promise.all(sockets.map((socket) => socket.readyState === 1 || first(socket, "open")));
  const echoes = await Promise.all(sockets.map(async (socket, number) => {{
    const answer = first(socket, "message");
    socket.send(JSON.stringify({{int32Field: number + 1}}));
    return JSON.parse((await answer).data).int32Field;
  }}));
  const answer = await (await fetch("/v1/echo/between")).json();
  const protocols = performance.getEntriesByType("resource").map((each) => each.nextHopProtocol);
  return {{
    live: sources.filter((each) => each.readyState === 1).length
      + sockets.filter((each) => each.readyState === 1).length,
    echoes, answer, protocols: [...new Set(protocols.filter(Boolean))],
  }};
"""


def _connections(port: int) -> int:
    """Returns how many connections to a port are open."""
    place = f"{int.from_bytes(socket.inet_aton('127.0.0.1'), 'little'):08X}:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1] == place and row[3] == _ESTABLISHED for row in rows)


async def test_a_page_has_forty_streams_on_one_connection(
    browser: chromium.Browser, tmp_path: Path
) -> None:
    """30 EventSources and 10 WebSockets live at once, and a request beside them is answered."""
    party = made(tmp_path) / "gateway"
    contract = tmp_path / "echo.binpb"
    contract.write_bytes(echo_descriptor_set())
    async with echo_server() as echo:
        settings = Settings(
            descriptor_set=contract,
            upstream=echo.address,
            access_log="off",
            tls_certificate=party / "certificate.pem",
            tls_key=party / "key.pem",
        )
        async with (
            serving(create_app(settings), settings) as port,
            browser.page("about:blank") as page,
        ):
            await page.call("Security.enable")
            await page.call("Security.setIgnoreCertificateErrors", ignore=True)
            await page.go(f"https://127.0.0.1:{port}/healthz")
            seen = await page.run(_SCRIPT)
            connections = _connections(port)

    assert seen["live"] == EVENT_SOURCES + WEBSOCKETS
    assert seen["echoes"] == [number + 1 for number in range(WEBSOCKETS)]
    assert seen["answer"] == {"stringField": "between"}
    assert seen["protocols"] == ["h2"]
    assert connections == 1
