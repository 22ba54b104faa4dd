"""TLS all the way: between caller and edge, and between edge and core, with certificates on both sides."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from gateway.cli import main as protoway
from grpc_core import health
from grpc_core.cli import main as core_main
from tests.whole import processes
from tests.whole.certificates import made, wrong_files
from tests.whole.conftest import ROOT
from tests.whole.event_stream import EventSource

REQUEST = '{"fromCurrency":"USD","toCurrency":"EUR","amount":1}'


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA's folder."""
    return made(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another CA's."""
    return made(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
async def core(parties: Path) -> AsyncIterator[processes.Running]:
    """A core that asks clients for certificates."""
    folder = parties / "core"
    async with processes.core(
        tick_period="0.05",
        tls_certificate=str(folder / "certificate.pem"),
        tls_key=str(folder / "key.pem"),
        tls_client_ca=str(folder / "ca.pem"),
    ) as running:
        yield running


def towards_core(ca: Path, party: Path) -> dict[str, Any]:
    """Returns an edge's settings for its upstream."""
    return {
        "upstream_ca": str(ca / "ca.pem"),
        "upstream_certificate": str(party / "certificate.pem"),
        "upstream_key": str(party / "key.pem"),
    }


@asynccontextmanager
async def client_of(parties: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts a CA."""
    trust = ssl.create_default_context(cafile=parties / "client/ca.pem")
    async with httpx.AsyncClient(verify=trust, timeout=20) as client:
        yield client


async def test_every_wire(parties: Path, core: processes.Running) -> None:
    """JSON, events and WebSockets pass over HTTPS and WSS, over an upstream that knows the edge."""
    own = parties / "gateway"
    serving: dict[str, Any] = {
        "tls_certificate": str(own / "certificate.pem"),
        "tls_key": str(own / "key.pem"),
    }
    trust = ssl.create_default_context(cafile=parties / "client/ca.pem")
    async with (
        processes.edge(core.address, **towards_core(own, own), **serving) as edge,
        client_of(parties) as client,
        connect(f"wss://localhost:{edge.port}/convert:live", ssl=trust) as socket,
    ):
        url = f"https://localhost:{edge.port}"
        assert (await client.get(f"{url}/hello/World")).json() == {"message": "Hello, World!"}
        events = EventSource(client, f"{url}/rates/USD?target_currencies=EUR").events()
        assert [(await anext(events)).kind for _ in range(3)] == ["message"] * 3
        await events.aclose()
        await socket.send(REQUEST)
        assert "convertedAmount" in str(await socket.recv())
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://localhost:{edge.port}/hello/World")
        where = {
            "PROTOWAY_PORT": str(edge.port),
            "PROTOWAY_TLS_CERTIFICATE": serving["tls_certificate"],
        }
        for arguments in ([f"{url}/healthz", "--ca", str(own / "ca.pem")], []):
            done = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway.health", *arguments),
                cwd=ROOT,
                env=os.environ | where,
            )
            assert await done.wait() == 0


@pytest.mark.parametrize(
    ("name", "status"), [("core", 200), ("localhost", 200), ("elsewhere", 503)]
)
async def test_a_name_of_its_own(
    parties: Path, core: processes.Running, name: str, status: int
) -> None:
    """The upstream's certificate must have the name that the settings say, and not that of the address."""
    own = parties / "gateway"
    settings = towards_core(own, own) | {"upstream_name": name}
    async with processes.edge(core.address, **settings) as edge, httpx.AsyncClient() as client:
        answer = await client.get(f"{edge.http}/hello/World")

    assert answer.status_code == status


@pytest.mark.parametrize("who", ["nobody", "a stranger", "in clear", "trusts a stranger"])
async def test_an_upstream_that_does_not_agree(
    parties: Path, strangers: Path, core: processes.Running, who: str
) -> None:
    """An edge that the core does not know, or that does not know the core, answers 503, soon."""
    own, other = parties / "gateway", strangers / "gateway"
    settings: dict[str, Any] = {
        "nobody": {"upstream_ca": str(own / "ca.pem")},
        "a stranger": towards_core(own, other),
        "in clear": {},
        "trusts a stranger": towards_core(other, own),
    }[who]
    async with (
        processes.edge(core.address, **settings) as edge,
        httpx.AsyncClient(timeout=10) as client,
    ):
        answer = await client.get(f"{edge.http}/hello/World")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == 14
    assert answer.json()["message"].startswith("upstream cannot be reached: ")


async def test_a_client_is_nobodys_server(parties: Path, core: processes.Running) -> None:
    """Who holds the certificate for callers cannot pass for an edge with it."""
    folder = parties / "client"
    async with (
        processes.edge(
            core.address,
            tls_certificate=str(folder / "certificate.pem"),
            tls_key=str(folder / "key.pem"),
        ) as edge,
        client_of(parties) as client,
    ):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"https://{edge.address}/healthz")


def test_the_core_is_asked_with_a_certificate(
    parties: Path, strangers: Path, core: processes.Running
) -> None:
    """A client of the core's CA is answered; one without a certificate, or with another's, is not."""

    def ask(folder: Path, *parts: str) -> int:
        files = [word for part in parts for word in (f"--{part}", str(folder / f"{part}.pem"))]
        return health.main([core.address, "--ca", str(parties / "client/ca.pem"), *files])

    assert ask(parties / "client", "certificate", "key") == 0
    assert ask(parties / "client") == 1
    assert ask(strangers / "client", "certificate", "key") == 1


WRONG = [
    ({"certificate": "absent", "key": "key"}, "cannot read {absent}: No such file or directory"),
    ({"certificate": "certificate", "key": "absent"}, "cannot read {absent}: No such file"),
    ({"certificate": "junk", "key": "key"}, "{junk}: no certificate in PEM"),
    ({"certificate": "certificate", "key": "junk"}, "{junk}: no private key in PEM"),
    ({"certificate": "certificate", "key": "locked"}, "{locked}: no private key in PEM, without a"),
    ({"certificate": "certificate", "key": "foreign"}, "{foreign} is not the key of {certificate}"),
    ({"certificate": "certificate"}, "go together"),
    ({"key": "key"}, "go together"),
]
WRONG_CA = [("junk", "{junk}: no certificate in PEM"), ("absent", "cannot read {absent}: No such")]


@pytest.mark.parametrize("prefix", ["tls", "upstream"])
@pytest.mark.parametrize(("given", "says"), WRONG)
def test_an_edge_with_wrong_files_does_not_start(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    prefix: str,
    given: dict[str, str],
    says: str,
) -> None:
    """What is wrong with a file is one line that names it; the exit status is 1."""
    files = wrong_files(tmp_path)
    options = [
        word for part, file in given.items() for word in (f"--{prefix}-{part}", str(files[file]))
    ]
    contract = str(processes.DESCRIPTOR_SET)

    assert protoway(["serve", "--port", "0", "--descriptor-set", contract, *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("protoway: ")
    assert says.format(**files) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("file", "says"), WRONG_CA)
def test_an_edge_with_a_wrong_ca_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, says: str
) -> None:
    """So it is for the CA."""
    files = wrong_files(tmp_path)
    contract = str(processes.DESCRIPTOR_SET)

    assert protoway(["serve", "--descriptor-set", contract, "--upstream-ca", str(files[file])]) == 1
    assert says.format(**files) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        *WRONG,
        *(({"certificate": "certificate", "key": "key", "client_ca": f}, s) for f, s in WRONG_CA),
        ({"client_ca": "ca"}, "tls_client_ca needs both"),
    ],
)
def test_a_core_with_wrong_files_does_not_start(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    says: str,
) -> None:
    """So it is for the core."""
    files = wrong_files(tmp_path)
    for part, file in given.items():
        monkeypatch.setenv(f"CORE_TLS_{part.upper()}", str(files[file]))

    assert core_main(["--port", "0"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("core: ")
    assert says.format(**files) in error
    assert error.count("\n") == 1
