"""grpc_wire, with peers that nobody here wrote: `make interop` installs and runs them.

gRPC's interoperability test cases with @grpc/grpc-js and grpc-go as clients and as servers, buf's client, and
nghttp2's load generator. The pairings with grpcio and Envoy are in `tests/wire/interop`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from grpc_wire.channel import insecure_channel
from grpc_wire.server import server
from tests.contracts import PROTOS
from tests.interop.test_interop import INSTALLED, run
from tests.parity.edges import why_no_envoy
from tests.wire.interop import cases
from tests.wire.interop.contract import SERVICE, SimpleRequest, SimpleResponse, zeros
from tests.wire.interop.proxy import proxied
from tests.wire.interop.servicer import serving
from tests.wire.interop.tap import Passed, Tap, tapped

pytestmark = pytest.mark.interop

BUF = ("bin/buf", "curl", "--http2-prior-knowledge", "--protocol", "grpc", "-d", "@-")
ALL = [case.__name__ for case in cases.ALL if not case.__name__.endswith("_noprobe")]
COMPRESSES_NOT = {cases.server_compressed_unary, cases.server_compressed_streaming}
"""What these servers cannot be asked for."""


@asynccontextmanager
async def reached(folder: Path, through: str) -> AsyncIterator[tuple[str, Tap]]:
    """Runs our server, and Envoy before it where that is asked for; gives the address, and what passes."""
    async with serving(server) as tap:
        if through == "straight":
            yield tap.address, tap
            return
        if reason := why_no_envoy():
            pytest.skip(reason)
        async with proxied(folder, {tap.address: None}) as (address,):
            yield address, tap


@pytest.fixture(params=["straight", "envoy"])
async def way(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, Tap]]:
    """Our server."""
    async with reached(tmp_path, request.param) as found:
        yield found


CLIENTS: dict[str, tuple[str, ...]] = {
    "grpc_js": ("node", "cases.mjs"),
    "grpc_go": ("bin/grpc_go", "call"),
}
SERVERS: dict[str, tuple[str, ...]] = {
    "grpc_js": ("node", "test_server.mjs"),
    "grpc_go": ("bin/grpc_go", "serve"),
}


def here(peer: str, commands: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Returns the command of a peer, if it was installed."""
    if peer == "grpc_go" and not (INSTALLED / "bin" / "grpc_go").exists():
        pytest.skip("no grpc-go here: Debian has it in golang-google-grpc-dev, beside golang-go")
    return commands[peer]


@pytest.mark.parametrize("client", CLIENTS)
async def test_called(way: tuple[str, Tap], client: str) -> None:
    """Clients pass each case against our server."""
    status, said = await run(*here(client, CLIENTS), way[0], str(PROTOS))

    assert (status, set(said.split())) == (0, set(ALL)), said


async def test_grpc_js_reads_what_we_compress(way: tuple[str, Tap]) -> None:
    """Our server compresses what it was told to, and nothing else, for grpc-js to read."""
    address, tap = way
    await run("node", "cases.mjs", address, str(PROTOS), "server_compressed_unary")
    unary = [[each.compressed for each in call.responses] for call in tap.calls]
    await run("node", "cases.mjs", address, str(PROTOS), "server_compressed_streaming")

    assert unary == [[True], [False]]
    assert [each.compressed for each in tap.last.responses] == [True, False]


async def test_we_read_what_grpc_js_compresses(way: tuple[str, Tap]) -> None:
    """One stream may have messages that are compressed, and others."""
    address, tap = way
    status, said = await run(
        "node", "cases.mjs", address, str(PROTOS), "client_compressed_streaming"
    )

    assert (status, said) == (0, "client_compressed_streaming\n")
    assert [each.compressed for each in tap.last.requests] == [True, False]


@pytest.fixture(params=SERVERS)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Tap]:
    """A server that is not ours."""
    process = await asyncio.create_subprocess_exec(
        *(*here(request.param, SERVERS), str(PROTOS)),
        cwd=INSTALLED,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 30))
        async with tapped(f"127.0.0.1:{port}") as tap:
            yield tap
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)


@pytest.mark.parametrize("through", ["straight", "envoy"])
@pytest.mark.parametrize(
    "case",
    [case for case in cases.EVERYWHERE if case not in COMPRESSES_NOT],
    ids=lambda case: case.__name__,
)
async def test_calling(served: Tap, tmp_path: Path, case: cases.Case, through: str) -> None:
    """Our channel passes each case against servers that are not ours."""
    if through == "straight":
        async with insecure_channel(served.address) as channel:
            await case(channel, served)
        return
    if reason := why_no_envoy():
        pytest.skip(reason)
    async with (
        proxied(tmp_path, {served.address: None}) as (address,),
        insecure_channel(address) as channel,
    ):
        await case(channel, served)


def asked(**request: Any) -> bytes:
    """Returns a request in JSON."""
    return orjson.dumps(request)


async def test_buf_curl(way: tuple[str, Tap]) -> None:
    """`buf curl` learns the contract of our server by reflection, and makes calls of all four types."""
    base = f"http://{way[0]}/{SERVICE}"
    empty = await run(*BUF, f"{base}/EmptyCall", stdin=b"{}")
    unary = await run(*BUF, f"{base}/UnaryCall", stdin=asked(responseSize=3))
    parts = asked(responseParameters=[{"size": 1}, {"size": 2}])
    down = await run(*BUF, f"{base}/StreamingOutputCall", stdin=parts)
    up = await run(*BUF, f"{base}/StreamingInputCall", stdin=asked(payload={"body": "AAAA"}) * 2)
    both = await run(*BUF, f"{base}/FullDuplexCall", stdin=parts * 2)

    assert [status for status, _ in (empty, unary, down, up, both)] == [0] * 5
    assert orjson.loads(empty[1]) == {}
    assert orjson.loads(unary[1]) == {"payload": {"body": "AAAA"}}
    assert re.findall('"body": *"(.*?)"', down[1]) == ["AA==", "AAA="]
    assert orjson.loads(up[1]) == {"aggregatedPayloadSize": 6}
    assert re.findall('"body": *"(.*?)"', both[1]) == ["AA==", "AAA="] * 2


async def test_buf_curl_is_refused(way: tuple[str, Tap]) -> None:
    """What our server says at the end comes to it, and so does a method that is not there."""
    base = f"http://{way[0]}/{SERVICE}"
    status = asked(responseStatus={"code": 9, "message": "ends, 100% ☺"})
    refused = await run(*BUF, f"{base}/UnaryCall", stdin=status)
    missing = await run(*BUF, f"{base}/UnimplementedCall", stdin=b"{}")

    assert orjson.loads(refused[1]) == {"code": "failed_precondition", "message": "ends, 100% ☺"}
    assert orjson.loads(missing[1])["code"] == "unimplemented"
    assert 0 not in (refused[0], missing[0])


class Load(NamedTuple):
    """What is asked of h2load."""

    requests: int
    options: str
    request: int = 100
    response: int = 10_000


LOADS = {
    "one connection": Load(5000, "-c 1 -m 100"),
    "many connections": Load(5000, "-c 50 -m 10"),
    "narrow windows": Load(500, "-c 2 -m 10 -w 12 -W 14"),
    "large messages": Load(300, "-c 3 -m 10", 200_000, 300_000),
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
async def test_h2load(tmp_path: Path, load: Load) -> None:
    """Thousands of requests of nghttp2's load generator are answered, and not one less."""
    if shutil.which("h2load") is None:
        pytest.skip("no h2load here: it is in Debian's package nghttp2-client")
    asked_for = SimpleRequest(response_size=load.response, payload=zeros(load.request))
    message = asked_for.SerializeToString()
    body = tmp_path / "body"
    body.write_bytes(b"\x00" + len(message).to_bytes(4, "big") + message)
    headers = ("-H", "content-type: application/grpc", "-H", "te: trailers")
    async with serving(server) as tap:
        status, said = await run(
            *("h2load", "-n", str(load.requests), *load.options.split(), *headers),
            *("-d", str(body)),
            f"http://{tap.address}/{SERVICE}/UnaryCall",
        )

    assert status == 0, said
    assert f"{load.requests} succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert f"status codes: {load.requests} 2xx, 0 3xx, 0 4xx, 0 5xx" in said
    size = SimpleResponse(payload=zeros(load.response)).ByteSize()
    assert [call.responses for call in tap.calls] == [[Passed(size)]] * load.requests
