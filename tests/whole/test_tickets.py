"""Tickets on real processes: one edge of two workers, whose callers have API keys."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from gateway.admission.authentication.api_keys import new_api_key
from tests.whole import processes
from tests.whole.conftest import ROOT

PATH = "/.protoway/ticket"
PAGE = "https://app.example"
EVENTS = {"accept": "text/event-stream"}
WATCH = {"method": "finance.CurrencyConverter/WatchRates"}
LIVE = {"method": "finance.CurrencyConverter/LiveConvert"}
RATES = "/rates/USD?target_currencies=EUR"


@dataclass
class Edge:
    """A running edge, with the keys of its callers."""

    running: processes.Running
    key: str
    file: Path
    other: Mapping[str, Any]

    async def ticket(self, demand: Any = WATCH, origin: str | None = PAGE) -> str:
        """Returns a ticket, over a connection of its own."""
        headers = {"x-api-key": self.key} | ({} if origin is None else {"origin": origin})
        async with httpx.AsyncClient(base_url=self.running.http) as client:
            given = await client.post(PATH, content=json.dumps(demand), headers=headers)
        assert given.status_code == 200, given.text
        return str(given.json()["ticket"])

    async def use(self, ticket: str, url: str = RATES, origin: str = PAGE) -> int:
        """Returns the status of a stream, over a connection of its own."""
        async with (
            httpx.AsyncClient(base_url=self.running.http) as client,
            client.stream(
                "GET", f"{url}&ticket={ticket}", headers=EVENTS | {"origin": origin}
            ) as response,
        ):
            return response.status_code


@asynccontextmanager
async def edge(core: processes.Running, folder: Path, **settings: str) -> AsyncIterator[Edge]:
    """Runs an edge."""
    (key, entry), (_, other) = new_api_key("ann"), new_api_key("bob")
    file = folder / "keys.yaml"
    file.write_text(yaml.safe_dump({"keys": [entry, other]}))
    given: dict[str, Any] = {
        "workers": "2",
        "tickets_enabled": "true",
        "api_keys_file": str(file),
        "cors_origins": PAGE,
    }
    given["api_keys_file_check_seconds"] = "0.05"
    async with processes.edge(core.address, **given | settings) as running:
        yield Edge(running, key, file, other)


@pytest.fixture(scope="module")
async def core() -> AsyncIterator[processes.Running]:
    """A core."""
    async with processes.core(tick_period="0.05") as running:
        yield running


@pytest.fixture(scope="module")
async def two(
    core: processes.Running, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Edge]:
    """An edge of two workers."""
    async with edge(core, tmp_path_factory.mktemp("edge")) as made:
        yield made


async def test_a_ticket_of_one_worker_opens_a_stream_in_another(two: Edge) -> None:
    """Each of these connections is taken by a worker at random."""
    statuses = [await two.use(await two.ticket()) for _ in range(20)]
    assert statuses == [200] * 20


async def test_of_many_replays_on_two_workers_one_gets_in(two: Edge) -> None:
    """All are connected before the first one sends, and all send at once."""
    for _ in range(5):
        ticket = await two.ticket()
        request = (
            f"GET {RATES}&ticket={ticket} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n"
            f"origin: {PAGE}\r\n\r\n"
        ).encode()
        opened = [await asyncio.open_connection(*where(two)) for _ in range(24)]
        for _, writer in opened:
            writer.write(request)
        heads = [await reader.readline() for reader, _ in opened]
        for _, writer in opened:
            writer.close()
        statuses = sorted(int(head.split()[1]) for head in heads)
        assert statuses == [200, *[401] * 23]


def where(made: Edge) -> tuple[str, int]:
    """Returns host and port."""
    return "127.0.0.1", made.running.port


async def test_each_attack_is_refused(two: Edge) -> None:
    """Another method, a foreign page, a forged ticket, a second use, and none."""
    assert await two.use(await two.ticket(LIVE)) == 403
    assert await two.use(await two.ticket(), origin="https://evil.example") == 403
    assert await two.use("A" * 43) == 401
    ticket = await two.ticket()
    assert [await two.use(ticket), await two.use(ticket)] == [200, 401]
    assert await two.use("") == 401


async def test_a_websocket_opens_with_a_ticket(two: Edge) -> None:
    """Once, of the page that asked, and for its method."""
    url = f"{two.running.websocket}/convert:live?ticket="
    page = Origin(PAGE)
    ticket = await two.ticket(LIVE)
    async with connect(url + ticket, origin=page) as socket:
        await socket.send('{"fromCurrency":"USD","toCurrency":"EUR","amount":1}')
        assert "convertedAmount" in str(await socket.recv())
    refused = [
        (ticket, page, 401),
        (await two.ticket(WATCH), page, 403),
        (await two.ticket(LIVE), Origin("https://evil.example"), 403),
        (await two.ticket(LIVE), None, 403),
    ]
    for each, origin, status in refused:
        with pytest.raises(InvalidStatus) as error:
            await connect(url + each, origin=origin)
        assert error.value.response.status_code == status


async def test_an_expired_ticket_is_refused(core: processes.Running, tmp_path: Path) -> None:
    """Also where it was not used; and one of another edge."""
    async with edge(core, tmp_path, tickets_lifetime_seconds="0.2") as short:
        ticket = await short.ticket()
        await asyncio.sleep(0.25)
        assert await short.use(ticket) == 401


async def test_edges_with_one_folder_take_each_others_tickets(
    core: processes.Running, two: Edge, tmp_path: Path
) -> None:
    """Others do not."""
    folder = tmp_path / "tickets"
    same = {"tickets_folder": str(folder), "workers": "1"}
    async with edge(core, tmp_path, **same) as one:
        (tmp_path / "other").mkdir()
        async with edge(core, tmp_path / "other", **same, api_keys_file=str(one.file)) as other:
            ticket = await one.ticket()
            assert await other.use(ticket) == 200
            assert await one.use(ticket) == 401
            assert await other.use(await two.ticket()) == 401
            await one.ticket()
            assert len(os.listdir(folder)) == 1


async def test_the_folder_of_an_edge_goes_with_it(core: processes.Running, tmp_path: Path) -> None:
    """With what is in it; a worker that ends, and is started again, removes nothing."""
    async with edge(core, tmp_path) as made:
        ticket = await made.ticket()
        [folder] = folders(made)
        parent = made.running.process.pid
        for child in children(parent):
            os.kill(child, signal.SIGKILL)
        assert await made.use(ticket) == 200
        assert folders(made) == [folder]
    assert folders(made) == []


def folders(made: Edge) -> list[str]:
    """Returns the names of the folders that the processes of an edge have made."""
    start = f"protoway-tickets-{made.running.process.pid}-"
    return [name for name in os.listdir("/dev/shm") if name.startswith(start)]


def children(pid: int) -> list[int]:
    """Returns the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_revoked_key_ends_what_its_tickets_have_opened(
    core: processes.Running, tmp_path: Path
) -> None:
    """A ticket that is not used yet opens nothing any more."""
    async with edge(core, tmp_path, workers="1") as made:
        ticket, later = await made.ticket(LIVE), await made.ticket()
        url = f"{made.running.websocket}/convert:live?ticket={ticket}"
        async with connect(url, origin=Origin(PAGE)) as socket:
            made.file.write_text(yaml.safe_dump({"keys": [made.other]}))
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 10)
        assert await made.use(later) == 401
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, "revoked" in closed.value.rcvd.reason) == (4016, True)


async def test_no_log_has_a_ticket(core: processes.Running, tmp_path: Path) -> None:
    """At the most talkative level; the folder of open tickets has none either."""
    (key, entry), folder = new_api_key("ann"), tmp_path / "tickets"
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump({"keys": [entry]}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--port", "0", "--log-level", "debug"),
        *("--descriptor-set", str(processes.DESCRIPTOR_SET), "--upstream", core.address),
        *("--tickets-enabled", "--tickets-folder", str(folder), "--api-keys-file", str(file)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    running = processes.Running(process, line.split()[-1].rpartition("/")[2])
    made = Edge(running, key, file, {})
    tickets = [await made.ticket() for _ in range(3)]
    kept = "".join(f"{each.name} {each.read_text()}" for each in folder.iterdir())
    statuses = [await made.use(each, origin=PAGE) for each in (tickets[0], tickets[0])]
    statuses.append(await made.use(tickets[1], origin="https://evil.example"))
    statuses.append(await made.use(tickets[2], "/nothing?x=1"))
    process.terminate()
    out, err = await process.communicate()

    assert statuses == [200, 401, 403, 403]
    shown = out + err + kept.encode()
    assert not [each for each in tickets if each.encode() in shown]
    assert key.encode() not in shown
    assert re.fullmatch(rb"(?s).*serving.*", line.encode())
