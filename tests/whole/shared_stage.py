"""Edges, one Redis, and readers in other processes: what is broken, and what readers may be told of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

import httpx

from tests.contracts import feeds_descriptor_set
from tests.faults.namespaces import Cable, Network, network
from tests.operations.scrapes import Scrape, parse, total
from tests.redis_server import RedisServer
from tests.whole import processes
from tests.whole.conftest import free_ports
from tests.whole.news_server import Feed, NewsServer, news_server
from tests.whole.processes import Running
from tests.whole.roaming import Readers, Report, roaming

WITH_IDS: Final = "SharedIds"
PATHS: Final = {"LastTwo": "last-two", WITH_IDS: "shared-ids"}
_METHODS: Final = {path: method for method, path in PATHS.items()}
_SOON: Final = 120.0
_STEP: Final = 0.1

Calls: TypeAlias = Mapping[Feed, int]
"""Feed -> its only call that goes on."""
May: TypeAlias = Callable[[Report, Feed, bool], Collection[int]]
"""Takes what a reader was told before something broke, its feed, and whether the feed's call has gone on.

Returns how often the reader may have been told since that its stream has restarted.
"""


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything."""

    readers: int
    feeds: int
    edges: int = 3
    processes: int = 1
    """Of readers."""
    tick: float = 0.1
    """Seconds between two messages of a feed."""
    lease: float = 2.0
    timeout: float = 5.0
    """Seconds that a command of the store may take."""


@dataclass(frozen=True)
class Site:
    """Where an edge is: at this machine's own addresses, or in a network of its own."""

    host: str
    upstream: str
    store: str
    """Host of Redis."""
    port: int
    admin_port: int
    network: Network | None = None
    cable: Cable | None = None
    """To Redis."""


@dataclass(frozen=True)
class Edge:
    """One that runs."""

    running: Running
    within: AsyncExitStack

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.running.process.pid


class Stage:
    """All of it.

    Attributes:
        problems: what has been told wrongly, or not at all.
    """

    def __init__(
        self,
        sizes: Sizes,
        server: NewsServer,
        port: int,
        redis: RedisServer,
        sites: Sequence[Site],
        readers: Readers,
    ) -> None:
        self.sizes = sizes
        self.server, self.redis, self.readers = server, redis, readers
        self.sites = sites
        self.random = Random(7)
        self.edges: dict[int, Edge] = {}
        self.problems: list[str] = []
        self._upstream_port = port
        self._contract = redis.folder / "feeds.binpb"
        self._contract.write_bytes(feeds_descriptor_set())

    async def start_edge(self, number: int, **settings: str) -> None:
        """Starts an edge at its site, and lets the balancer lead readers to it."""
        site, stack = self.sites[number], AsyncExitStack()
        running = await stack.enter_async_context(
            processes.edge(
                f"{site.upstream}:{self._upstream_port}",
                descriptor_set=self._contract,
                port=site.port,
                namespace=site.network.name_of if site.network else "",
                host=site.host,
                admin_host=site.host,
                admin_port=str(site.admin_port),
                feed_store=f"redis://{site.store}:{self.redis.port}/0",
                feed_lease_seconds=str(self.sizes.lease),
                store_timeout_seconds=str(self.sizes.timeout),
                log_level="error",
                **settings,
            )
        )
        self.edges[number] = Edge(running, stack)
        await self.lead_to(self.edges)

    async def lead_to(self, edges: Collection[int]) -> None:
        """Lets the balancer lead readers to these edges alone."""
        await self.readers.lead_to(
            {number: (self.sites[number].host, self.sites[number].port) for number in edges}
        )

    async def start_readers(self) -> None:
        """Starts readers of all feeds, each of which has some of them."""
        await self.readers.start(
            (
                number,
                f"/{PATHS[method]}/topic{number // 2 % max(1, self.sizes.feeds // 2)}",
                method == WITH_IDS,
            )
            for number in range(self.sizes.readers)
            for method in [[*PATHS][number % 2]]
        )

    async def end_edge(self, number: int) -> None:
        """Lets an edge end, as it is asked to; nobody is led to it any more."""
        await self.lead_to([each for each in self.edges if each != number])
        await self.edges.pop(number).within.aclose()

    def feeds_led_by(self, number: int) -> set[Feed]:
        """Returns the feeds whose call is an edge's."""
        site, pid = self.sites[number], self.edges[number].pid
        sockets = set() if site.network else _ports_of(pid)
        return {
            feed
            for feed, calls in self.server.open.items()
            for host, port in (self.server.peers[feed][call] for call in calls)
            if (host == site.host if site.network else port in sockets)
        }

    def leader(self) -> int:
        """Returns an edge that leads a feed, each as often as it leads."""
        feed = self.random.choice(sorted(self.server.open))
        (found,) = (number for number in self.edges if feed in self.feeds_led_by(number))
        return found

    async def scrape(self, number: int) -> Scrape:
        """Returns the metrics of an edge."""
        site = self.sites[number]
        async with httpx.AsyncClient(timeout=_SOON, trust_env=False) as client:
            answer = await client.get(f"http://{site.host}:{site.admin_port}/metrics")
        return parse(answer.text)

    async def refused(self, number: int) -> int:
        """Returns how many appends of an edge the store has refused, because another one led."""
        name = "protoway_shared_feed_refused_appends_total"
        return int(total(await self.scrape(number), name, reason="stale"))

    async def alone(self) -> dict[int, int]:
        """Returns edge -> how often one of its feeds went on without the store."""
        name = "protoway_shared_feed_alone_total"
        return {each: int(total(await self.scrape(each), name)) for each in self.edges}

    async def roles(self, number: int) -> dict[str, int]:
        """Returns role -> feeds that an edge has in it."""
        scrape, name = await self.scrape(number), "protoway_shared_feeds"
        return {
            each: int(total(scrape, name, role=each)) for each in ("leader", "follower", "alone")
        }

    async def settled(self) -> Calls:
        """Waits until each feed has one call, and every reader a message that this call has brought since.

        A reader whose process has ended a call of its own has not been told so before.
        """
        while True:
            await self.until(lambda: self.server.one_call_each() is not None)
            calls, now = self.server.one_call_each(), self.server.now
            async with asyncio.timeout(_SOON):
                while await self.readers.last() <= now:
                    await asyncio.sleep(_STEP)
            if calls is not None and calls == self.server.one_call_each():
                return calls

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for what the server sees."""
        try:
            async with asyncio.timeout(_SOON):
                while not condition():
                    await asyncio.sleep(_STEP)
        except TimeoutError:
            raise AssertionError(f"calls: {self.server.calls}, open: {self.server.open}") from None

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Notes a problem if something is not as it has to be."""
        if found != wanted:
            self.problems.append(f"{what}: {found}, not {wanted}")

    async def judge(
        self, broken: str, before: Sequence[Report], calls: tuple[Calls, Calls], may: May
    ) -> list[Report]:
        """Holds what readers were told since `before` against what they may be told, if they have no ids.

        Args:
            broken: what has been broken.
            before: the reports of before.
            calls: those of before, and those of now.
            may: returns how often a reader may be told that its stream has restarted.
        """
        after = await self.readers.report()
        for was, report in zip(before, after, strict=True):
            feed, told = feed_of(report), report.restarts - was.restarts
            old, new = (each[feed] for each in calls)
            who = (
                f"{broken}: reader {report.number} of {report.path} at edge {was.edge}, then {report.edge},"
                f" of call {was.call}, then {report.call}, where the feed's was {old} and is {new},"
            )
            gaps = report.gaps[-6:]
            if feed[0] != WITH_IDS and told not in (allowed := may(was, feed, old == new)):
                self.problems.append(f"{who} was told {told} restarts, not {allowed}: {gaps}")
            if report.call != new:
                self.problems.append(f"{who} reads another call: {gaps}")
            if report.missed != was.missed:
                self.problems.append(f"{who} has missed messages: {gaps}")
            self.problems += report.problems[len(was.problems) :]
        return after


def feed_of(report: Report) -> Feed:
    """Returns the feed of a reader."""
    path, topic = report.path.removeprefix("/").split("/")
    return _METHODS[path], topic


def _ports_of(pid: int) -> set[int]:
    """Returns the local ports of a process's sockets."""
    try:
        found = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return set()
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {
        int(fields[1].rpartition(":")[2], 16)
        for fields in map(str.split, lines)
        if f"socket:[{fields[9]}]" in found
    }


@asynccontextmanager
async def staged(
    folder: Path, sizes: Sizes, *, networks: bool = False, **settings: str
) -> AsyncIterator[Stage]:
    """Runs Redis, server, edges and readers around the block.

    Args:
        folder: for files.
        sizes: of everything.
        networks: whether each edge is in a network of its own, with a cable to Redis.
        settings: others of the edges.
    """
    async with AsyncExitStack() as stack:
        sites = await _sites(stack, sizes.edges, networks=networks)
        hosts = sorted({"127.0.0.1", *(site.store for site in sites)})
        redis = RedisServer(
            folder / "redis",
            appendonly=True,
            options=["--appendfsync", "always", "--bind", *hosts, "--protected-mode", "no"],
        )
        stack.enter_context(redis)
        upstreams = sorted({site.upstream for site in sites})
        server, port = await stack.enter_async_context(news_server([*PATHS], sizes.tick, upstreams))
        readers = await stack.enter_async_context(roaming(sizes.processes))
        stage = Stage(sizes, server, port, redis, sites, readers)
        stack.push_async_callback(_end_edges, stage)
        for number in range(sizes.edges):
            await stage.start_edge(number, **settings)
        await stage.start_readers()
        yield stage


async def _sites(stack: AsyncExitStack, count: int, *, networks: bool) -> list[Site]:
    ports = free_ports(2 * count)
    if not networks:
        here = "127.0.0.1"
        return [Site(here, here, here, ports[2 * n], ports[2 * n + 1]) for n in range(count)]
    sites = []
    for _ in range(count):
        made = await stack.enter_async_context(network())
        cable = await made.add_cable()
        sites.append(
            Site(made.inside, made.outside, cable.outside, 8080, 9090, network=made, cable=cable)
        )
    return sites


async def _end_edges(stage: Stage) -> None:
    await stage.lead_to([])
    for edge in stage.edges.values():
        await edge.within.aclose()
