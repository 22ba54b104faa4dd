"""Behind proxies, for real: each way in through the server, a Unix socket, and an nginx that ends TLS."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from gateway.admission.proxy_settings import ProxySettings
from gateway.app import create_app
from gateway.server import Server
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream, serving
from tests.contracts import echo_descriptor_set
from tests.edge.conftest import SCRIPTS
from tests.whole.certificates import made
from tests.whole.conftest import free_ports
from tests.whole.nginx import nginx_path

PROXY, STRANGER, CLIENT = "127.0.0.1", "127.0.0.2", "203.0.113.7"
SECTION = ProxySettings(trusted=(PROXY,), believe_prefix=True)
SAID = (
    f"x-forwarded-for: 127.0.0.1, {CLIENT}\r\nx-forwarded-proto: https\r\n"
    "x-forwarded-prefix: /api\r\ngrpc-metadata-x-forwarded-for: 127.0.0.1\r\n"
).encode()
_SECONDS = 10


def app_of(
    tmp_path: Path, section: ProxySettings, **settings: Any
) -> tuple[Any, Settings, ScriptedUpstream]:
    """Makes an application over a scripted upstream."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    given = Settings(descriptor_set=path, proxies=section, log_level="warning", **settings)
    upstream = ScriptedUpstream(SCRIPTS)
    return create_app(given, upstream), given, upstream


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[tuple[int, ScriptedUpstream]]:
    """An edge that trusts one address of this machine: its port and its upstream."""
    app, settings, upstream = app_of(tmp_path, SECTION)
    with serving(app, settings) as url:
        yield int(url.rpartition(":")[2]), upstream


def exchange(connection: socket.socket, *parts: bytes) -> bytes:
    """Sends a request in parts, and returns all that comes until the edge closes."""
    for part in parts:
        connection.sendall(part)
        time.sleep(0.01)
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def request(line: str, more: bytes = b"", body: bytes = b"") -> bytes:
    """Returns a request behind which the connection ends, with headers of a proxy."""
    length = b"content-length: %d\r\n" % len(body) if body else b""
    head = f"{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".encode()
    return head + SAID + more + length + b"\r\n" + body


CHUNKED = b"transfer-encoding: chunked\r\ncontent-type: application/x-ndjson\r\n"
WAYS: dict[str, tuple[bytes, ...]] = {
    "unary, whole": (
        b"GET /v1/echo HTTP/1.1\r\nhost: x\r\n" + SAID + b"\r\n",
        request("GET /v1/echo?int32Field=1"),
    ),
    "unary, in pieces": (request("GET /v1/echo")[:30], request("GET /v1/echo")[30:]),
    "a body in pieces": (request("POST /v1/echo", body=b'{"int32Field":1}')[:-5], b'eld":1}'[-5:]),
    "a pipeline": (
        b"GET /v1/echo HTTP/1.1\r\nhost: x\r\n" + SAID + b"\r\n" + request("GET /v1/echo"),
    ),
    "events": (request("GET /v1/stream/a?int32Field=2", b"accept: text/event-stream\r\n"),),
    "lines": (request("GET /v1/stream/a?int32Field=2"),),
    "an upload": (request("POST /v1/upload", CHUNKED), b"3\r\n{}\n\r\n", b"0\r\n\r\n"),
    "HEAD": (request("HEAD /v1/echo"),),
}


@pytest.mark.parametrize("parts", WAYS.values(), ids=WAYS)
def test_each_way_in(edge: tuple[int, ScriptedUpstream], parts: tuple[bytes, ...]) -> None:
    """Tells the server of the client that a trusted proxy names; of the peer where it is a stranger."""
    port, upstream = edge
    for peer, client, scheme in ((PROXY, CLIENT, "https"), (STRANGER, STRANGER, "http")):
        upstream.calls.clear()
        with socket.create_connection((PROXY, port), _SECONDS, (peer, 0)) as connection:
            answer = exchange(connection, *parts)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        told = [[v for k, v in call.metadata if k == "x-forwarded-for"] for call in upstream.calls]
        assert told == [[client]] * len(upstream.calls) != []
        assert {dict(call.metadata)["x-forwarded-proto"] for call in upstream.calls} == {scheme}


def test_the_document_of_each_peer(edge: tuple[int, ScriptedUpstream]) -> None:
    """Names the prefix that a trusted proxy has stripped; not that of a stranger."""
    port, _ = edge
    servers = []
    for peer in (PROXY, STRANGER):
        with socket.create_connection((PROXY, port), _SECONDS, (peer, 0)) as connection:
            answer = exchange(connection, request("GET /openapi.json"))
        servers.append(json.loads(answer.partition(b"\r\n\r\n")[2]).get("servers"))

    assert servers == [[{"url": "/api"}], None]


@pytest.mark.parametrize(("trusted", "client"), [("unix", CLIENT), ("loopback", "unknown")])
def test_a_unix_socket(tmp_path: Path, trusted: str, client: str) -> None:
    """Its peers have no address; they are believed if the settings name them."""
    app, settings, upstream = app_of(tmp_path, ProxySettings(trusted=(trusted,)))
    path = tmp_path / "edge.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        server = Server(app, settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                connection.settimeout(_SECONDS)
                assert exchange(connection, request("GET /v1/echo")).startswith(b"HTTP/1.1 200 ")
        finally:
            server.should_exit = True
            thread.join()

    assert dict(upstream.calls[0].metadata)["x-forwarded-for"] == client


def test_the_scheme_of_an_edge_that_speaks_tls(tmp_path: Path) -> None:
    """Is that of the connection, however a request is answered; a trusted proxy may say another."""
    own = made(tmp_path / "tls") / "gateway"
    files = {"tls_certificate": own / "certificate.pem", "tls_key": own / "key.pem"}
    app, settings, upstream = app_of(tmp_path, SECTION, **files)
    context = ssl.create_default_context(cafile=own / "ca.pem")
    whole = request("GET /v1/echo").replace(SAID, b"")
    clear = request("GET /v1/echo").replace(b"proto: https", b"proto: http")
    unary = whole.replace(b"connection: close\r\n", b"")
    with serving(app, settings) as url:
        for parts in ((unary + whole,), (unary, whole), (whole[:20], whole[20:]), (clear,)):
            with (
                socket.create_connection((PROXY, int(url.rpartition(":")[2])), _SECONDS) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as connection,
            ):
                assert exchange(connection, *parts).startswith(b"HTTP/1.1 200 ")

    schemes = [dict(call.metadata)["x-forwarded-proto"] for call in upstream.calls]
    assert schemes == [*["https"] * 5, "http"]


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;  proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;  uwsgi_temp_path {folder}/uwsgi;  scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {own}/certificate.pem;
        ssl_certificate_key {own}/key.pem;
        location / {{
            proxy_pass http://127.0.0.1:{edge};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, own: Path, edge_port: int) -> Iterator[int]:
    """Runs an nginx that ends TLS before an edge; the block is given its port."""
    (port,) = free_ports(1)
    path = folder / "nginx.conf"
    path.write_text(NGINX.format(folder=folder, own=own, edge=edge_port, port=port))
    process = subprocess.Popen([nginx_path() or "nginx", "-p", str(folder), "-c", str(path)])
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((PROXY, port)).close()
                break
            except OSError:
                assert process.poll() is None, "nginx did not start"
                assert time.monotonic() < until
                time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(nginx_path() is None, reason="no nginx here")
def test_the_origin_behind_an_nginx_that_ends_tls(
    tmp_path: Path, edge: tuple[int, ScriptedUpstream]
) -> None:
    """The page's origin is `https`, though the edge is asked in clear; one of `http` is another origin."""
    own = made(tmp_path / "tls") / "gateway"
    context = ssl.create_default_context(cafile=own / "ca.pem")
    edge_port, upstream = edge
    with nginx(tmp_path, own, edge_port) as port:
        url = f"wss://localhost:{port}/v1/bidi"
        spoof = {"x-forwarded-for": "10.0.0.1", "x-forwarded-proto": "http"}
        ours = Origin(f"https://localhost:{port}")
        with connect(
            url, ssl=context, origin=ours, additional_headers=spoof, source_address=("127.0.0.4", 0)
        ) as websocket:
            websocket.send('{"int32Field":1}')
            assert websocket.recv() == '{"int32Field":1}'
        assert dict(upstream.calls[0].metadata) | {
            "x-forwarded-for": "127.0.0.4",
            "x-forwarded-proto": "https",
            "x-forwarded-host": f"localhost:{port}",
        } == dict(upstream.calls[0].metadata)
        for origin in (f"http://localhost:{port}", "https://evil.example"):
            with (
                pytest.raises(InvalidStatus) as refused,
                connect(url, ssl=context, origin=Origin(origin)),
            ):
                pass
            assert refused.value.response.status_code == 403
