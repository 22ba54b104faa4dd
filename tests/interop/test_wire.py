"""grpc_wire, with peers that nobody here wrote: `make interop` installs and runs them.

gRPC's interoperability test cases with @grpc/grpc-js and grpc-go as clients and as servers, buf's client, and
nghttp2's load generator; over TLS too. The pairings with grpcio and Envoy are in `tests/wire/interop`.
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

from grpc_wire.client import Channel, insecure_channel, secure_channel
from grpc_wire.server import server
from tests.contracts import PROTOS
from tests.interop.test_interop import INSTALLED, environment, run
from tests.parity.edges import why_no_envoy
from tests.whole.certificates import made
from tests.wire.interop import cases
from tests.wire.interop.contract import SERVICE, SimpleRequest, SimpleResponse, zeros
from tests.wire.interop.proxy import proxied
from tests.wire.interop.servicer import serving
from tests.wire.interop.tap import Passed, Tap, overhear, tapped
from tests.wire.tls import Tls

pytestmark = pytest.mark.interop

BUF = ("bin/buf", "curl", "--protocol", "grpc", "-d", "@-")
ALL = [case.__name__ for case in cases.ALL if not case.__name__.endswith("_noprobe")]
COMPRESSES_NOT = {cases.server_compressed_unary, cases.server_compressed_streaming}
"""What these servers cannot be asked for."""


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Who has what certificate."""
    return Tls(made(tmp_path_factory.mktemp("tls")))


class Way(NamedTuple):
    """How a server is reached, and what passes."""

    address: str
    tap: Tap
    tls: Tls | None = None

    def folder(self, party: str) -> Path | None:
        """Returns where the PEMs of a party are, if there is TLS."""
        return None if self.tls is None else self.tls.folder / party


@asynccontextmanager
async def secured(tls: Tls) -> AsyncIterator[Way]:
    """Runs our server with TLS; gives its name, for Node takes no address in a certificate."""
    credentials, tap = tls.server(), Tap()
    overhear(credentials, tap)
    async with serving(server, credentials, tap):
        yield Way(tap.address.replace("127.0.0.1", "localhost"), tap, tls)


@asynccontextmanager
async def reached(folder: Path, through: str, tls: Tls) -> AsyncIterator[Way]:
    """Runs our server, and Envoy before it where that is asked for."""
    if through == "tls":
        async with secured(tls) as way:
            yield way
        return
    async with serving(server) as tap:
        if through == "straight":
            yield Way(tap.address, tap)
            return
        if reason := why_no_envoy():
            pytest.skip(reason)
        async with proxied(folder, {tap.address: None}) as (address,):
            yield Way(address, tap)


@pytest.fixture(params=["straight", "envoy", "tls"])
async def way(request: pytest.FixtureRequest, tmp_path: Path, parties: Tls) -> AsyncIterator[Way]:
    """Our server."""
    async with reached(tmp_path, request.param, parties) as found:
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
async def test_called(way: Way, client: str) -> None:
    """Clients pass each case against our server."""
    command = here(client, CLIENTS)
    status, said = await run(*command, way.address, str(PROTOS), tls=way.folder("client"))

    assert (status, set(said.split())) == (0, set(ALL)), said


async def of_grpc_js(way: Way, case: str) -> tuple[int, str]:
    """Lets grpc-js try one case against our server."""
    command = ("node", "cases.mjs", way.address, str(PROTOS), case)
    return await run(*command, tls=way.folder("client"))


async def test_grpc_js_reads_what_we_compress(way: Way) -> None:
    """Our server compresses what it was told to, and nothing else, for grpc-js to read."""
    await of_grpc_js(way, "server_compressed_unary")
    unary = [[each.compressed for each in call.responses] for call in way.tap.calls]
    await of_grpc_js(way, "server_compressed_streaming")

    assert unary == [[True], [False]]
    assert [each.compressed for each in way.tap.last.responses] == [True, False]


async def test_we_read_what_grpc_js_compresses(way: Way) -> None:
    """One stream may have messages that are compressed, and others."""
    status, said = await of_grpc_js(way, "client_compressed_streaming")

    assert (status, said) == (0, "client_compressed_streaming\n")
    assert [each.compressed for each in way.tap.last.requests] == [True, False]


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, parties: Tls) -> Tls | None:
    """Without TLS, and with it."""
    return parties if request.param == "tls" else None


@pytest.fixture(params=SERVERS)
async def served(request: pytest.FixtureRequest, tls: Tls | None) -> AsyncIterator[Way]:
    """A server that is not ours."""
    process = await asyncio.create_subprocess_exec(
        *(*here(request.param, SERVERS), str(PROTOS)),
        cwd=INSTALLED,
        env=environment(None if tls is None else tls.folder / "core"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = f"127.0.0.1:{int(await asyncio.wait_for(process.stdout.readline(), 30))}"
        if tls is not None:
            yield Way(address, Tap(), tls)
            return
        async with tapped(address) as tap:
            yield Way(tap.address, tap)
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)


@pytest.mark.parametrize("through", ["straight", "envoy"])
@pytest.mark.parametrize(
    "case",
    [case for case in cases.EVERYWHERE if case not in COMPRESSES_NOT],
    ids=lambda case: case.__name__,
)
async def test_calling(served: Way, tmp_path: Path, case: cases.Case, through: str) -> None:
    """Our channel passes each case against servers that are not ours."""
    if through == "straight":
        async with opened(served, served.address) as channel:
            await case(channel, served.tap)
        return
    if reason := why_no_envoy():
        pytest.skip(reason)
    async with (
        proxied(tmp_path, {served.address: served.tls}) as (address,),
        opened(served, address) as channel,
    ):
        await case(channel, served.tap)


def opened(way: Way, address: str) -> Channel:
    """Opens a channel of ours to a server, or to what is before it."""
    if way.tls is None:
        return insecure_channel(address)
    credentials = way.tls.channel()
    overhear(credentials, way.tap)
    return secure_channel(address, credentials)


def asked(**request: Any) -> bytes:
    """Returns a request in JSON."""
    return orjson.dumps(request)


def buf(way: Way) -> tuple[tuple[str, ...], str]:
    """Returns the command, and where our service is."""
    folder = way.folder("client")
    if folder is None:
        return (*BUF, "--http2-prior-knowledge"), f"http://{way.address}/{SERVICE}"
    named = (("--cacert", "ca"), ("--cert", "certificate"), ("--key", "key"))
    pems = [word for option, name in named for word in (option, str(folder / f"{name}.pem"))]
    return (*BUF, *pems), f"https://{way.address}/{SERVICE}"


async def test_buf_curl(way: Way) -> None:
    """`buf curl` learns the contract of our server by reflection, and makes calls of all four types."""
    command, base = buf(way)
    empty = await run(*command, f"{base}/EmptyCall", stdin=b"{}")
    unary = await run(*command, f"{base}/UnaryCall", stdin=asked(responseSize=3))
    parts = asked(responseParameters=[{"size": 1}, {"size": 2}])
    down = await run(*command, f"{base}/StreamingOutputCall", stdin=parts)
    up = await run(
        *command, f"{base}/StreamingInputCall", stdin=asked(payload={"body": "AAAA"}) * 2
    )
    both = await run(*command, f"{base}/FullDuplexCall", stdin=parts * 2)

    assert [status for status, _ in (empty, unary, down, up, both)] == [0] * 5
    assert orjson.loads(empty[1]) == {}
    assert orjson.loads(unary[1]) == {"payload": {"body": "AAAA"}}
    assert re.findall('"body": *"(.*?)"', down[1]) == ["AA==", "AAA="]
    assert orjson.loads(up[1]) == {"aggregatedPayloadSize": 6}
    assert re.findall('"body": *"(.*?)"', both[1]) == ["AA==", "AAA="] * 2


async def test_buf_curl_is_refused(way: Way) -> None:
    """What our server says at the end comes to it, and so does a method that is not there."""
    command, base = buf(way)
    status = asked(responseStatus={"code": 9, "message": "ends, 100% ☺"})
    refused = await run(*command, f"{base}/UnaryCall", stdin=status)
    missing = await run(*command, f"{base}/UnimplementedCall", stdin=b"{}")

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


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
async def test_h2load(tmp_path: Path, load: Load, scheme: str, parties: Tls) -> None:
    """Thousands of requests of nghttp2's load generator are answered, and not one less."""
    if shutil.which("h2load") is None:
        pytest.skip("no h2load here: it is in Debian's package nghttp2-client")
    asked_for = SimpleRequest(response_size=load.response, payload=zeros(load.request))
    message = asked_for.SerializeToString()
    body = tmp_path / "body"
    body.write_bytes(b"\x00" + len(message).to_bytes(4, "big") + message)
    headers = ("-H", "content-type: application/grpc", "-H", "te: trailers")
    without_certificate = Tls(parties.folder, mutual=False)
    async with (
        secured(without_certificate)
        if scheme == "https"
        else reached(tmp_path, "straight", parties) as way
    ):
        status, said = await run(
            *("h2load", "-n", str(load.requests), *load.options.split(), *headers),
            *("-d", str(body)),
            f"{scheme}://{way.address}/{SERVICE}/UnaryCall",
        )

    assert status == 0, said
    assert f"{load.requests} succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert f"status codes: {load.requests} 2xx, 0 3xx, 0 4xx, 0 5xx" in said
    size = SimpleResponse(payload=zeros(load.response)).ByteSize()
    assert [call.responses for call in way.tap.calls] == [[Passed(size)]] * load.requests
