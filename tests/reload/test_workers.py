"""All workers of an edge serve a new contract, or none."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from copy import copy
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.reload import fleet
from gateway.reload.reloader import ContractReloader
from gateway.reload.shared_contract import SharedContract
from gateway.reload.state import Result
from gateway.sources.port import ContractData
from tests.edge.asgi import running
from tests.reload.conftest import Shop
from tests.reload.versions import (
    binding_moved,
    field_added,
    first,
    method_added,
    method_removed,
    replace_file,
    version,
)
from tests.whole import processes
from tests.worker_processes import workers_of

NOBODY = "127.0.0.1:9"


@pytest.fixture
def shops(make_shop: Callable[..., Shop]) -> Iterator[list[Shop]]:
    """Two edges whose contract is the same file, as the workers of one program."""
    made = [make_shop(), make_shop()]
    one, other = (each.app.state.reloader for each in made)
    one.share(2)
    other._fleet = copy(one._fleet)
    yield made
    one._fleet.close()


@asynccontextmanager
async def both_running(shops: list[Shop]) -> AsyncIterator[list[ContractReloader]]:
    """Runs both."""
    one, other = (each.app for each in shops)
    async with (
        one.state.reloader.running(0),
        other.state.reloader.running(1),
        running(one),
        running(other),
    ):
        yield [one.state.reloader, other.state.reloader]


def served(shops: list[Shop]) -> list[str]:
    """Returns the fingerprint of the contract that each serves."""
    return [each.app.state.edge.served.fingerprint for each in shops]


async def test_both_swap(shops: list[Shop]) -> None:
    """Whichever of two workers reloads, both serve the contract when it says so."""
    before = served(shops)
    async with both_running(shops) as reloaders:
        shops[0].write(method_added())
        first_outcome = await reloaders[1].reload()
        once = served(shops)
        again = await reloaders[0].reload()
        shops[0].write(field_added())
        second = await reloaders[0].reload()
        twice = served(shops)

    assert first_outcome.result is Result.APPLIED
    assert once == [first_outcome.fingerprint] * 2
    assert once[0] not in before
    assert again.result is Result.UNCHANGED
    assert twice == [second.fingerprint] * 2
    assert twice != once
    assert [each.state.counts[Result.APPLIED] for each in reloaders] == [2, 2]


async def test_neither_swaps(shops: list[Shop]) -> None:
    """A contract that one of them cannot serve is served by none, and the reason names the worker."""
    before = served(shops)
    async with both_running(shops) as reloaders:
        shops[0].write(binding_moved("Get", "/{"))
        wrong = await reloaders[0].reload()
        # other settings than those of the other worker
        reloaders[1]._on_breaking = "refuse"
        shops[0].write(method_removed("Add"))
        refused = await reloaders[0].reload()
        still = served(shops)
        reloaders[1]._on_breaking = "allow"
        applied = await reloaders[0].reload()

    assert wrong.result is Result.REFUSED
    assert refused.result is Result.FAILED
    assert "worker 1: wire: shop.v1.Shop.Add" in refused.problems[0]
    assert still == before
    assert applied.result is Result.APPLIED
    assert set(served(shops)) == {applied.fingerprint}


async def test_a_worker_that_does_not_answer(
    shops: list[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes all keep the contract; started anew, it begins with the one that is in force."""
    monkeypatch.setattr(fleet, "PREPARE_SECONDS", 0.2)
    before = served(shops)
    reloaders: list[ContractReloader] = [each.app.state.reloader for each in shops]
    async with running(shops[0].app), reloaders[0].running(0):
        shops[0].write(method_added())
        async with reloaders[1].running(1):
            pass
        failed = await reloaders[0].reload()
        kept = served(shops)
        shared = reloaders[0]._fleet.shared  # type: ignore[union-attr] # it is set
        shared.propose(ContractData(version(field_added())))
        shared.put_into_force()  # by a worker that has died before it told anybody
        async with reloaders[1].running(1):
            begun = served(shops)[1]
            async with asyncio.timeout(10):
                while served(shops)[0] != begun:
                    await asyncio.sleep(0.01)

    assert failed.result is Result.FAILED
    assert "worker 1 was not ready within 0.2 s" in failed.problems[0]
    assert kept == before
    assert begun != before[0]


def test_what_is_shared_is_read_whole() -> None:
    """One process at a time may change the contract; what is proposed is in force when it is put."""
    shared = SharedContract()
    one, two = ContractData(b"one", b"rules"), ContractData(b"two")
    shared.propose(one)
    found: list[Any] = [shared.in_force(), shared.proposed(), shared.generation]
    shared.put_into_force()
    shared.propose(two)
    found += [shared.in_force(), shared.proposed()]
    shared.put_into_force()
    found.append(shared.in_force())
    with closing(shared), shared.lock() as ours:
        child = os.fork()
        if not child:
            with shared.lock() as theirs:
                os._exit(int(theirs))
        _, status = os.waitpid(child, 0)

    assert found == [None, one, 0, (1, one), two, (2, two)]
    assert (ours, os.waitstatus_to_exitcode(status)) == (True, 0)


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


async def fingerprints(admin: httpx.AsyncClient) -> list[str | None]:
    """Returns the fingerprint of the contract that each worker serves; None of one that does not answer."""
    workers = (await admin.get("/status.json")).json()["workers"]
    return [each.get("contract") for each in workers]


async def test_processes(tmp_path: Path) -> None:
    """POST /reload and SIGHUP swap all workers; one that is killed comes back with the contract in force."""
    path = tmp_path / "shop.binpb"
    path.write_bytes(first())
    port = free_port()
    options: Any = {"workers": "2", "admin_port": str(port)}
    async with (
        processes.edge(NOBODY, descriptor_set=path, **options) as edge,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as admin,
        httpx.AsyncClient(base_url=edge.http, timeout=60) as client,
    ):
        before = await fingerprints(admin)
        replace_file(path, version(method_added()))
        applied, *others = sorted(
            await asyncio.gather(*(admin.post("/reload") for _ in range(3))),
            key=lambda response: str(response.json()["result"]),
        )
        by_post = await fingerprints(admin)
        found = {(await client.get("/find/a")).status_code for _ in range(20)}
        foreign = await admin.post("/reload", headers={"origin": "https://page.example"})
        path.write_bytes(b"nothing")
        refused = await admin.post("/reload")
        told = (await admin.get("/status.json")).json()["contract"]["last_reload"]
        page = (await admin.get("/")).text
        replace_file(path, version(method_added(), field_added()))
        os.kill(edge.process.pid, signal.SIGHUP)
        async with asyncio.timeout(60):
            while len(set(by_hangup := await fingerprints(admin))) > 1 or by_hangup == by_post:
                await asyncio.sleep(0.05)
            killed = workers_of(edge.process.pid)[1]
            os.kill(killed, signal.SIGKILL)
            while killed in workers_of(edge.process.pid) or None in await fingerprints(admin):
                await asyncio.sleep(0.05)
        after = await fingerprints(admin)

    assert applied.status_code == 200
    assert applied.json()["result"] == "applied"
    assert [each.json()["result"] for each in others] == ["unchanged"] * 2
    assert by_post == [applied.json()["fingerprint"]] * 2
    assert by_post != before
    assert found == {503}  # the upstream cannot be reached; before it was 404
    assert foreign.status_code == 403
    assert refused.status_code == 422
    assert told["problems"] == refused.json()["problems"]
    assert told["problems"][0][:20] in page
    assert after == by_hangup
