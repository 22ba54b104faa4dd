"""Client certificates at the edge's own TLS, on real processes; each attack has its test."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.whole import processes
from tests.whole.certificates import Issuer
from tests.whole.conftest import ROOT

Pair = tuple[str, str] | None
BILLING = "spiffe://example.org/billing"
EVENTS = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """The CA of the edge's clients, and of the edge."""
    return Issuer(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Another CA."""
    return Issuer(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
async def core() -> AsyncIterator[processes.Running]:
    """A core without TLS."""
    async with processes.core(tick_period="0.05") as running:
        yield running


@asynccontextmanager
async def edge(
    core: processes.Running, issuer: Issuer, **settings: Any
) -> AsyncIterator[processes.Running]:
    """Runs an edge that asks for client certificates."""
    certificate, key = issuer.issue("edge", dns_names=["localhost"])
    tls = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": str(issuer.ca)}
    async with processes.edge(core.address, **tls | settings) as running:
        yield running


@pytest.fixture(scope="module")
async def spiffe(core: processes.Running, issuer: Issuer) -> AsyncIterator[processes.Running]:
    """An edge of two workers that asks for SPIFFE IDs, but lets others connect."""
    async with edge(
        core,
        issuer,
        workers="2",
        tls_client_certificates="optional",
        client_certificates_identity="spiffe",
        client_certificates_allowed=f"{BILLING},spiffe://example.org/shop/*",
        tickets_enabled="true",
    ) as running:
        yield running


def context(issuer: Issuer, pair: Pair) -> ssl.SSLContext:
    """Returns the TLS of a client with a certificate, or without one."""
    made = ssl.create_default_context(cafile=str(issuer.ca))
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if pair is not None:
        made.load_cert_chain(*pair)
    return made


@asynccontextmanager
async def client(
    running: processes.Running, issuer: Issuer, pair: Pair = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a certificate, or without one."""
    base = f"https://localhost:{running.port}"
    async with httpx.AsyncClient(verify=context(issuer, pair), base_url=base, timeout=20) as made:
        yield made


async def get(
    running: processes.Running, issuer: Issuer, pair: Pair, path: str = "/hello/x"
) -> Any:
    """Returns the response to one request; the error if no connection was opened."""
    async with client(running, issuer, pair) as asking:
        try:
            return await asking.get(path)
        except httpx.TransportError as error:
            return error


async def test_where_certificates_are_required_nobody_connects_without(
    core: processes.Running, issuer: Issuer, stranger: Issuer
) -> None:
    """Without one, with one of another CA, with one that has expired, or is not yet valid."""
    async with edge(core, issuer) as running:
        good = await get(running, issuer, issuer.issue("good"))
        refused = [
            await get(running, issuer, pair)
            for pair in (
                None,
                stranger.issue("good"),
                issuer.issue("old", starts=-7200, ends=-60),
                issuer.issue("early", starts=3600, ends=7200),
            )
        ]
        again = await get(running, issuer, issuer.issue("good"))

    assert (good.status_code, again.status_code) == (200, 200)
    assert all(isinstance(each, httpx.TransportError) for each in refused), refused


async def test_where_they_are_optional_wrong_ones_are_refused(
    spiffe: processes.Running, issuer: Issuer, stranger: Issuer
) -> None:
    """None at all is no identity, and a wrong one is no connection."""
    without = await get(spiffe, issuer, None)
    health = await get(spiffe, issuer, None, "/healthz")
    foreign = await get(spiffe, issuer, stranger.issue("billing", uris=[BILLING]))
    old = await get(spiffe, issuer, issuer.issue("old", uris=[BILLING], starts=-99, ends=-9))

    assert (without.status_code, health.status_code) == (401, 200)
    assert isinstance(foreign, httpx.TransportError)
    assert isinstance(old, httpx.TransportError)


@pytest.mark.parametrize(
    ("names", "status", "message"),
    [
        ({"uris": [BILLING]}, 200, ""),
        ({"uris": ["spiffe://example.org/shop/web/1"], "dns_names": ["web"]}, 200, ""),
        ({"uris": ["spiffe://example.org/shop"]}, 403, "not allowed"),
        ({"uris": ["spiffe://example.org/admin"]}, 403, "spiffe://example.org/admin"),
        ({"uris": ["spiffe://example.org.evil.example/shop/web"]}, 403, "not allowed"),
        ({"uris": [BILLING, "spiffe://example.org/admin"]}, 401, "no SPIFFE ID"),
        ({"uris": ["https://example.org/billing"]}, 401, "no SPIFFE ID"),
        ({"uris": ["spiffe://example.org/shop/../billing"]}, 401, "no SPIFFE ID"),
        ({"dns_names": [BILLING]}, 401, "no SPIFFE ID"),
        ({}, 401, "no SPIFFE ID"),
    ],
)
async def test_a_name_of_the_own_ca_must_be_on_the_list(
    spiffe: processes.Running, issuer: Issuer, names: Any, status: int, message: str
) -> None:
    """On each way to an answer: directly, by ASGI, as events, and in a handshake."""
    pair = issuer.issue("caller", **names)
    answers = [await get(spiffe, issuer, pair, path) for path in ("/hello/x", "/openapi.json")]
    async with client(spiffe, issuer, pair) as asking:
        url = "/rates/USD?target_currencies=EUR"
        async with asking.stream("GET", url, headers=EVENTS) as events:
            answers.append(events)
    assert [each.status_code for each in answers] == [status] * 3
    if status != 200:
        assert message in answers[0].json()["message"]
    url = f"wss://localhost:{spiffe.port}/convert:live"
    if status == 200:
        async with connect(url, ssl=context(issuer, pair)) as socket:
            await socket.send("")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
    else:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, ssl=context(issuer, pair))
        assert refused.value.response.status_code == status


async def test_dns_names_are_identities(core: processes.Running, issuer: Issuer) -> None:
    """One that is allowed suffices."""
    names = ["first.example", "second.example"]
    good, bad = issuer.issue("good", dns_names=names), issuer.issue("bad", dns_names=names[:1])
    settings = {"identity": "dns", "allowed": "second.example,third.example"}
    given = {f"client_certificates_{name}": value for name, value in settings.items()}
    async with edge(core, issuer, **given) as running:
        assert (await get(running, issuer, good)).status_code == 200
        refused = await get(running, issuer, bad)
    assert (refused.status_code, "first.example" in refused.text) == (403, True)


async def test_a_stream_ends_with_its_certificate(
    spiffe: processes.Running, issuer: Issuer
) -> None:
    """And a connection that is still open answers 401 from then on."""
    ends = int(time.time()) + 3
    pair = issuer.issue("short", uris=[BILLING], ends=ends - time.time())
    async with client(spiffe, issuer, pair) as asking:
        assert (await asking.get("/hello/x")).status_code == 200
        socket = await connect(
            f"wss://localhost:{spiffe.port}/convert:live", ssl=context(issuer, pair)
        )
        stream = await asking.get("/rates/USD?target_currencies=EUR", headers=EVENTS)
        after = await asking.get("/hello/x")
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 10)

    assert "the client certificate has expired" in after.json()["message"]
    assert after.status_code == 401
    assert "the credentials have expired" in stream.text
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4016


async def test_a_certificate_gets_a_ticket_for_a_client_without(
    spiffe: processes.Running, issuer: Issuer
) -> None:
    """In whichever worker each of them is; the ticket works once."""
    pair = issuer.issue("web", uris=["spiffe://example.org/shop/web"])
    demand = {"method": "finance.CurrencyConverter/WatchRates"}
    for _ in range(10):
        async with client(spiffe, issuer, pair) as holder, client(spiffe, issuer) as user:
            given = await holder.post("/.protoway/ticket", content=json.dumps(demand))
            ticket = given.json()["ticket"]
            url = f"/rates/USD?target_currencies=EUR&ticket={ticket}"
            async with user.stream("GET", url, headers=EVENTS) as events:
                assert events.status_code == 200
            assert (await user.get(url, headers=EVENTS)).status_code == 401


async def test_a_resumed_session_has_the_certificate(
    spiffe: processes.Running, issuer: Issuer
) -> None:
    """TLS sends none when it resumes a session; the caller is the same, and no one else."""
    tls = context(issuer, issuer.issue("billing", uris=[BILLING]))
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # in which a session is known after the handshake
    request = b"GET /hello/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    def ask(session: ssl.SSLSession | None) -> tuple[bytes, bool | None, ssl.SSLSession | None]:
        with (
            socket.create_connection(("127.0.0.1", spiffe.port)) as plain,
            tls.wrap_socket(plain, server_hostname="localhost", session=session) as secured,
        ):
            secured.sendall(request)
            line = secured.recv(4096).partition(b"\r\n")[0]
            return line, secured.session_reused, secured.session

    line, _, session = await asyncio.to_thread(ask, None)
    again = [await asyncio.to_thread(ask, session) for _ in range(4)]
    assert {line, *(each[0] for each in again)} == {b"HTTP/1.1 200 OK"}
    assert any(each[1] for each in again)


async def test_the_health_check_shows_a_certificate(
    core: processes.Running, issuer: Issuer
) -> None:
    """Its own, where it asks the edge of its environment; or one that is named."""
    async with edge(core, issuer) as running:
        pair = issuer.issue("probe")
        certificate, key = issuer.issue("edge", dns_names=["localhost"])
        where = {
            "PROTOWAY_PORT": str(running.port),
            "PROTOWAY_TLS_CERTIFICATE": certificate,
            "PROTOWAY_TLS_KEY": key,
        }
        named = ("--certificate", pair[0], "--key", pair[1])
        cases: list[tuple[tuple[str, ...], dict[str, str], int]] = [
            ((), where | {"PROTOWAY_TLS_CLIENT_CA": str(issuer.ca)}, 0),
            ((), where, 1),
            (named, where, 0),
        ]
        for arguments, environment, status in cases:
            done = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway.health", *arguments),
                cwd=ROOT,
                env=os.environ | environment,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert await done.wait() == status, arguments
