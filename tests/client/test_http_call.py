"""`protoway call --http`: all four kinds through an edge, with statuses, deadlines and TLS of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import serving
from tests.client.conftest import Run
from tests.client.test_call_command import summary
from tests.echo_server import EchoServer


@pytest.fixture
def url(echo: EchoServer, descriptor_set: Path) -> Iterator[str]:
    """An edge before the server."""
    settings = Settings(descriptor_set=descriptor_set, upstream=echo.address, access_log="off")
    with serving(create_app(settings), settings) as url:
        yield url


async def test_unary(call: Run, url: str) -> None:
    """The answer is a line."""
    status, out, err = await call("Unary", '{"stringField": "a/b", "int64Field": 7}', "--http", url)

    assert (status, out) == (0, '{"int64Field":"7","stringField":"a/b"}\n')
    assert summary(err) == "protoway: OK (sent 1, received 1)"


async def test_server_stream(call: Run, url: str) -> None:
    """The request is in path and query."""
    status, out, err = await call(
        "ServerStream", '{"stringField": "a", "int32Field": 2}', "--http", url
    )

    assert (status, out) == (0, '{"int32Field":2,"stringField":"a"}\n' * 2)
    assert summary(err).startswith("protoway: OK (sent 0, received 2")


@pytest.mark.parametrize("texts", [["a", "b"], [""], []])
async def test_client_stream(call: Run, url: str, stdin: int, texts: list[str]) -> None:
    """Any number of messages, of which each arrives once."""
    lines = [f'{{"stringField":"{text}"}}' if text else "{}" for text in texts]
    os.write(stdin, "\n".join(lines).encode())
    os.close(stdin)
    status, out, _ = await call("ClientStream", "-", "--http", url)

    strings = ",".join(f'"{text}"' for text in texts)
    counted = f'{{"count":{len(texts)},"strings":[{strings}]}}\n' if texts else "{}\n"
    assert (status, out) == (0, counted)


async def test_both_stream(
    call: Run, url: str, stdin: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line is answered before the next one is written."""
    running = asyncio.ensure_future(call("Bidi", "--http", url))
    out = ""
    for text in ("a", "b"):
        os.write(stdin, f'{{"stringField":"{text}"}}\n'.encode())
        while f'{{"stringField":"{text}"}}\n' not in out:
            await asyncio.sleep(0.01)
            out += capsys.readouterr().out
    os.close(stdin)

    assert (await running)[0] == 0


@pytest.mark.parametrize("method", ["Fail", "FailStream"])
async def test_statuses_are_whole(call: Run, url: str, method: str) -> None:
    """Code, message and details are those of the server, on each way."""
    request = '{"code": 5, "message": "sorry", "details": true}'
    status, out, err = await call(method, request, "--http", url)

    assert (status, out) == (69, "")
    assert "protoway: NOT_FOUND: sorry (" in err
    assert '"reason":"WISH"' in err


@pytest.mark.parametrize("method", ["Hang", "HangStream"])
async def test_a_deadline_ends_a_call(call: Run, url: str, method: str) -> None:
    """Whether the edge says so first, or nobody does."""
    status, _, err = await call(method, "--deadline", "0.3", "--http", url)

    assert status == 68
    assert "protoway: DEADLINE_EXCEEDED" in err


async def test_a_wrong_message_in_a_stream(call: Run, url: str, stdin: int) -> None:
    """Ends the call with the status of wrong usage, and the number of the message."""
    os.write(stdin, b'{}\n{"stringField":1}\n')
    status, _, err = await asyncio.wait_for(call("Bidi", "--http", url), 20)
    os.close(stdin)

    assert status == 2
    assert "call: request 1: stringField: expected a string" in err


async def test_headers_are_sent(call: Run, url: str) -> None:
    """As they are; the response's are shown on request."""
    words = ("--header", "Grpc-Metadata-X-Name: it", "--header", "X-Request-ID: seven", "--verbose")
    status, _, err = await call("Unary", "--http", url, *words)

    assert status == 0
    assert "protoway: header: x-request-id: seven\n" in err
    assert "protoway: header: grpc-trailer-cost: 3\n" in err


@pytest.mark.parametrize("method", ["Unary", "Bidi"])
async def test_nobody_is_there(call: Run, method: str) -> None:
    """UNAVAILABLE, with the URL."""
    status, _, err = await call(method, "{}", "--http", "http://127.0.0.1:1")

    assert status == 78
    assert "protoway: UNAVAILABLE: http://127.0.0.1:1: " in err


async def test_a_path_that_is_not_there(call: Run, url: str) -> None:
    """What answers with its own errors has the code of the HTTP status."""
    for method in ("Unary", "Bidi"):
        status, _, err = await call(method, "{}", "--http", f"{url}/elsewhere")
        assert status == 69
        assert "NOT_FOUND" in err


@pytest.mark.parametrize(
    "text", ["localhost:8080", "ftp://x", "http://", "http://x:y", "http://x?a"]
)
async def test_a_wrong_url_is_a_line(call: Run, text: str) -> None:
    """Which says what to write."""
    status, out, err = await call("Unary", "--http", text)

    assert (status, out) == (2, "")
    assert err.startswith("protoway: --http: write a URL, as http://localhost:8080, got ")


async def test_a_method_without_a_rule(call: Run, url: str) -> None:
    """Cannot be called over HTTP."""
    status, _, err = await call("Unbound", "--http", url)

    assert status == 2
    assert err == "protoway: call: the method has no HTTP rule\n"
