"""SIGHUP to core and edge: files are read again at once, and what is wrong is refused."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx
import pytest
import yaml

from gateway.admission.authentication.api_keys import new_api_key
from scripts.make_tls import Authority
from tests.whole import processes
from tests.whole.test_certificate_renewal import WITHIN, Party, context_of, until_shown

NEVER = "3600"


def write_keys(file: Path, name: str) -> str:
    """Writes a file with one new key; returns the key."""
    key, entry = new_api_key(name)
    file.write_text(yaml.safe_dump({"keys": [dict(entry)]}))
    return key


async def statuses(client: httpx.AsyncClient, url: str, key: str) -> set[int]:
    """Returns the statuses of some requests with a key, each on a connection of its own."""
    headers = {"x-api-key": key, "connection": "close"}
    return {(await client.get(url, headers=headers)).status_code for _ in range(8)}


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_edge_reads_its_files_again(tmp_path: Path, workers: str) -> None:
    """Certificate and API keys, in every worker; with a wrong pair, the keys are read all the same."""
    authority = Authority.new()
    party, keys = Party(tmp_path / "edge"), tmp_path / "keys.yaml"
    party.take(authority.issue("gateway"))
    write_keys(keys, "first")
    context = context_of(authority)
    async with (
        processes.core() as core,
        processes.edge(
            core.address,
            tls_certificate=str(party.certificate),
            tls_key=str(party.key),
            tls_check_seconds=NEVER,
            api_keys_file=str(keys),
            api_keys_file_check_seconds=NEVER,
            workers=workers,
        ) as edge,
        httpx.AsyncClient(verify=context) as client,
    ):
        url = f"https://localhost:{edge.port}/hello/World"
        party.take(authority.issue("gateway"))
        second = write_keys(keys, "second")
        edge.process.send_signal(signal.SIGHUP)
        for _ in range(4):  # and so most likely each worker
            await until_shown(edge.port, context, party.fingerprint())
        async with asyncio.timeout(WITHIN):
            while await statuses(client, url, second) != {200}:
                await asyncio.sleep(0.05)

        before = party.fingerprint()
        party.key.write_bytes(authority.issue("gateway")["key.pem"])
        third = write_keys(keys, "third")
        edge.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(WITHIN):
            while await statuses(client, url, third) != {200}:
                await asyncio.sleep(0.05)
        await until_shown(edge.port, context, before)
        assert await statuses(client, url, second) == {401}
        assert edge.process.returncode is None


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_core_reads_its_certificate_again(tmp_path: Path, workers: str) -> None:
    """In every worker."""
    authority = Authority.new()
    party = Party(tmp_path / "core")
    party.take(authority.issue("core"))
    context = context_of(authority)
    async with processes.core(
        tls_certificate=str(party.certificate),
        tls_key=str(party.key),
        tls_check=NEVER,
        workers=workers,
    ) as core:
        await until_shown(core.port, context, party.fingerprint())
        party.take(authority.issue("core"))
        core.process.send_signal(signal.SIGHUP)
        for _ in range(4):
            await until_shown(core.port, context, party.fingerprint())
        assert core.process.returncode is None
