"""PROXY protocol before each connection: by raw sockets, with TLS behind it, and by a real HAProxy."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from websockets.sync.client import connect

from gateway import health
from gateway.admission.proxy_settings import ProxySettings
from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream, serving
from tests.contracts import echo_descriptor_set
from tests.edge.conftest import SCRIPTS
from tests.whole.certificates import made
from tests.whole.conftest import free_ports
from tests.whole.serving import serving as serving_here

SECTION = ProxySettings(trusted=("127.0.0.1",), protocol="required", protocol_seconds=5)
LINE = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
SECOND = (
    *(SIGNATURE, b"\x21\x11", struct.pack("!H", 12 + 7), socket.inet_aton("203.0.113.7")),
    *(
        socket.inet_aton("192.0.2.1"),
        struct.pack("!HH", 4711, 443),
        b"\x03\x00\x04\xde\xad\xbe\xef",
    ),
)
HEADERS = {"version 1": LINE, "version 2": b"".join(SECOND)}
UNARY = b"GET /v1/echo?int32Field=1 HTTP/1.1\r\nhost: x\r\n%b\r\n"
ROUTE = b"GET /caller HTTP/1.1\r\nhost: x\r\n%b\r\n"
_SECONDS = 10


@contextmanager
def edge(
    tmp_path: Path, section: ProxySettings = SECTION, **settings: Any
) -> Iterator[tuple[int, ScriptedUpstream]]:
    """Runs an edge within the block, which is given its port and its upstream."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    given = Settings(descriptor_set=path, proxies=section, log_level="warning", **settings)
    upstream = ScriptedUpstream(SCRIPTS)
    app = create_app(given, upstream)

    @app.get("/caller")
    async def caller(request: Request) -> list[Any]:
        return [*(request.client or ("", 0)), request.url.scheme]

    with serving(app, given) as url:
        yield int(url.rpartition(":")[2]), upstream


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    """Connects from an address of this machine."""
    return socket.create_connection(("127.0.0.1", port), _SECONDS, (source, 0))


def response(connection: socket.socket) -> tuple[int, Any]:
    """Reads one response, whose length is told; returns its status and its JSON."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), json.loads(body)


def told(upstream: ScriptedUpstream) -> str | bytes:
    """Returns the address that the last call has told the server."""
    return dict(upstream.calls[-1].metadata)["x-forwarded-for"]


def closed(connection: socket.socket) -> bool:
    """Whether the edge has ended a connection without a byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_the_client_of_a_header(tmp_path: Path, header: bytes) -> None:
    """Is that of all requests of its connection, on every door, whatever their own headers say."""
    spoof = b"x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: https\r\n"
    with edge(tmp_path) as (port, upstream), connected(port) as connection:
        connection.sendall(header + UNARY % b"")
        assert response(connection) == (200, {"int32Field": 1})
        assert told(upstream) == "203.0.113.7"
        connection.sendall(UNARY % spoof)
        assert response(connection)[0] == 200
        assert told(upstream) == "203.0.113.7"
        connection.sendall(ROUTE % spoof)
        assert response(connection) == (200, ["203.0.113.7", 4711, "http"])


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_in_pieces(tmp_path: Path, header: bytes) -> None:
    """Byte by byte, and with the first bytes of the request in its last piece."""
    with edge(tmp_path) as (port, upstream), connected(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header[:-1]:
            connection.sendall(bytes((byte,)))
            time.sleep(0.001)
        connection.sendall(header[-1:] + UNARY % b"")
        assert response(connection)[0] == 200
        assert told(upstream) == "203.0.113.7"


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        SIGNATURE + b"\x20\x00\x00\x00",
        SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216),
    ],
    ids=["UNKNOWN", "LOCAL", "a Unix socket"],
)
def test_a_header_that_tells_no_address(tmp_path: Path, header: bytes) -> None:
    """The connection is the proxy's own; its headers of HTTP are believed then."""
    with edge(tmp_path) as (port, upstream), connected(port) as connection:
        connection.sendall(header + UNARY % b"")
        assert response(connection)[0] == 200
        assert told(upstream) == "127.0.0.1"
        connection.sendall(UNARY % b"x-forwarded-for: 198.51.100.9\r\n")
        assert response(connection)[0] == 200
        assert told(upstream) == "198.51.100.9"


def test_a_stranger_may_send_no_header(tmp_path: Path) -> None:
    """Its connection is closed, with a header or without; one of the proxy beside it is not."""
    with edge(tmp_path) as (port, upstream):
        for data in (LINE + UNARY % b"", UNARY % b""):
            with connected(port, "127.0.0.2") as connection:
                try:
                    connection.sendall(data)
                except OSError:
                    continue
                assert closed(connection)
        assert not upstream.calls
        with connected(port) as connection:
            connection.sendall(LINE + UNARY % b"")
            assert response(connection)[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        UNARY % b"",
        b"PROXY TCP4 203.0.113.7\r\n" + UNARY % b"",
        b"PROXY TCP4 localhost 192.0.2.1 1 2\r\n",
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\xff\xff",
        b"PROXY UNKNOWN " + b"x" * 200,
    ],
)
def test_what_is_no_header_closes(tmp_path: Path, data: bytes) -> None:
    """Without an answer: who sends it may not speak HTTP."""
    with edge(tmp_path) as (port, upstream), connected(port) as connection:
        connection.sendall(data)
        assert closed(connection)
        assert not upstream.calls


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_second_header_is_no_request(tmp_path: Path, header: bytes) -> None:
    """What a client sends behind its proxy's header is HTTP, and a header of its own is not."""
    with edge(tmp_path) as (port, upstream), connected(port) as connection:
        connection.sendall(LINE + header.replace(b"203.0.113.7", b"127.0.0.1") + UNARY % b"")
        assert response(connection)[0] == 400
        assert not upstream.calls


def test_a_header_that_does_not_come(tmp_path: Path) -> None:
    """Ends the connection in time, whatever part of it has come, and gives its place to others."""
    section = SECTION.model_copy(update={"protocol_seconds": 0.2})
    with (
        edge(tmp_path, section, max_connections=2) as (port, _),
        connected(port) as silent,
        connected(port) as slow,
    ):
        slow.sendall(b"PROXY TC")
        with connected(port) as third:
            assert response(third)[0] == 503
        assert closed(silent)
        assert closed(slow)
        with connected(port) as fourth:
            fourth.sendall(LINE + UNARY % b"")
            assert response(fourth)[0] == 200


def test_connections_are_counted_for_the_client(tmp_path: Path) -> None:
    """Not for the proxy, which has all of them."""
    with edge(tmp_path, max_connections_per_address=1) as (port, _):
        with connected(port) as first, connected(port) as second, connected(port) as other:
            for connection in (first, other):
                line = LINE if connection is first else LINE.replace(b"203.0.113.7", b"203.0.113.8")
                connection.sendall(line + UNARY % b"")
                assert response(connection)[0] == 200
            second.sendall(LINE + UNARY % b"")
            assert response(second)[0] == 429
        with connected(port) as again:
            again.sendall(LINE + UNARY % b"")
            assert response(again)[0] == 200


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA's folder."""
    return made(tmp_path_factory.mktemp("tls"))


def tls(parties: Path) -> tuple[dict[str, Any], ssl.SSLContext]:
    """Returns an edge's settings for TLS, and what a client needs."""
    own = parties / "gateway"
    settings = {"tls_certificate": own / "certificate.pem", "tls_key": own / "key.pem"}
    return settings, ssl.create_default_context(cafile=own / "ca.pem")


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("at_once", [True, False], ids=["with it", "behind it"])
def test_tls_behind_the_header(tmp_path: Path, parties: Path, header: bytes, at_once: bool) -> None:
    """The handshake starts with the first byte behind the header, also if both come in one segment."""
    settings, context = tls(parties)
    with edge(tmp_path, **settings) as (port, upstream), connected(port) as connection:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        spoken = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            spoken.do_handshake()
        if at_once:
            connection.sendall(header + outgoing.read())
        else:
            connection.sendall(header)
            connection.sendall(outgoing.read())
        while True:
            incoming.write(connection.recv(65536))
            try:
                spoken.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
        spoken.write(ROUTE % b"")
        connection.sendall(outgoing.read())
        answer = b""
        while b"]" not in answer:
            try:
                answer += spoken.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(connection.recv(65536))
        assert answer.endswith(b'["203.0.113.7",4711,"https"]')
        assert not upstream.calls


def test_a_header_inside_tls_is_none(tmp_path: Path, parties: Path) -> None:
    """It is what comes first, before TLS; a client cannot send one in its encrypted stream."""
    settings, context = tls(parties)
    with edge(tmp_path, **settings) as (port, _), connected(port) as connection:
        connection.sendall(b"PROXY UNKNOWN\r\n")
        with context.wrap_socket(connection, server_hostname="localhost") as spoken:
            spoken.sendall(LINE + UNARY % b"")
            assert spoken.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("over_tls", [False, True])
def test_the_health_check_speaks_it(
    tmp_path: Path, parties: Path, monkeypatch: pytest.MonkeyPatch, over_tls: bool
) -> None:
    """By the variable that the edge has, or by its settings file."""
    settings = tls(parties)[0] if over_tls else {}
    file = tmp_path / "settings.yaml"
    file.write_text("proxies:\n  trusted: [loopback]\n  protocol: required\n")
    with edge(tmp_path, **settings) as (port, _):
        monkeypatch.setenv("PROTOWAY_PORT", str(port))
        if over_tls:
            monkeypatch.setenv("PROTOWAY_TLS_CERTIFICATE", "x")
        assert health.main([]) == 1
        with monkeypatch.context() as patch:
            patch.setenv("PROTOWAY_PROXIES_PROTOCOL", "required")
            assert health.main([]) == 0
        monkeypatch.setenv("PROTOWAY_CONFIG", str(file))
        assert health.main([]) == 0
        monkeypatch.setenv("PROTOWAY_PROXIES_PROTOCOL", "off")
        assert health.main([]) == 1


async def test_the_loop_of_asyncio(tmp_path: Path) -> None:
    """The other loop reads the header as uvloop does, which runs the edges above."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    settings = Settings(descriptor_set=path, proxies=SECTION)
    upstream = ScriptedUpstream(SCRIPTS)
    async with serving_here(create_app(settings, upstream), settings) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for part in (LINE[:20], LINE[20:] + UNARY % b""):
            writer.write(part)
            await asyncio.sleep(0.01)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()

    assert told(upstream) == "203.0.113.7"


HAPROXY = """
global
    maxconn 100
defaults
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend clients
    mode {mode}
    bind 127.0.0.1:{port}
    default_backend edge
backend edge
    mode {mode}
    server edge 127.0.0.1:{edge} {how}
"""


@contextmanager
def haproxy(tmp_path: Path, edge_port: int, *, mode: str, how: str) -> Iterator[int]:
    """Runs HAProxy before an edge within the block, which is given its port."""
    (port,) = free_ports(1)
    path = tmp_path / "haproxy.cfg"
    path.write_text(HAPROXY.format(mode=mode, port=port, edge=edge_port, how=how))
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert program is not None
    process = subprocess.Popen([program, "-db", "-f", str(path)], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                connected(port).close()
                break
            except OSError:
                assert process.poll() is None, "haproxy did not start"
                assert time.monotonic() < until
                time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait()


real_haproxy = pytest.mark.skipif(
    shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None,
    reason="no haproxy here",
)


@real_haproxy
@pytest.mark.parametrize("mode", ["tcp", "http"])
@pytest.mark.parametrize(
    "how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]
)
def test_behind_haproxy(tmp_path: Path, mode: str, how: str) -> None:
    """The edge sees the client of HAProxy, for HTTP and WebSocket, beside its health checks."""
    with (
        edge(tmp_path) as (edge_port, upstream),
        haproxy(tmp_path, edge_port, mode=mode, how=f"{how} check inter 100ms") as port,
    ):
        with connected(port, "127.0.0.5") as connection:
            connection.sendall(UNARY % b"x-forwarded-for: 127.0.0.1\r\n")
            assert response(connection)[0] == 200
            assert told(upstream) == "127.0.0.5"
            connection.sendall(ROUTE % b"")
            status, (client, source, scheme) = response(connection)
            assert (status, client, scheme) == (200, "127.0.0.5", "http")
            assert mode == "http" or source == connection.getsockname()[1]
        with connect(
            f"ws://127.0.0.1:{port}/v1/bidi", source_address=("127.0.0.6", 0)
        ) as websocket:
            websocket.send('{"int32Field":1}')
            assert websocket.recv() == '{"int32Field":1}'
        assert told(upstream) == "127.0.0.6"


@real_haproxy
@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2"])
def test_tls_behind_haproxy(tmp_path: Path, parties: Path, how: str) -> None:
    """HAProxy passes the client's TLS on, which the edge ends."""
    settings, context = tls(parties)
    with (
        edge(tmp_path, **settings) as (edge_port, _),
        haproxy(tmp_path, edge_port, mode="tcp", how=how) as port,
        connected(port, "127.0.0.5") as connection,
        context.wrap_socket(connection, server_hostname="localhost") as spoken,
    ):
        spoken.sendall(ROUTE % b"")
        status, (client, _, scheme) = response(spoken)
        assert (status, client, scheme) == (200, "127.0.0.5", "https")
