"""The server: what it serves, and how it starts and stops.

Rule: the order of starting and of stopping stands here, in the text, and nowhere else.
"""

import asyncio
import logging
import signal
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from random import Random

import grpc.aio
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from grpc_core._generated import finance_pb2, hello_pb2
from grpc_core._generated.finance_pb2_grpc import add_CurrencyConverterServicer_to_server
from grpc_core._generated.hello_pb2_grpc import add_GreeterServicer_to_server
from grpc_core.address import listen
from grpc_core.finance import reference
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.ticker import RandomWalk
from grpc_core.interceptors import StatusInterceptor
from grpc_core.rate_feed import RateFeed, ticking
from grpc_core.servicers import CurrencyConverter, Greeter
from grpc_core.settings import Settings
from grpc_core.tls import credentials

SERVICES = (
    finance_pb2.DESCRIPTOR.services_by_name["CurrencyConverter"].full_name,
    hello_pb2.DESCRIPTOR.services_by_name["Greeter"].full_name,
    health.SERVICE_NAME,
    reflection.SERVICE_NAME,
)

KEEPALIVE = (
    # A watcher that vanished without a word is found out within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A client may ask as often as every 10 s; by default it is sent away for less than 5 min.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

_log = logging.getLogger(__name__)


class CoreServer:
    """The services of the contract with health, reflection, and an address that is theirs.

    Attributes:
        address: `HOST:PORT`, with the port that was picked if the setting was 0.
    """

    def __init__(self, settings: Settings, feed: RateFeed) -> None:
        """Takes the address; calls are answered from `start` on.

        Raises:
            ListenError: The address cannot be had.
            TlsError: A certificate, a key or the clients' CA cannot be used.
        """
        secrets = credentials(settings)
        self._feed = feed
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[StatusInterceptor()],
            options=[
                *KEEPALIVE,
                ("grpc.so_reuseport", 0),  # a port that is taken shall be an error
                ("grpc.max_receive_message_length", settings.max_message_bytes),
            ],
        )
        self._register(CurrencyConverter(feed), Greeter())
        self.address = listen(self._server, settings.host, settings.port, secrets)

    def _register(self, converter: CurrencyConverter, greeter: Greeter) -> None:
        add_CurrencyConverterServicer_to_server(converter, self._server)  # type: ignore[no-untyped-call]
        add_GreeterServicer_to_server(greeter, self._server)  # type: ignore[no-untyped-call]
        add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(SERVICES, self._server)

    async def start(self) -> None:
        """Begins to answer calls, and reports every service as serving."""
        await self._server.start()
        for service in SERVICES:
            await self._health.set(service, HealthCheckResponse.SERVING)

    async def stop(self, grace: float | None) -> None:
        """Reports that nothing is served any more, ends the endless streams, and lets calls finish.

        Args:
            grace: Seconds that calls have to finish before they are cut; None cuts them at once,
                also while an earlier `stop` is still waiting.
        """
        await self._health.enter_graceful_shutdown()
        self._feed.close()
        await self._server.stop(grace)


async def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then lets calls finish; a second signal cuts them.

    Prints `core: serving gRPC on HOST:PORT` once calls are answered.

    Raises:
        ListenError: The address cannot be had.
        TlsError: A certificate, a key or the clients' CA cannot be used.
    """
    rates = reference.load()
    feed = RateFeed(rates)
    signals = _signals()
    server = CoreServer(settings, feed)
    async with _moving(settings, feed, rates):
        await server.start()
        print(f"core: serving gRPC on {server.address}", flush=True)
        await signals.get()
        await _stop(server, settings.shutdown_grace, signals)


async def _stop(server: CoreServer, grace: float, signals: asyncio.Queue[int]) -> None:
    async def cut() -> None:
        await signals.get()
        await server.stop(None)

    _log.info("stopping; calls have %g s to finish", grace)
    async with asyncio.TaskGroup() as tasks:
        cutting = tasks.create_task(cut())
        await server.stop(grace)
        cutting.cancel()


def _moving(
    settings: Settings, feed: RateFeed, rates: Snapshot
) -> AbstractAsyncContextManager[None]:
    day, count = rates.instant.date(), len(rates.per_euro)
    if settings.ticker == "off":
        _log.info("rates are the ECB reference rates of %s: %d currencies", day, count)
        return nullcontext()
    _log.info("ticks are SIMULATED around the ECB reference rates of %s: %d currencies", day, count)
    walk = RandomWalk(rates, Random(settings.seed))  # noqa: S311 - nobody is to be surprised
    return ticking(feed, walk, period=settings.tick_period, now=lambda: datetime.now(UTC))


def _signals() -> asyncio.Queue[int]:
    received: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, received.put_nowait, number)
    return received
