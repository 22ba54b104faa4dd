"""Clients that nobody here wrote call the one port of an edge: `make interop` installs and runs them.

Each makes the calls of `edge_calls.mjs`, as far as it can: the four types of RPC, metadata both ways, an
error with its details, and a deadline; in clear text, and over TLS. `tests/rpc` has grpcio, also through
proxies; `tests/whole` has Java's client.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import google.api
import orjson
import pytest
from grpc_tools import protoc

from tests.contracts import PROTOS, echo_descriptor_set
from tests.echo_server import Everything, echo_server
from tests.interop.test_interop import INSTALLED, run
from tests.whole import processes
from tests.whole.certificates import made

pytestmark = pytest.mark.interop

MESSAGE: Final = "schlecht: 100 % 🙈"
ANSWERS: Final[dict[str, Any]] = {
    "unary": "a",
    "metadata": ["one", "3"],
    "server stream": ["b", "b", "b"],
    "client stream": [3, ["x", "y", "z"]],
    "bidi": ["x", "y", "z"],
    "error": [9, MESSAGE, ["google.rpc.ErrorInfo"]],
    "deadline": 4,
}
"""The name of each call, and what must come."""
AS_A_BROWSER: Final = {
    name: answer for name, answer in ANSWERS.items() if name not in ("client stream", "bidi")
}
GOOGLE: Final = Path(next(iter(google.api.__path__))).parents[1]
WELL_KNOWN: Final = Path(protoc.__file__).parent / "_proto"


@pytest.fixture(scope="module")
def descriptor_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contract."""
    file = tmp_path_factory.mktemp("contract") / "echo.binpb"
    file.write_bytes(echo_descriptor_set())
    return file


class Served(NamedTuple):
    """Where an edge is, and how it is reached."""

    url: str
    tls: Path | None
    """Folder with the PEMs of a client; None: clear text."""

    @property
    def address(self) -> str:
        """`host:port`."""
        return self.url.rpartition("/")[2]


@pytest.fixture(scope="module", params=["clear", "tls"])
async def edge(
    request: pytest.FixtureRequest, descriptor_set: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """An edge over a server of grpcio; over TLS it has a name, for Node takes no address in a certificate."""
    settings: dict[str, Any] = {}
    parties = None
    if request.param == "tls":
        parties = made(tmp_path_factory.mktemp("tls"))
        own = parties / "gateway"
        settings = {
            "tls_certificate": str(own / "certificate.pem"),
            "tls_key": str(own / "key.pem"),
        }
    async with (
        echo_server() as echo,
        processes.edge(echo.address, descriptor_set=descriptor_set, **settings) as running,
    ):
        if parties is None:
            yield Served(running.http, None)
        else:
            yield Served(f"https://localhost:{running.port}", parties / "client")


async def answers(edge: Served, *command: str) -> dict[str, Any]:
    """Runs a client; returns what it has printed of each call."""
    status, output = await run(*command, tls=edge.tls)
    assert status == 0, output
    return dict(orjson.loads(line) for line in output.splitlines())


async def test_grpc_js(edge: Served) -> None:
    """@grpc/grpc-js makes every call, from the .proto files."""
    folders = (str(PROTOS), str(GOOGLE), str(WELL_KNOWN))

    assert await answers(edge, "node", "edge_grpc_js.mjs", edge.address, *folders) == ANSWERS


async def test_grpc_go(edge: Served, descriptor_set: Path) -> None:
    """grpc-go makes every call, from the descriptor set."""
    if not (INSTALLED / "bin/edge_go").exists():
        pytest.skip("no Go here")

    assert await answers(edge, "bin/edge_go", edge.address, str(descriptor_set)) == ANSWERS


@pytest.mark.parametrize(
    ("protocol", "version", "form"),
    [
        ("connect", "1.1", "proto"),
        ("connect", "1.1", "json"),
        ("connect", "2", "proto"),
        ("connect", "2", "json"),
        ("grpc", "2", "proto"),
        ("grpc-web", "1.1", "proto"),
        ("grpc-web", "2", "proto"),
    ],
)
async def test_connect_node(
    edge: Served, descriptor_set: Path, protocol: str, version: str, form: str
) -> None:
    """@connectrpc/connect-node makes every call in each protocol; over HTTP/1.1 those of a browser.

    With JSON, it calls a method without side effects by GET.
    """
    command = ("node", "edge_connect.mjs", "node", protocol, version, form)
    found = await answers(edge, *command, edge.url, str(descriptor_set))

    assert found == (ANSWERS if version == "2" else AS_A_BROWSER)


@pytest.mark.parametrize(
    ("protocol", "form"), [("connect", "proto"), ("connect", "json"), ("grpc-web", "proto")]
)
async def test_connect_web(edge: Served, descriptor_set: Path, protocol: str, form: str) -> None:
    """@connectrpc/connect-web makes the calls of a browser, by `fetch`."""
    command = ("node", "edge_connect.mjs", "web", protocol, "1.1", form)

    assert await answers(edge, *command, edge.url, str(descriptor_set)) == AS_A_BROWSER


@pytest.mark.parametrize("form", ["text", "binary"])
async def test_grpc_web(edge: Served, descriptor_set: Path, form: str) -> None:
    """grpc-web, by XMLHttpRequest, makes the calls of a browser; it streams in its text format alone."""
    found = await answers(edge, "node", "edge_grpc_web.mjs", form, edge.url, str(descriptor_set))

    assert found == AS_A_BROWSER


def buf_curl(edge: Served, *options: str) -> tuple[str, ...]:
    """Returns the command with messages from its standard input; over TLS it chooses HTTP/2 by ALPN."""
    reached = () if edge.tls is None else ("--cacert", str(edge.tls / "ca.pem"))
    return ("bin/buf", "curl", *reached, "-d", "@-", *options)


def strings(output: str) -> list[str]:
    """Returns the strings of the messages that a command has printed."""
    return re.findall(r'"stringField": *"(\w+)"', output)


def texts(*values: str) -> bytes:
    """Returns messages in JSON."""
    return b"".join(orjson.dumps({"stringField": value}) for value in values)


@pytest.mark.parametrize("protocol", ["connect", "grpc", "grpcweb"])
async def test_buf_curl(edge: Served, protocol: str) -> None:
    """`buf curl` learns the contract by the edge's reflection, and makes every call in each protocol."""
    prior = ("--http2-prior-knowledge",) if edge.tls is None else ()
    command, url = buf_curl(edge, *prior, "--protocol", protocol), f"{edge.url}/echo.v1.Echo"
    unary = await run(*command, "-v", "-H", "x-given: one", f"{url}/Unary", stdin=texts("a"))
    wanted = b'{"stringField":"b","int32Field":3}'
    down = await run(*command, f"{url}/ServerStream", stdin=wanted)
    up = await run(*command, f"{url}/ClientStream", stdin=texts("x", "y", "z"))
    both = await run(*command, f"{url}/Bidi", stdin=texts("x", "y", "z"))
    wanted = orjson.dumps({"code": 9, "message": MESSAGE, "details": True})
    failed = await run(*command, f"{url}/Fail", stdin=wanted)
    late = await run(*command, "--timeout", "1s", f"{url}/Hang", stdin=b"{}")

    assert strings(unary[1]) == ["a"], unary[1]
    assert "X-Given: one" in unary[1]
    assert strings(down[1]) == ["b"] * 3
    assert orjson.loads(up[1]) == {"count": 3, "strings": ["x", "y", "z"]}
    assert strings(both[1]) == ["x", "y", "z"]
    error = orjson.loads(failed[1])
    assert (error["code"], error["message"]) == ("failed_precondition", MESSAGE)
    assert [detail["type"] for detail in error["details"]] == ["google.rpc.ErrorInfo"]
    assert orjson.loads(late[1])["code"] == "deadline_exceeded"


async def test_buf_curl_without_reflection(edge: Served, descriptor_set: Path) -> None:
    """With the descriptor set, `buf curl` needs no reflection, and thus no HTTP/2 in clear text."""
    command = buf_curl(edge, "--schema", str(descriptor_set), "-v")
    status, output = await run(*command, f"{edge.url}/echo.v1.Echo/Unary", stdin=texts("a"))

    assert (status, strings(output)) == (0, ["a"])
    assert ("HTTP/1.1 200 OK" if edge.tls is None else "HTTP/2.0 200 OK") in output


def grpcurl(edge: Served, *options: str) -> tuple[str, ...]:
    """Returns the command with the address; skips a test where `make interop` has not built it."""
    if not (INSTALLED / "bin/grpcurl").exists():
        pytest.skip("no Go here")
    reached = ("-plaintext",) if edge.tls is None else ("-cacert", str(edge.tls / "ca.pem"))
    return ("bin/grpcurl", *reached, *options, edge.address)


async def test_grpcurl_looks(edge: Served) -> None:
    """`list` and `describe` show the contract, and the edge's own services, by reflection."""
    command = grpcurl(edge)
    services = await run(*command, "list")
    methods = await run(*command, "list", "echo.v1.Echo")
    described = await run(*command, "describe", "echo.v1.FailRequest")
    health = await run(*command, "grpc.health.v1.Health/Check")

    assert services[0] == 0, services[1]
    assert {"echo.v1.Echo", "grpc.health.v1.Health"} <= set(services[1].split())
    assert "echo.v1.Echo.ServerStream" in methods[1].split()
    assert "bool details = 4;" in described[1]
    assert orjson.loads(health[1]) == {"status": "SERVING"}


async def test_grpcurl_calls(edge: Served) -> None:
    """All types of RPC, metadata both ways, an error with its details, and a deadline."""
    command = grpcurl(edge, "-d", "@")
    watched = grpcurl(edge, "-d", "@", "-v", "-H", "x-given: one")
    unary = await run(*watched, "echo.v1.Echo/Unary", stdin=texts("a"))
    wanted = b'{"stringField":"b","int32Field":3}'
    down = await run(*command, "echo.v1.Echo/ServerStream", stdin=wanted)
    up = await run(*command, "echo.v1.Echo/ClientStream", stdin=texts("x", "y", "z"))
    both = await run(*command, "echo.v1.Echo/Bidi", stdin=texts("x", "y", "z"))
    wanted = orjson.dumps({"code": 9, "message": MESSAGE, "details": True})
    failed = await run(*command, "echo.v1.Echo/Fail", stdin=wanted)
    hurried = grpcurl(edge, "-d", "@", "-max-time", "0.5")
    late = await run(*hurried, "echo.v1.Echo/Hang", stdin=b"{}")

    assert strings(unary[1]) == ["a"], unary[1]
    assert "x-given: one" in unary[1]
    assert "cost: 3" in unary[1]
    assert strings(down[1]) == ["b"] * 3
    assert orjson.loads(up[1]) == {"count": 3, "strings": ["x", "y", "z"]}
    assert strings(both[1]) == ["x", "y", "z"]
    assert all(word in failed[1] for word in ("FailedPrecondition", MESSAGE, "WISH")), failed[1]
    assert "DeadlineExceeded" in late[1]


LOADS = {
    "gRPC": ("/echo.v1.Echo/Unary", "application/grpc"),
    "Connect": ("/echo.v1.Echo/Unary", "application/proto"),
    "REST": ("/v1/echo", "application/json"),
}


@pytest.mark.skipif(shutil.which("h2load") is None, reason="Debian has h2load in nghttp2-client")
@pytest.mark.parametrize("wire", LOADS)
async def test_h2load(edge: Served, tmp_path: Path, wire: str) -> None:
    """Thousands of requests on a few connections of HTTP/2 are all answered, on each wire."""
    message = Everything(string_field="a").SerializeToString()
    bodies = {
        "gRPC": b"\0" + len(message).to_bytes(4, "big") + message,
        "Connect": message,
        "REST": b'{"stringField":"a"}',
    }
    body = tmp_path / "body"
    body.write_bytes(bodies[wire])
    path, content_type = LOADS[wire]
    status, output = await run(
        *("h2load", "-n", "2000", "-c", "4", "-m", "25", "-d", str(body)),
        *("-H", f"content-type: {content_type}", "-H", "te: trailers"),
        f"{edge.url}{path}",
    )

    assert status == 0, output
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in output
    assert "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx" in output
