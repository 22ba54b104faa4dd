"""What is logged: at no level a query or the value of a header, and no line that a caller has made up."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from httptools import HttpParserUpgrade
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.parity.edges import WholeEchoServer
from tests.whole.conftest import ROOT, free_ports
from tests.whole.http1 import connection

_SECRET = "c0ffee"
_SAID = (
    f"Authorization: Bearer {_SECRET}",
    f"Cookie: session={_SECRET}",
    f"X-Request-ID: id {_SECRET}",
    f"Grpc-Metadata-Token: {_SECRET}",
)
_SHAKING = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_QUERY = f"access_token={_SECRET}"


class TellingServer(WholeEchoServer):
    """A server whose errors repeat what it was told, and which fails late."""

    async def raw_download(self, _request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Fails after one part."""
        yield HttpBody(content_type="text/csv", data=b"a,b\n").SerializeToString()
        await context.abort(grpc.StatusCode.INTERNAL, "late")

    async def hang(self, _request: bytes, context: Any) -> bytes:
        """Fails with what gRPC says of addresses, and a line of its own."""
        await context.abort(grpc.StatusCode.UNAVAILABLE, "dns: no such\nERROR: forged")
        return b""


def _request(line: str, *headers: str, body: bytes = b"") -> bytes:
    head = (f"{line} HTTP/1.1", "Host: x", *_SAID, *headers, "", "")
    return "\r\n".join(head).encode() + body


def _sized(line: str, body: bytes, *headers: str) -> bytes:
    return _request(line, f"Content-Length: {len(body)}", *headers, body=body)


def _requests() -> list[bytes]:
    """Returns requests of every kind of end, each for a connection of its own."""
    lines = b'{"int32Field":1}\n{"int32Field":"%b"}\n' % _SECRET.encode()
    ndjson = "Content-Type: application/x-ndjson"
    return [
        _request(f"GET /v1/names/a?{_QUERY}"),
        _request("GET /v1/names/a"),
        _request(f"GET /nowhere?{_QUERY}"),
        _request(f"PUT /v1/upload?{_QUERY}"),
        _request(f"GET /v1/pairs/{_SECRET}/x?{_QUERY}"),
        _request(f"GET /v1/stream/a?int32Field={_SECRET}"),
        _request("GET /v1/stream/a?int32Field=2", "Accept: text/event-stream"),
        _request(f"GET /v1/fail/13?message={_SECRET}&details=true"),
        _request(f"GET /v1/fail-stream/14?after=1&message={_SECRET}"),
        _request(f"GET /v1/raw:download?{_QUERY}"),
        _request("GET /v1/raw:download"),
        _request("GET /v1/hang"),
        _request("GET /v1/names/a", f"Grpc-Timeout: {_SECRET}"),
        _request("GET /v1/names/a", f"Grpc-Metadata-X-Bin: {_SECRET}!"),
        _request("GET /v1/names/a", f"Accept: {_SECRET}/{_SECRET}"),
        _request("GET /v1/names/a", f"Content-Length: {_SECRET}"),
        _request("GET /v1/names/a", f"Transfer-Encoding: {_SECRET}"),
        _request(f"GET /v1/names/a?{_QUERY} {_QUERY}"),
        _request(f"GET /v1/names/a?{_QUERY}", f"Broken {_SECRET}"),
        _request(f"CONNECT x:443?{_QUERY}"),
        _request(f"CONNECT {_SECRET}:443"),
        _sized(f"POST /v1/upload?{_QUERY}", lines, ndjson),
        _sized("POST /v1/upload", lines, ndjson),
        _sized(f"POST /v1/upload/{_SECRET}?int32Field={_SECRET}", lines, ndjson),
        _sized("POST /v1/bidi", lines, ndjson, "Accept: application/x-ndjson"),
        _sized("POST /v1/echo", lines, f"Content-Encoding: {_SECRET}"),
        _sized("POST /v1/echo", b"{}", "Connection: Upgrade", f"Upgrade: {_SECRET}"),
        _request("POST /v1/upload", ndjson, "Transfer-Encoding: chunked", body=b"zz\r\n"),
        _request(f"GET /nowhere?{_QUERY}", *_SHAKING),
        _request(f"GET /v1/bidi?{_QUERY}", *_SHAKING, f"Origin: https://{_SECRET}"),
        _request(f"GET /v1/bidi?{_QUERY}", *_SHAKING, f"Sec-WebSocket-Protocol: {_SECRET}"),
        _request(f"GET /v1/bidi?{_QUERY}", *_SHAKING[:2], f"Sec-WebSocket-Version: {_SECRET}"),
        _request(f"GET /v1/bidi?{_QUERY}", *_SHAKING[:3], f"Sec-WebSocket-Key: {_SECRET}"),
        _request(f"GET /v1/bidi?{_QUERY}", *_SHAKING, f"X: {_SECRET * 2000}"),
        _request(f"GET /v1/bidi?{_QUERY}", *_SHAKING, body=b"\xff" + _SECRET.encode()),
    ]


async def _frames(url: str, subprotocol: str, *frames: str | bytes) -> None:
    """Opens a WebSocket, sends frames, and reads to the end."""
    headers = dict(line.split(": ", 1) for line in _SAID)
    with suppress(ConnectionClosed, InvalidStatus, TimeoutError):
        async with connect(
            url, subprotocols=[Subprotocol(subprotocol)], additional_headers=headers
        ) as websocket:
            for frame in frames:
                await websocket.send(frame)
            await _read(websocket)


async def _read(websocket: ClientConnection) -> None:
    async with asyncio.timeout(10):
        while True:
            await websocket.recv()


@asynccontextmanager
async def _logging_edge(
    folder: Path, upstream: str, *options: str
) -> AsyncIterator[tuple[int, Path]]:
    """Runs an edge within the block, which is given its port, and the file that all it prints is in."""
    descriptor_set, log = folder / "echo.binpb", folder / "log"
    descriptor_set.write_bytes(echo_descriptor_set())
    port = free_ports(1)[0]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--port", str(port)),
            *("--descriptor-set", str(descriptor_set), "--upstream", upstream, *options),
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        while b"serving HTTP on" not in log.read_bytes():
            assert process.returncode is None
            await asyncio.sleep(0.01)
        yield port, log
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_no_query_and_no_header_is_logged(tmp_path: Path, transport: str) -> None:
    """However a request ends, on every wire, by either transport, and though the server cannot be reached.

    At the level that has the lines of all others.
    """
    options = ("--log-level", "debug", "--transport", transport)
    async with echo_server(TellingServer) as echo:
        down = f"127.0.0.1:{free_ports(1)[0]}"
        for number, upstream in enumerate((echo.address, down)):
            folder = tmp_path / str(number)
            folder.mkdir()
            async with _logging_edge(folder, upstream, *options) as (port, log):
                for request in _requests():
                    async with connection(port) as caller:
                        await caller.send(request)
                        with suppress(EOFError, ConnectionResetError, HttpParserUpgrade):
                            await caller.some()
                url = f"ws://127.0.0.1:{port}/v1/bidi?{_QUERY}"
                plain = (f'{{"stringField":"{_SECRET}"}}', f'{{"int32Field":"{_SECRET}"}}')
                await _frames(url, "grpc-json.v1", *plain)
                await _frames(url, "grpc-json.v1", _SECRET.encode())
                url = url.partition("?")[0]
                said = f'{{"authorization":"Bearer {_SECRET}","x-request-id":"a {_SECRET}"}}'
                envelope = (f'{{"headers":{said}}}', f'{{"message":{{"x":"{_SECRET}"}}}}')
                await _frames(url, "grpc-json-envelope.v1", *envelope)
                await _frames(url, "grpc-json-envelope.v1", f'{{"headers":{said}')
            text = log.read_text()

            assert _SECRET not in text
            assert not re.search("^ERROR: forged", text, re.MULTILINE)
            assert not re.search(r"[^\x20-\x7e\n\x1b]", text)
            assert '"WebSocket /v1/bidi" [accepted]' in text
            assert "Invalid HTTP request received." in text
            assert "without completing handshake" not in text
            if upstream == echo.address:
                name = "request [0-9a-f]{32} GET /v1/raw:download"
                cut = f"^{_TIME} WARNING gateway: {name}: INTERNAL after the head was sent$"
                assert len(re.findall(cut, text, re.MULTILINE)) == 1
                assert "Traceback" not in text
            lines = text.splitlines()
            assert all(
                re.match(f"{_TIME} [A-Z]+ [a-z_]+: |protoway: |{{.*}}$", line) for line in lines
            )
            logged = [json.loads(line) for line in lines if line.startswith("{")]
            assert {"wire", "status", "request_id"} <= {name for each in logged for name in each}
            assert {400, 404} <= {each.get("status") for each in logged}
