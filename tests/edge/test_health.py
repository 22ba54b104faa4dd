"""The command that asks an edge whether it is alive."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

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
