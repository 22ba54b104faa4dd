"""An edge over the mock: each wire, errors on request, and deadlines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from gateway.app import create_app
from gateway.cli import main
from gateway.mock.upstream import AFTER_KEY, ERROR_KEY, MockUpstream, Pace
from gateway.settings import Settings
from gateway.testing import serving
from gateway.transcoding.status import DEADLINE_EXCEEDED, StatusError
from tests.contracts import echo_contract, echo_descriptor_set

HEADERS = {name: f"grpc-metadata-{name}" for name in (ERROR_KEY, AFTER_KEY)}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an edge whose streams have three messages."""
    path = tmp_path_factory.mktemp("contract") / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    settings = Settings(descriptor_set=path)
    upstream = MockUpstream(echo_contract(), 0, Pace(messages=3, interval=0.01))
    with serving(create_app(settings, upstream), settings) as url:
        yield url


def asked(error: str, after: int = 0) -> dict[str, str]:
    """Returns the headers that ask for an error."""
    return {HEADERS[ERROR_KEY]: error, HEADERS[AFTER_KEY]: str(after)}


def lines(response: httpx.Response) -> list[Any]:
    """Returns the messages of a stream."""
    return [json.loads(line) for line in response.text.splitlines()]


def test_unary(edge: str) -> None:
    """What the request says is repeated, the rest is made up, and is always the same."""
    first = httpx.get(f"{edge}/v1/echo/tea?int32_field=7").json()

    assert (first["stringField"], first["int32Field"]) == ("tea", 7)
    assert first["nested"]["name"]
    assert httpx.get(f"{edge}/v1/echo/tea?int32_field=7").json() == first
    assert httpx.get(f"{edge}/v1/echo/milk?int32_field=7").json() != first


def test_server_stream(edge: str) -> None:
    """So many messages, each with other values; as events too."""
    messages = lines(httpx.get(f"{edge}/v1/stream/tea"))
    events = httpx.get(f"{edge}/v1/stream/tea", headers={"accept": "text/event-stream"}).text

    assert len(messages) == 3
    assert {message["stringField"] for message in messages} == {"tea"}
    assert len({message["int64Field"] for message in messages}) > 1
    assert events.count('data: {"') == 3
    assert "event: end" in events


def test_client_stream(edge: str) -> None:
    """The answer comes behind the last message."""
    answer = httpx.post(f"{edge}/v1/upload", content='{"stringField":"a"}\n{}\n').json()

    assert set(answer) == {"count", "strings"}


def test_both_stream(edge: str) -> None:
    """One answer for each message."""
    with connect(f"{edge.replace('http', 'ws', 1)}/v1/bidi") as socket:
        for text in ("a", "b"):
            socket.send(json.dumps({"stringField": text}))
            assert json.loads(socket.recv(10))["stringField"] == text


def test_raw_bytes(edge: str) -> None:
    """An HttpBody is text."""
    answer = httpx.get(f"{edge}/v1/raw:download")

    assert answer.headers["content-type"] == "text/plain"
    assert answer.text.startswith("example ")


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        ("NOT_FOUND", 404, 5, "NOT_FOUND, as x-mock-error asks"),
        ("not_found: no tea", 404, 5, "no tea"),
        ("14", 503, 14, "UNAVAILABLE, as x-mock-error asks"),
    ],
)
def test_an_error_on_request(edge: str, error: str, status: int, code: int, message: str) -> None:
    """A header names its code, and perhaps its message."""
    for path in ("/v1/echo", "/v1/stream/tea"):
        answer = httpx.get(f"{edge}{path}", headers=asked(error))
        assert (answer.status_code, answer.json()) == (status, {"code": code, "message": message})


def test_an_error_within_a_stream(edge: str) -> None:
    """Behind so many messages."""
    *messages, last = lines(httpx.get(f"{edge}/v1/stream/tea", headers=asked("ABORTED", 2)))

    assert len(messages) == 2
    assert last["code"] == 10


@pytest.mark.parametrize(("error", "after"), [("OK", "0"), ("99", "0"), ("", "0"), ("5", "x")])
def test_an_error_that_there_is_not(edge: str, error: str, after: str) -> None:
    """Is told, with the header's name."""
    headers = {HEADERS[ERROR_KEY]: error, HEADERS[AFTER_KEY]: after}
    answer = httpx.get(f"{edge}/v1/echo", headers=headers)

    assert answer.status_code == 400
    assert answer.json()["message"].startswith("x-mock-error")


async def test_a_deadline_ends_a_stream() -> None:
    """As a server would have ended it; what came before it is sent."""
    upstream = MockUpstream(echo_contract(), 0, Pace(messages=0, interval=60))
    method = next(one for one in echo_contract().methods if one.full_name.endswith("ServerStream"))
    async with upstream.open(method, b"", timeout=0.05) as call:
        assert await anext(call)
        with pytest.raises(StatusError) as caught:
            await anext(call)
    assert caught.value.code == DEADLINE_EXCEEDED


def test_it_is_ready(edge: str) -> None:
    """There is nothing to wait for."""
    assert httpx.get(f"{edge}/readyz").status_code == 200


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--messages", "-1"), "--messages: expected a whole number, at least 0, got '-1'"),
        (("--interval", "0"), "--interval: expected a number, at least 0.001, got '0'"),
        (("--seed", "x"), "--seed: expected a whole number, got 'x'"),
        (("--port", "x"), "--port: "),
    ],
)
def test_a_wrong_option_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    """Which names it, before anything is served."""
    assert main(["mock", str(tmp_path / "none.binpb"), *words]) == 2
    assert capsys.readouterr().err.startswith(f"protoway: {line}")
