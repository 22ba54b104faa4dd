"""Clients that nobody here wrote, which ask for HTTP/2: with each request over HTTP/1.1, or by ALPN."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.echo_server import echo_server
from tests.parity.edges import WholeEchoServer
from tests.whole.certificates import made
from tests.whole.conftest import ROOT, edge_process

_LINES = b'{"stringField":"a"}\n{"stringField":"b"}\n'


async def _output(*command: str, given: bytes | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(given), 50)
    assert process.returncode == 0
    return output.decode()


def _says(*command: str) -> str:
    """Returns what a command prints; nothing if there is no such command."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, timeout=50).stdout


@cache
def _curl_has_http2() -> bool:
    return "HTTP2" in _says("curl", "--version")


@cache
def _java_has_compiler() -> bool:
    return "jdk.compiler" in _says("java", "--list-modules")


async def test_curl_that_asks_for_http2(tmp_path: Path) -> None:
    """`curl --http2` is answered in HTTP/1.1, with its body: from memory, in chunks, and as events."""
    if not _curl_has_http2():
        pytest.skip("no curl with HTTP/2 here")
    curl = ("curl", "--http2", "-sS", "-w", " %{http_code} %{http_version}")
    lines = ("-H", "Content-Type: application/x-ndjson")
    async with (
        echo_server(WholeEchoServer) as echo,
        edge_process(tmp_path, echo.address) as base,
    ):
        unary = await _output(*curl, "-d", '{"stringField":"a"}', f"{base}/v1/echo")
        upload = await _output(*curl, *lines, "-d", _LINES.decode(), f"{base}/v1/upload")
        chunks = await _output(
            *curl, *lines, "-X", "POST", "-T", "-", f"{base}/v1/upload", given=_LINES
        )
        stream = await _output(*curl, "-N", "-d", '{"int32Field":2}', f"{base}/v1/stream")
        large = await _output(
            *curl, "-H", "Expect: 100-continue", "--data-binary", "@-", f"{base}/v1/raw",
            given=b"x" * 200_000,
        )  # fmt: skip

    assert unary == '{"stringField":"a"} 200 1.1'
    assert upload == chunks == '{"count":2,"strings":["a","b"]} 200 1.1'
    assert stream.count('"int32Field":2') == 2
    assert stream.endswith(" 200 1.1")
    assert large == "x" * 200_000 + " 200 1.1"


async def test_javas_client(tmp_path: Path) -> None:
    """Java's `HttpClient` asks for h2c by default; each request has its own answer, and WebSocket works."""
    if not _java_has_compiler():
        pytest.skip("no JDK here")
    async with (
        echo_server(WholeEchoServer) as echo,
        edge_process(tmp_path, echo.address) as base,
    ):
        output = await _output("java", "tests/whole/java/Ask.java", base)

    assert output.splitlines() == [
        *(f'200 {{"stringField":"{number}"}}' for number in range(3)),
        *(f"raw {number}" for number in range(20)),
        '{"count":2,"strings":["a","b"]}',
        '{"stringField":"socket"}',
    ]


@pytest.mark.parametrize("version", ["HTTP_1_1", "HTTP_2"])
async def test_javas_client_by_connect(tmp_path: Path, version: str) -> None:
    """It calls by Connect, in JSON and in protobuf; over TLS it chooses HTTP/2 by ALPN."""
    if not _java_has_compiler():
        pytest.skip("no JDK here")
    options: tuple[str, ...] = ()
    if version == "HTTP_2":
        party = made(tmp_path / "tls") / "gateway"
        options = (
            "--tls-certificate",
            str(party / "certificate.pem"),
            "--tls-key",
            str(party / "key.pem"),
        )
    async with (
        echo_server(WholeEchoServer) as echo,
        edge_process(tmp_path, echo.address, *options) as base,
    ):
        url = base.replace("127.0.0.1", "localhost")
        trusted = (str(tmp_path / "tls/gateway/ca.pem"),) if options else ()
        output = await _output("java", "tests/whole/java/Rpc.java", url, *trusted)

    assert output.splitlines() == [
        f"{version} {line}"
        for line in (
            '200 {"stringField":"a"}',
            "200 one 3",
            "200 3 a",
            '400 {"code":"failed_precondition","message":"no" google.rpc.ErrorInfo',
            "504 true",
            "200 3",
            *(f'200 {{"stringField":"{number}"}}' for number in range(20)),
        )
    ]
