"""The profile tls: the same answers over TLS, and a core that asks who calls."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from grpc_core import health
from tests.e2e.compose import Stack
from tests.whole.event_stream import EventSource

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def trust(client_files: Path) -> ssl.SSLContext:
    """The CA that the stack has made, and no other."""
    return ssl.create_default_context(cafile=client_files / "ca.pem")


@pytest.mark.parametrize("port", ["GATEWAY_TLS_PORT", "ENVOY_TLS_PORT"])
async def test_both_edges_answer(tls_stack: Stack, trust: ssl.SSLContext, port: str) -> None:
    """An answer comes over TLS, from a certificate of the CA; others do not trust it."""
    url = f"https://localhost:{tls_stack.ports[port]}/hello/World"
    async with httpx.AsyncClient(verify=trust, timeout=10) as client:
        assert (await client.get(url)).json() == {"message": "Hello, World!"}
    async with httpx.AsyncClient(timeout=10) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(url)


async def test_streams(tls_stack: Stack, trust: ssl.SSLContext) -> None:
    """Events and WebSockets pass over TLS."""
    address = f"localhost:{tls_stack.ports['GATEWAY_TLS_PORT']}"
    async with (
        httpx.AsyncClient(verify=trust, timeout=10) as client,
        connect(f"wss://{address}/convert:live", ssl=trust) as socket,
    ):
        events = EventSource(client, f"https://{address}/rates/USD").events()
        assert [(await anext(events)).kind for _ in range(3)] == ["message"] * 3
        await events.aclose()
        await socket.send('{"fromCurrency":"USD","toCurrency":"EUR","amount":1}')
        assert "convertedAmount" in str(await asyncio.wait_for(socket.recv(), 10))


def test_the_core_asks_who_calls(tls_stack: Stack, client_files: Path) -> None:
    """A client with a certificate of the CA is answered; without one, or in clear, it is refused."""
    address = f"localhost:{tls_stack.ports['CORE_TLS_PORT']}"
    trusting = [address, "--ca", str(client_files / "ca.pem")]
    own = ["--certificate", str(client_files / "certificate.pem")]
    own += ["--key", str(client_files / "key.pem")]

    assert health.main([*trusting, *own]) == 0
    assert health.main(trusting) == 1
    assert health.main([address]) == 1


def test_certificates_stay_while_they_are_good(tls_stack: Stack, client_files: Path) -> None:
    """A second start makes none anew, for programs that run still have the old ones."""
    assert "certificates are good" in tls_stack.compose("run", "--rm", "certificates")
