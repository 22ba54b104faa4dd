"""TLS that does not come about, or not in time: callers are told why, and servers do not wait for ever."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import pytest
from grpc import StatusCode, aio

from grpc_wire.client import secure_channel
from grpc_wire.credentials import ssl_channel_credentials, ssl_server_credentials
from tests.wire.faults.leavings import objects
from tests.wire.faults.scene import QUICK, Client, calling, pair, serving
from tests.wire.server.certificates import Authority
from tests.wire.server.stage import RawClient, until
from tests.wire.tls import Tls

pytestmark = pytest.mark.asyncio(loop_scope="module")

Answer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NO_CERTIFICATE = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
IN_HANDSHAKE = "the peer closed the connection within the TLS handshake"
BEFORE_SETTINGS = "the peer closed the connection before it said that it speaks HTTP/2"


async def refused(address: str, credentials: ssl.SSLContext, *options: tuple[str, Any]) -> str:
    """Makes a call that must be UNAVAILABLE; returns what it says."""
    limit = ("grpc.min_reconnect_backoff_ms", 1000)
    async with secure_channel(address, credentials, (*QUICK, limit, *options)) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await asyncio.wait_for(Client(channel).echo(), 5)
    assert caught.value.code() is StatusCode.UNAVAILABLE
    return str(caught.value.details())


@asynccontextmanager
async def answering(
    answer: Answer, credentials: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Runs a server that is none of gRPC."""
    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=credentials)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        await listening.wait_closed()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Breaks off when something has come."""
    await reader.read(10)
    writer.transport.abort()


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes when all that is said at first has come."""
    await reader.read(10_000)
    writer.close()


async def plain_text(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers as a server without TLS does."""
    await reader.read(10_000)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("answer", "secured", "why"),
    [
        (reset, False, IN_HANDSHAKE),
        (close, False, IN_HANDSHAKE),
        (plain_text, False, "WRONG_VERSION_NUMBER"),
        (reset, True, BEFORE_SETTINGS),
        (close, True, BEFORE_SETTINGS),
    ],
)
async def test_servers_that_break_off(
    parties: Tls, answer: Answer, secured: bool, why: str
) -> None:
    """Whether that was within the handshake or behind it is said."""
    async with answering(answer, parties.server() if secured else None) as address:
        assert why in await refused(address, parties.channel())


@pytest.mark.parametrize("protocols", [["http/1.1"], []])
async def test_a_server_of_something_else(parties: Tls, protocols: list[str]) -> None:
    """Who does not agree to HTTP/2 by ALPN is not spoken to (RFC 9113, 3.2)."""
    credentials = parties.server()
    credentials.set_alpn_protocols(protocols)
    async with answering(close, credentials) as address:
        assert "(ALPN)" in await refused(address, parties.channel())


async def test_names_and_strangers(parties: Tls) -> None:
    """A certificate for another name, and one of a CA that is not known."""
    async with serving(tls=parties) as (_, address):
        another = ("grpc.ssl_target_name_override", "example.org")
        assert "not valid for 'example.org'" in await refused(address, parties.channel(), another)
        stranger = ssl_channel_credentials(Authority().pem)
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(address, stranger)


async def test_a_certificate_that_has_expired() -> None:
    """It says so."""
    authority = Authority()
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    own = authority.issue("localhost", yesterday)
    credentials = ssl_server_credentials([(own.key, own.certificate)])
    async with answering(close, credentials) as address:
        why = await refused(
            address.replace("127.0.0.1", "localhost"), ssl_channel_credentials(authority.pem)
        )
    assert "certificate has expired" in why


async def test_a_certificate_that_is_missing(parties: Tls) -> None:
    """What a server says of it is told; one on asyncio, such as ours, closes without a word."""
    client = Tls(parties.folder, mutual=False).channel()
    async with serving(tls=parties) as (_, address):
        assert BEFORE_SETTINGS in await refused(address, client)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        handshake = asyncio.create_task(
            asyncio.to_thread(_shake_hands, listening, parties.server())
        )
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        assert NO_CERTIFICATE in await refused(address, client)
        await handshake


def _shake_hands(listening: socket.socket, credentials: ssl.SSLContext) -> None:
    """As servers do that are not asyncio's: a failure is told to the client."""
    connected, _ = listening.accept()
    with connected, suppress(ssl.SSLError):
        credentials.wrap_socket(connected, server_side=True)


async def test_clients_that_never_finish(parties: Tls) -> None:
    """They are cut when the time for that is over, and others are answered meanwhile."""
    options = [("grpc.server_handshake_timeout_ms", 200)]
    async with pair(tls=parties, options=options) as (server, client):
        port = server._listeners[0].port
        made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        for number, (_, writer) in enumerate(made):
            writer.write(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
        assert await client.echo() == b"hi"
        async with asyncio.timeout(5):
            for reader, writer in made:
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
                writer.close()
        assert await client.echo() == b"hi"
        assert len(server._transports) == 1


async def test_a_server_that_stops_before_a_handshake_ends(parties: Tls) -> None:
    """It waits for no such client, and answers none."""
    async with serving(tls=parties) as (running, address):
        host, port = address.split(":")
        loop = asyncio.get_running_loop()
        raw = socket.create_connection((host, int(port)))
        await until(lambda: objects()["Transport"] > 0)
        async with asyncio.timeout(1):
            await running.stop(None)
        raw.setblocking(False)
        _, late = await loop.create_connection(
            RawClient, sock=raw, ssl=parties.channel(), server_hostname=host
        )
        stream = late.begin()
        await until(lambda: bool(late.going))
        assert late.answer(stream).head == {}
        late.close()
        await until(lambda: not running._transports)


async def test_a_client_without_tls(parties: Tls) -> None:
    """A channel without TLS to a server with it is told where it was cut."""
    async with serving(tls=parties) as (_, address), calling(address) as client:
        with pytest.raises(aio.AioRpcError, match=BEFORE_SETTINGS) as caught:
            await client.echo()
        assert caught.value.code() is StatusCode.UNAVAILABLE
