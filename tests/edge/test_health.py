"""The command that asks an edge whether it is alive."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import health


@pytest.fixture
def url() -> Iterator[str]:
    """A server that knows `/healthz`, and nothing else."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_alive(url: str) -> None:
    """The exit status is 0."""
    assert health.main([f"{url}/healthz"]) == 0


def test_no_proxy_is_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge itself is asked, whatever proxy docker has put into the environment."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    assert health.main([f"{url}/healthz"]) == 0


@pytest.mark.parametrize(
    ("path", "says"), [("/no", "HTTP Error 503"), ("0/healthz", "refused"), ("x", "port")]
)
def test_not_alive(url: str, path: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An error, nobody there, and what is no URL are one line and exit status 1."""
    asked = url.rpartition(":")[0] + ":" + path if path != "/no" else url + path

    assert health.main([asked]) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:8080/healthz"),
        ({"PROTOWAY_PORT": "9000"}, "http://127.0.0.1:9000/healthz"),
        ({"protoway_port": "9000"}, "http://127.0.0.1:9000/healthz"),
        ({"PROTOWAY_HOST": "0.0.0.0"}, "http://127.0.0.1:8080/healthz"),
        ({"PROTOWAY_HOST": "::"}, "http://[::1]:8080/healthz"),
        ({"PROTOWAY_HOST": "10.0.0.7"}, "http://10.0.0.7:8080/healthz"),
        ({"PROTOWAY_TLS_CERTIFICATE": "/tls/c.pem"}, "https://127.0.0.1:8080/healthz"),
        ({"PROTOWAY_HEALTH_PATH": "/-/alive"}, "http://127.0.0.1:8080/-/alive"),
        ({"PROTOWAY_HEALTH_PATH": ""}, "http://127.0.0.1:8080"),
    ],
)
def test_it_asks_where_the_edge_listens(environment: dict[str, str], url: str) -> None:
    """Host, port, TLS and path are those of the environment."""
    assert health.url_of(environment) == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("server: {port: 9000, host: 10.0.0.7}", "http://10.0.0.7:9000/healthz"),
        ("server: {tls_certificate: c.pem}\npaths: {health_path: /a}", "https://127.0.0.1:8080/a"),
        ("paths: {health_path: ''}", "http://127.0.0.1:8080"),
        ("server: {port: [", "http://127.0.0.1:8080/healthz"),
        ("server", "http://127.0.0.1:8080/healthz"),
        ("server: 1", "http://127.0.0.1:8080/healthz"),
    ],
)
def test_it_asks_where_the_settings_file_says(tmp_path: Path, text: str, url: str) -> None:
    """A variable wins over it; a file that is wrong stops the edge, and not the check."""
    file = tmp_path / "edge.yaml"
    environment = {"PROTOWAY_CONFIG": str(file)}
    assert health.url_of(environment) == "http://127.0.0.1:8080/healthz"
    file.write_text(text)

    assert health.url_of(environment) == url
    assert ":7000" in health.url_of(environment | {"PROTOWAY_PORT": "7000"})


def test_ready_is_another_path(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its setting moves it; where it is closed nobody can say, and that is one line."""
    assert health.url_of({}, ready=True) == "http://127.0.0.1:8080/readyz"
    assert health.url_of({"PROTOWAY_READY_PATH": "/r"}, ready=True).endswith("/r")
    monkeypatch.setenv("PROTOWAY_PORT", url.rpartition(":")[2])
    monkeypatch.setenv("PROTOWAY_READY_PATH", "/healthz")
    assert health.main(["--ready"]) == 0
    monkeypatch.setenv("PROTOWAY_READY_PATH", "")
    assert health.main(["--ready"]) == 1
    assert "ready_path is empty" in capsys.readouterr().err


def test_what_is_not_ready_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The failed checks of the report end the line, and whatever else an edge may answer does not harm."""
    bodies = [
        rb'{"checks":{"contract":{},"upstream":{"reason":"connection refused\n"}}}',
        *(b"", b"[]", b'{"checks":1}', b'{"checks":{"x":1}}', b'{"checks":{"x":{"reason":{}}}}'),
    ]

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[int(self.path[1:])]
            self.send_response(503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever).start()
        for number in range(len(bodies)):
            assert health.main([f"http://127.0.0.1:{server.server_port}/{number}"]) == 1
        server.shutdown()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(bodies)
    assert lines[0].endswith("503: Service Unavailable (upstream: 'connection refused\\n')")


def test_an_edge_that_chooses_its_port_is_not_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody listens on port 0; the line shows the URL."""
    monkeypatch.setenv("PROTOWAY_PORT", "0")

    assert health.main([]) == 1
    assert capsys.readouterr().err.startswith("health: http://127.0.0.1:0/healthz: ")


def test_it_imports_nothing_of_the_edge() -> None:
    """It is started every few seconds: the standard library is enough."""
    code = "import sys, gateway.health; print(*(m for m in sys.modules if m.startswith('gateway')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.stdout.split() == ["gateway", "gateway.health"]
