"""The command that asks a server whether it serves."""

import asyncio
import socket

import pytest

from grpc_core import health
from grpc_core._generated import hello_pb2
from tests.grpc_core.loopback import Loopback

GREETER = hello_pb2.DESCRIPTOR.services_by_name["Greeter"].full_name


@pytest.mark.parametrize("service", ["", GREETER])
async def test_a_server_that_serves(core: Loopback, service: str) -> None:
    """The exit status is 0, for the server as for each of its services."""
    arguments = [core.server.address, "--service", service]

    assert await asyncio.to_thread(health.main, arguments) == 0


async def test_no_proxy_is_asked(core: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server itself is asked, whatever proxy docker has put into the environment."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    assert await asyncio.to_thread(health.main, [core.server.address]) == 0


async def test_a_service_that_there_is_not(
    core: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service that the server does not know does not serve."""
    status = await asyncio.to_thread(health.main, [core.server.address, "--service", "x.Y"])

    assert status == 1
    assert capsys.readouterr().err.startswith("health: NOT_FOUND")


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is not there is one line and exit status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert health.main([f"127.0.0.1:{port}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("health: UNAVAILABLE")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "127.0.0.1:50051"),
        ({"CORE_PORT": "50061"}, "127.0.0.1:50061"),
        ({"CORE_HOST": "0.0.0.0", "CORE_PORT": ""}, "127.0.0.1:50051"),
        ({"CORE_HOST": "::"}, "[::1]:50051"),
        ({"CORE_HOST": "[::]"}, "[::1]:50051"),
        ({"CORE_HOST": "10.0.0.7"}, "10.0.0.7:50051"),
    ],
)
def test_it_asks_where_the_core_listens(environment: dict[str, str], address: str) -> None:
    """Host and port are those of the environment."""
    assert health.address_of(environment) == address


def test_tls_needs_a_ca(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A core with a certificate cannot be asked without TLS; the line says what to give."""
    monkeypatch.setenv("CORE_TLS_CERTIFICATE", "/tls/certificate.pem")

    assert health.main([]) == 1
    assert capsys.readouterr().err.endswith("serves TLS (CORE_TLS_CERTIFICATE): give --ca FILE\n")
