"""Certificates that are renewed while core and edge run, on the listeners of both and towards the core."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.make_tls import FILES, Authority
from tests.whole import processes

WITHIN = 20.0
GET = b"GET /hello/World HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def _opened(
    port: int, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()


class Party:
    """The files of a party."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.ca, self.certificate, self.key = (folder / name for name in FILES)

    def take(self, files: dict[str, bytes]) -> None:
        """Replaces the files one after the other, each in one step."""
        for path in (self.ca, self.certificate, self.key):
            new = path.with_suffix(".new")
            new.write_bytes(files[path.name])
            os.replace(new, path)

    def fingerprint(self) -> str:
        """Returns which certificate it is."""
        data = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        return hashlib.sha256(data).hexdigest()


async def _shown(port: int, context: ssl.SSLContext) -> str:
    """Returns which certificate a new connection is shown."""
    _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    data = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return hashlib.sha256(data).hexdigest()


async def until_shown(port: int, context: ssl.SSLContext, wanted: str) -> None:
    """Waits until a new connection is shown a certificate."""
    async with asyncio.timeout(WITHIN):
        while await _shown(port, context) != wanted:
            await asyncio.sleep(0.1)


def context_of(*authorities: Authority) -> ssl.SSLContext:
    """Returns a client's context that trusts authorities."""
    pem = "".join(a.issue("client")["ca.pem"].decode() for a in authorities)
    return ssl.create_default_context(cadata=pem)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_edge_shows_the_new_certificate(tmp_path: Path, workers: str) -> None:
    """To new connections, in every worker; an open one goes on; a wrong pair changes nothing."""
    authority = Authority.new()
    party = Party(tmp_path / "edge")
    party.take(authority.issue("gateway"))
    context = context_of(authority)
    first = party.fingerprint()
    async with (
        processes.core() as core,
        processes.edge(
            core.address,
            tls_certificate=str(party.certificate),
            tls_key=str(party.key),
            tls_check_seconds="0.2",
            workers=workers,
        ) as edge,
        _opened(edge.port, context) as (reader, writer),
    ):
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n")).endswith(b"200 OK\r\n")
        key = party.key.read_bytes()
        party.key.write_bytes(authority.issue("gateway")["key.pem"])
        await asyncio.sleep(1)
        assert await _shown(edge.port, context) == first

        party.key.write_bytes(key)
        party.take(authority.issue("gateway"))
        for _ in range(4):  # and so most likely each worker
            await until_shown(edge.port, context, party.fingerprint())
        writer.write(GET)
        assert b"200 OK\r\n" in await reader.readuntil(b"200 OK\r\n")


@pytest.mark.long
@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_core_and_edge_change_their_authority(tmp_path: Path, transport: str) -> None:
    """Trust in both CAs, then new certificates, then trust in the new one alone: calls go on throughout."""
    old, new = Authority.new("old"), Authority.new("new")
    core_files, edge_files = Party(tmp_path / "core"), Party(tmp_path / "edge")
    core_files.take(old.issue("core"))
    edge_files.take(old.issue("gateway"))
    both = old.issue("client")["ca.pem"] + new.issue("client")["ca.pem"]
    settings: dict[str, Any] = {
        "upstream_ca": str(edge_files.ca),
        "upstream_certificate": str(edge_files.certificate),
        "upstream_key": str(edge_files.key),
    }
    async with (
        processes.core(
            transport=transport,
            tls_check="0.2",
            tls_certificate=str(core_files.certificate),
            tls_key=str(core_files.key),
            tls_client_ca=str(core_files.ca),
        ) as core,
        processes.edge(
            f"localhost:{core.port}",
            tls_check_seconds="0.2",
            upstream_idle_seconds="0.5",
            **settings,
        ) as edge,
        _opened(edge.port) as (reader, writer),
    ):

        async def call() -> None:
            writer.write(GET)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200 "), head
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))

        await call()
        context = context_of(old, new)
        context.load_cert_chain(edge_files.certificate, edge_files.key)
        for issued, trusted in ((old, both), (new, both), (new, new.issue("client")["ca.pem"])):
            for party, name in ((core_files, "core"), (edge_files, "gateway")):
                party.take(issued.issue(name) | {"ca.pem": trusted})
            await call()
            async with asyncio.timeout(WITHIN):
                mine = context_of(old, new)
                mine.load_cert_chain(edge_files.certificate, edge_files.key)
                mine.set_alpn_protocols(["h2"])
                await until_shown(core.port, mine, core_files.fingerprint())
            await asyncio.sleep(1)  # two looks of the other one
            await call()
        # what the edge sends and trusts now shows with a connection that it has to make
        async with asyncio.timeout(WITHIN):
            await core.kill()
        async with processes.core(
            core.port,
            transport=transport,
            tls_certificate=str(core_files.certificate),
            tls_key=str(core_files.key),
            tls_client_ca=str(core_files.ca),
        ):
            async with asyncio.timeout(WITHIN):
                while True:
                    writer.write(GET)
                    head = await reader.readuntil(b"\r\n\r\n")
                    size = int(head.lower().split(b"content-length: ")[1].split()[0])
                    await reader.readexactly(size)
                    if head.startswith(b"HTTP/1.1 200 "):
                        break
                    await asyncio.sleep(0.2)
