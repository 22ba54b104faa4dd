"""Limits and load shedding of `protoway serve`, over real connections from several addresses."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from gateway.admission.limits.settings import LimitRule, LimitsSettings
from gateway.app import create_app
from gateway.settings import Settings
from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.feeds.stage import news
from tests.whole.conftest import ROOT, edge_process
from tests.whole.serving import serving
from tests.whole.test_direct_writes import serving as sharing

_GET = b"GET /v1/names/a HTTP/1.1\r\nHost: x\r\n\r\n"
_HANG = b"GET /v1/hang HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """A connection from an address of the loopback network."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, base: str, address: str) -> Client:
        """Connects."""
        port = int(base.rpartition(":")[2])
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)))

    def send(self, data: bytes) -> None:
        """Sends a request."""
        self._writer.write(data)

    async def receive(self) -> tuple[int, dict[str, str], bytes]:
        """Returns a response with a length."""
        async with asyncio.timeout(20):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            length = int(headers.get("content-length", "0"))
            return int(head[0].split()[1]), headers, await self._reader.readexactly(length)

    async def ask(self, data: bytes = _GET) -> int:
        """Makes a request, and returns its HTTP status."""
        self.send(data)
        return (await self.receive())[0]

    async def until(self, end: bytes) -> bytes:
        """Returns what comes up to some bytes."""
        async with asyncio.timeout(20):
            return await self._reader.readuntil(end)

    async def until_head(self, data: bytes, statuses: tuple[int, ...]) -> None:
        """Makes a request, and waits for the head of its response."""
        self.send(data)
        head = await self.until(b"\r\n\r\n")
        assert int(head.split()[1]) in statuses

    def kill(self) -> None:
        """Leaves by a reset, as a client that dies does."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Leaves."""
        self._writer.close()


async def test_requests_of_an_address_are_limited(tmp_path: Path) -> None:
    """Whichever connections they come on, in a pipeline too; another address is not affected."""
    options = ("--limits-requests-per-second", "0.01", "--limits-burst", "6")
    async with (
        echo_server() as echo,
        edge_process(tmp_path, echo.address, *options) as base,
    ):
        first, second = [await Client.of(base, "127.0.0.2") for _ in range(2)]
        other = await Client.of(base, "127.0.0.3")
        assert [await first.ask() for _ in range(2)] == [200] * 2
        second.send(_GET * 5)
        answers = [await second.receive() for _ in range(5)]
        assert [status for status, _, _ in answers] == [200] * 4 + [429]
        _, headers, body = answers[-1]
        assert headers["ratelimit-policy"] == '"address";q=6;w=600'
        assert headers["ratelimit"] == f'"address";r=0;t={headers["retry-after"]}'
        assert 90 <= int(headers["retry-after"]) <= 100
        assert json.loads(body)["code"] == 8
        assert await first.ask(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n") == 429
        assert await first.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == 200
        assert await other.ask() == 200
        for each in (first, second, other):
            each.close()


async def test_calls_under_way_are_limited(tmp_path: Path) -> None:
    """Who is beyond is told at once, while others wait for their answers; a client that leaves makes room."""
    async with (
        echo_server() as echo,
        edge_process(tmp_path, echo.address, "--overload-max-calls", "2") as base,
    ):
        hanging = [await Client.of(base, "127.0.0.1") for _ in range(2)]
        for each in hanging:
            each.send(_HANG)
        client = await Client.of(base, "127.0.0.1")
        async with asyncio.timeout(20):
            while (status := await client.ask()) != 503:
                assert status == 200
        client.send(_GET)
        status, headers, body = await client.receive()
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(body)["message"] == "overloaded: too many calls are under way"
        assert await client.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == 200
        hanging[0].close()
        async with asyncio.timeout(20):
            while await client.ask() != 200:
                pass
        for each in (client, hanging[1]):
            each.close()


_SSE = b"GET /v1/hang-stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n%b\r\n"
_WEBSOCKET = (
    b"GET /v1/bidi HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: grpc-json.v1\r\n\r\n"
)


async def test_streams_of_clients_that_die_make_room(tmp_path: Path) -> None:
    """Events and WebSockets alike; a reader that reconnects while there is none is told by an event."""
    rule = LimitRule(name="streams", counts="streams", limit=2)
    descriptor_set = tmp_path / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    async with echo_server() as echo:
        settings = Settings(
            descriptor_set=descriptor_set,
            upstream=echo.address,
            limits=LimitsSettings(rules=(rule,)),
        )
        async with serving(create_app(settings), settings) as port:
            base = f"http://127.0.0.1:{port}"
            for opening in (_SSE % b"", _WEBSOCKET):
                for _ in range(20):
                    standing = [await Client.of(base, "127.0.0.1") for _ in range(2)]
                    for each in standing:
                        await each.until_head(opening, (101, 200))
                    late = await Client.of(base, "127.0.0.1")
                    assert await late.ask(opening) == 429
                    again = await Client.of(base, "127.0.0.1")
                    again.send(_SSE % b"Last-Event-ID: x-1\r\n")
                    body = await again.until(b"event: error")
                    assert body.startswith(b"HTTP/1.1 200 ")
                    for each in (*standing, late, again):
                        each.kill()
                    await _until_free(base)


async def _until_free(base: str) -> None:
    """Waits until two streams may be opened again."""
    async with asyncio.timeout(20):
        while True:
            client = await Client.of(base, "127.0.0.1")
            client.send(_SSE % b"")
            head = await client.until(b"\r\n\r\n")
            client.kill()
            if b'ratelimit: "streams";r=1' in head:
                return


async def test_messages_of_a_shared_stream_are_counted_for_each_reader(tmp_path: Path) -> None:
    """Each has its own limit; one that is at its end is told so, and the others read on."""
    rule = {"name": "messages", "counts": "messages", "limit": 5, "seconds": 3600}
    async with sharing(tmp_path, limits={"rules": (rule,)}) as whole:
        base, lines = f"http://127.0.0.1:{whole.port}", whole.upstream.lines
        request = b"GET /drop-oldest/a HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
        first = await Client.of(base, "127.0.0.2")
        first.send(request)
        while not lines:
            await asyncio.sleep(0.001)
        for number in (1, 2, 3):
            lines[0].send(news(number))
            await first.until(b'"number":"%d"' % number)
        other = await Client.of(base, "127.0.0.3")
        other.send(request)
        while len(whole.feed.readers) < 2:
            await asyncio.sleep(0.001)
        lines[0].send(news(4))
        await first.until(b'"number":"4"')
        lines[0].send(news(5))
        assert b'"number"' not in (await first.until(b"event: error"))
        await first.until(b"too many messages")
        await other.until(b'"number":"5"')
        assert len(lines) == 1
        for each in (first, other):
            each.kill()


async def test_rules_of_the_settings_file(tmp_path: Path) -> None:
    """Several, each for its own methods and callers; load shedding beside them."""
    file = tmp_path / "edge.yaml"
    file.write_text(
        """
limits:
  ipv4_prefix: 24
  rules:
    - {name: names, by: [address, route], limit: 3, seconds: 3600, methods: [echo.v1.Echo/Unary]}
    - {name: calls, counts: calls, limit: 1}
overload:
  max_calls: 10
"""
    )
    async with (
        echo_server() as echo,
        edge_process(tmp_path, echo.address, "--config", str(file)) as base,
    ):
        first, second = await Client.of(base, "127.0.0.2"), await Client.of(base, "127.0.0.3")
        seen = [await each.ask() for each in (first, second, first, second)]
        assert seen == [200, 200, 200, 429]
        first.send(_HANG)
        await asyncio.wait_for(echo.started.wait(), 20)
        second.send(b"GET /v1/fail/5 HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, body = await second.receive()
        assert (status, headers["ratelimit"]) == (429, '"calls";r=0')
        assert json.loads(body)["message"] == "too many calls at a time; the limit is 'calls'"
        for each in (first, second):
            each.kill()


async def test_a_rule_that_is_wrong_stops_the_start(tmp_path: Path) -> None:
    """With one line that names the rule and the nearest method."""
    file, descriptor_set = tmp_path / "edge.yaml", tmp_path / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    file.write_text("limits: {rules: [{name: r, limit: 1, methods: [echo.v1.Echo/Unray]}]}")
    edge = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--port", "0", "--config", str(file)),
        *("--descriptor-set", str(descriptor_set)),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(edge.communicate(), 60)
    assert edge.returncode == 1
    assert said.decode().strip() == (
        "protoway: limits.rules: echo.v1.Echo/Unray of r is no method that is served;"
        " did you mean echo.v1.Echo/Unary?"
    )
