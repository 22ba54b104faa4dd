"""The configuration of docs/how-to/reverse-proxy.md holds nothing back and changes nothing on its way."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from gateway.admission.proxy_settings import ProxySettings
from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream, serving
from tests.contracts import compile_text
from tests.howto.reading import PAGES
from tests.pages import Reader, blocks
from tests.whole.conftest import free_ports
from tests.whole.nginx import nginx_path

pytestmark = pytest.mark.skipif(nginx_path() is None, reason="no nginx here")

PROTO = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
message M { string text = 1; }
service S {
  rpc Ask(M) returns (M) { option (google.api.http) = {get: "/names/{text}"}; }
  rpc Watch(M) returns (stream M) { option (google.api.http) = {get: "/watch"}; }
  rpc Talk(stream M) returns (stream M) { option (google.api.http) = {post: "/talk" body: "*"}; }
}
"""
_SECONDS = 10


async def echo(call: ScriptedCall) -> AsyncIterator[Any]:
    """Answers each message with itself, as it comes."""
    async for request in call.messages():
        yield request


async def tell(call: ScriptedCall) -> AsyncIterator[Any]:
    """Answers `metadata` with what the call says of its caller, and any other message with itself."""
    async for request in call.messages():
        said = " ".join(f"{key}={text!s}" for key, text in call.metadata if "forwarded" in key)
        yield {"text": said} if request.text == "metadata" else request


async def watch(call: ScriptedCall) -> AsyncIterator[Any]:
    """Answers with one message, and goes on for ever."""
    yield {"text": "first"}
    await call.ended.wait()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of nginx, with the configuration of the page, before an edge that follows scripts."""
    path = tmp_path / "t.binpb"
    path.write_bytes(compile_text(PROTO))
    proxies = ProxySettings(trusted=("loopback",))
    settings = Settings(descriptor_set=path, root_path="/api", log_level="warning", proxies=proxies)
    upstream = ScriptedUpstream({"/t.S/Ask": tell, "/t.S/Watch": watch, "/t.S/Talk": echo})
    page = {each.title: each.text for each in blocks((PAGES / "reverse-proxy.md").read_text())}
    (ours,) = free_ports(1)
    with serving(create_app(settings, upstream), settings) as url:
        text = page["nginx.conf"].replace("127.0.0.1:8080", url.removeprefix("http://"))
        (tmp_path / "nginx.conf").write_text(
            text.replace("listen 8000", f"listen 127.0.0.1:{ours}")
        )
        with Reader(tmp_path, {8000: ours}).background(page["terminal 3"]):
            yield ours


def test_paths_pass_as_they_came(port: int) -> None:
    """No escape is decoded on the way, so an escaped slash stays within its segment."""
    answer = httpx.get(f"http://127.0.0.1:{port}/api/names/a%2Fb%20c")

    assert answer.json() == {"text": "a/b c"}


def test_the_server_is_told_of_the_caller(port: int) -> None:
    """By its own address, whatever it has sent; the URL is the one that it has asked."""
    forged = {
        "x-forwarded-for": "198.51.100.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil.example",
        "forwarded": "for=198.51.100.1",
        "grpc-metadata-x-forwarded-for": "198.51.100.1",
        "grpc-metadata-forwarded": "for=198.51.100.1",
    }
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.3")) as client:
        answer = client.get(f"http://127.0.0.1:{port}/api/names/metadata", headers=forged)

    assert answer.json()["text"].split() == [
        "x-forwarded-for=127.0.0.3",
        "x-forwarded-proto=http",
        f"x-forwarded-host=127.0.0.1:{port}",
    ]


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/x-ndjson"])
def test_a_message_comes_as_it_is_sent(port: int, media_type: str) -> None:
    """The first message of a stream that goes on arrives."""
    url = f"http://127.0.0.1:{port}/api/watch"
    headers = {"accept": media_type}
    with httpx.stream("GET", url, headers=headers, timeout=_SECONDS) as answer:
        line = next(line for line in answer.iter_lines() if "first" in line)

    assert line.removeprefix("data: ") == '{"text":"first"}'


def test_an_upload_passes_as_it_is_sent(port: int) -> None:
    """A message is answered before the next one is sent, both ways over one request."""
    head = b"POST /api/talk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as caller:
        caller.sendall(head)
        seen = b""
        for number in range(3):
            message = b'{"text":"%d"}\n' % number
            caller.sendall(b"%x\r\n%b\r\n" % (len(message), message))
            while message not in seen:
                part = caller.recv(4096)
                assert part, seen
                seen += part
        caller.sendall(b"0\r\n\r\n")
        while not seen.endswith(b"0\r\n\r\n"):
            part = caller.recv(4096)
            assert part, seen
            seen += part


def test_pages_of_the_same_host_may_open_a_websocket(port: int) -> None:
    """The edge knows the host and port that the browser asked; another page is refused."""
    url = f"ws://127.0.0.1:{port}/api/talk"
    with connect(url, origin=Origin(f"http://127.0.0.1:{port}")) as websocket:
        websocket.send('{"text":"x"}')
        assert websocket.recv() == '{"text":"x"}'
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(url, origin=Origin("http://elsewhere.example")),
    ):
        pass
    assert refused.value.response.status_code == 403
