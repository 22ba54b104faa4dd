"""Rights on a real edge: a settings file, API keys, and each wire over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from gateway.admission.authentication.api_keys import new_api_key
from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.parity.client import ask
from tests.whole.forking import run
from tests.whole.processes import edge

RULES = [
    {"requests": "GET /v1/echo", "anonymous": True},
    {"requests": ["echo.v1.Echo/Unary", "/docs"], "scopes": "write"},
    {"requests": ["echo.v1.Echo/ServerStream", "echo.v1.Echo/Bidi"], "scopes": "write"},
    {"requests": "echo.v1.Echo/ClientStream", "identity": "api_key"},
]


@dataclass(frozen=True)
class Served:
    """An edge, and the headers of its callers."""

    port: int
    callers: tuple[dict[str, str], ...]
    """Without an identity, with one, and with one that has the scope."""


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """Runs an edge with rules."""
    folder = tmp_path_factory.mktemp("rights")
    guest, guest_entry = new_api_key("guest")
    writer, writer_entry = new_api_key("writer", scopes=("write",))
    (folder / "keys.yaml").write_text(
        yaml.safe_dump({"keys": [dict(guest_entry), dict(writer_entry)]})
    )
    descriptor_set = folder / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    config = folder / "edge.yaml"
    given = {"api_keys": {"file": str(folder / "keys.yaml")}, "rights": {"rules": RULES}}
    config.write_text(yaml.safe_dump(given))
    callers: tuple[dict[str, str], ...] = ({}, {"x-api-key": guest}, {"x-api-key": writer})
    async with (
        echo_server() as echo,
        edge(echo.address, descriptor_set=descriptor_set, config=str(config)) as running,
    ):
        yield Served(running.port, callers)


JSON = {"content-type": "application/json"}
PREFLIGHT = {"origin": "https://a.example", "access-control-request-method": "GET"}


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "statuses"),
    [
        ("GET", "/v1/echo", {}, None, (200, 200, 200)),
        ("HEAD", "/v1/echo", {}, None, (200, 200, 200)),
        ("POST", "/v1/echo", JSON, b"{}", (401, 403, 200)),
        ("POST", "/v1/%65cho", JSON, b"{}", (401, 403, 200)),
        ("GET", "/v1/echo/a?int32_field=1", {}, None, (401, 403, 200)),
        ("GET", "/v1/stream/a", {"accept": "text/event-stream"}, None, (401, 403, 200)),
        ("GET", "/v1/stream/a", {"accept": "application/x-ndjson"}, None, (401, 403, 200)),
        ("POST", "/v1/upload", JSON, b"[{}]", (401, 200, 200)),
        ("GET", "/v1/hang", {}, None, (401, 403, 403)),
        ("OPTIONS", "/v1/stream/a", {}, None, (401, 403, 204)),
        ("OPTIONS", "/v1/stream/a", PREFLIGHT, None, (401, 403, 204)),
        ("PUT", "/v1/stream/a", {}, None, (401, 403, 405)),
        ("GET", "/docs", {}, None, (401, 403, 200)),
        ("GET", "/openapi.json", {}, None, (401, 403, 403)),
        ("GET", "/nothing", {}, None, (401, 404, 404)),
        ("GET", "/v1/hang/", {}, None, (401, 404, 404)),
        ("GET", "//docs", {}, None, (401, 404, 404)),
        ("GET", "/x/../docs", {}, None, (401, 404, 404)),
        ("GET", "/healthz", {}, None, (200, 200, 200)),
    ],
)
async def test_each_request_has_its_answer(
    served: Served,
    method: str,
    target: str,
    headers: dict[str, str],
    body: bytes | None,
    statuses: tuple[int, int, int],
) -> None:
    """Without an identity, with one, and with the right."""
    answers = [
        await ask(served.port, method, target, headers | caller, body) for caller in served.callers
    ]
    assert tuple(each.status for each in answers) == statuses


async def test_handshakes_have_the_same_answers(served: Served) -> None:
    """401, 403, and a WebSocket that works."""
    url, wanted = f"ws://127.0.0.1:{served.port}/v1/bidi", [Subprotocol("grpc-json.v1")]
    for caller, status in zip(served.callers[:2], (401, 403), strict=True):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, subprotocols=wanted, additional_headers=caller):
                pass
        assert refused.value.response.status_code == status
    async with connect(url, subprotocols=wanted, additional_headers=served.callers[2]) as socket:
        await socket.send('{"stringField":"a"}')
        assert await socket.recv() == '{"stringField":"a"}'


def test_wrong_rules_end_the_command_in_one_line(tmp_path: Path) -> None:
    """With the number of the rule and the nearest name."""
    descriptor_set, config = tmp_path / "echo.binpb", tmp_path / "edge.yaml"
    descriptor_set.write_bytes(echo_descriptor_set())
    rules = [{"requests": "echo.v1.Ecko/*", "identity": "any"}, *RULES]
    config.write_text(yaml.safe_dump({"rights": {"rules": rules}}))
    given = ("--descriptor-set", str(descriptor_set), "--port", "0", "--config", str(config))
    done = run("gateway", "serve", *given)

    assert done.returncode == 1
    assert done.stderr == (
        "protoway: rights.rules[0]: 'echo.v1.Ecko/*' takes in no method of the contract;"
        " did you mean 'echo.v1.Echo/*'?\n"
    )
