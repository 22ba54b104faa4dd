"""Clients that nobody here wrote, against the core and through Envoy: `make interop` installs and runs them.

Each makes the calls of `calls.mjs`: every RPC type it can, and an error with its details.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import google.api
import orjson
import pytest

from tests.parity.edges import envoy, why_no_envoy
from tests.whole import processes
from tests.whole.processes import DESCRIPTOR_SET

pytestmark = pytest.mark.interop

INSTALLED = Path(os.environ.get("INTEROP", "/nowhere"))
"""Where `make interop` has put the clients."""
PROTOS = DESCRIPTOR_SET.parent
GOOGLE = Path(next(iter(google.api.__path__))).parents[1]
EVERY_KIND = ["unary", "status with details", "server stream", "client stream", "bidi"]
AS_A_BROWSER = EVERY_KIND[:3]
DOLLARS = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":%d}'


@asynccontextmanager
async def serving(folder: Path, through: str) -> AsyncIterator[str]:
    """Runs a core, and Envoy before it where that is asked for; gives the address."""
    async with processes.core(tick_period="0.1") as core:
        if through == "core":
            yield core.address
            return
        if reason := why_no_envoy():
            pytest.skip(reason)
        async with envoy(folder / "envoy", DESCRIPTOR_SET, core.address) as port:
            yield f"127.0.0.1:{port}"


def environment(tls: Path | None) -> dict[str, str]:
    """Returns the environment of a peer; with TLS, the folder of its PEMs, and whom Node trusts beside."""
    trust = {} if tls is None else {"TLS": str(tls), "NODE_EXTRA_CA_CERTS": str(tls / "ca.pem")}
    return os.environ | trust


async def run(*command: str, stdin: bytes = b"", tls: Path | None = None) -> tuple[int, str]:
    """Runs a client, which may be told of a folder of PEMs; returns its exit status and what it says."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=INSTALLED,
        env=environment(tls),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(stdin), 60)
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("through", ["core", "envoy"])
async def test_grpc_js(tmp_path: Path, through: str) -> None:
    """@grpc/grpc-js, from the .proto files, makes every kind of call."""
    async with serving(tmp_path, through) as address:
        status, said = await run("node", "grpc_js.mjs", address, str(PROTOS), str(GOOGLE))

    assert (status, said.split("\n")[:-1]) == (0, EVERY_KIND)


@pytest.mark.parametrize("through", ["core", "envoy"])
async def test_connect_over_grpc(tmp_path: Path, through: str) -> None:
    """Connect's client, from the descriptor set, makes every kind of call over gRPC."""
    async with serving(tmp_path, through) as address:
        status, said = await run(
            "node", "connect.mjs", "grpc", f"http://{address}", str(DESCRIPTOR_SET)
        )

    assert (status, said.split("\n")[:-1]) == (0, EVERY_KIND)


async def test_connect_over_grpc_web(tmp_path: Path) -> None:
    """Over gRPC-Web, which Envoy translates, it makes those that a browser can."""
    async with serving(tmp_path, "envoy") as address:
        status, said = await run(
            "node", "connect.mjs", "web", f"http://{address}", str(DESCRIPTOR_SET)
        )

    assert (status, said.split("\n")[:-1]) == (0, AS_A_BROWSER)


async def test_buf_curl(tmp_path: Path) -> None:
    """`buf curl` learns the contract by reflection; unary, bidi, and an error with its details."""
    command = ("bin/buf", "curl", "--http2-prior-knowledge", "--protocol", "grpc", "-d", "@-")
    async with serving(tmp_path, "core") as address:
        base = f"http://{address}/finance.CurrencyConverter"
        one = await run(*command, f"{base}/Convert", stdin=DOLLARS % 100)
        two = await run(*command, f"{base}/LiveConvert", stdin=DOLLARS % 1 + DOLLARS % 2)
        wrong = await run(*command, f"{base}/Convert", stdin=DOLLARS % 0)

    assert (one[0], orjson.loads(one[1])["convertedAmount"] > 0) == (0, True)
    assert (two[0], two[1].count("convertedAmount")) == (0, 2)
    refused = orjson.loads(wrong[1])
    assert (refused["code"], refused["details"][0]["type"]) == (
        "out_of_range",
        "google.rpc.BadRequest",
    )
