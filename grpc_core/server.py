"""The server: what it serves, and how it starts and stops.

Rule: the order of starting and of stopping stands here, in the text, and nowhere else.
"""

import asyncio
import logging
import signal
from typing import Any

from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from grpc_core._generated import finance_pb2, hello_pb2
from grpc_core._generated.finance_pb2_grpc import add_CurrencyConverterServicer_to_server
from grpc_core._generated.hello_pb2_grpc import add_GreeterServicer_to_server
from grpc_core.address import listen
from grpc_core.guard import Guarded
from grpc_core.market import Market
from grpc_core.rate_feed import RateFeed
from grpc_core.servicers import CurrencyConverter, Greeter
from grpc_core.settings import Settings
from grpc_core.tls import credentials
from grpc_core.transport import TRANSPORTS
from grpc_core.workers import Parent

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

    def __init__(self, settings: Settings, feed: RateFeed, *, shared: bool = False) -> None:
        """Takes the address; calls are answered from `start` on.

        Args:
            settings: What to serve, and where.
            feed: The rates.
            shared: Whether other workers take the address too; it is reserved for all of them.

        Raises:
            ListenError: The address cannot be had.
            TlsError: A certificate, a key or the clients' CA cannot be used.
        """
        secrets = credentials(settings)
        self._feed = feed
        self._health = health.aio.HealthServicer()
        self._server = TRANSPORTS[settings.transport].server(
            options=[
                *KEEPALIVE,
                ("grpc.so_reuseport", int(shared)),  # a port that is taken shall be an error
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                # two limits, between which grpcio refuses at random
                ("grpc.max_metadata_size", settings.max_metadata_bytes),
                ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
            ],
        )
        self._register(CurrencyConverter(feed), Greeter())
        self.address = listen(self._server, settings.host, settings.port, secrets, reserved=shared)

    def _register(self, converter: CurrencyConverter, greeter: Greeter) -> None:
        server: Any = Guarded(self._server)  # all that generated code needs of a server
        add_CurrencyConverterServicer_to_server(converter, server)  # type: ignore[no-untyped-call]  # generated code has no types
        add_GreeterServicer_to_server(greeter, server)  # type: ignore[no-untyped-call]  # generated code has no types
        add_HealthServicer_to_server(self._health, server)
        add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]  # generated code has no types
            reflection.aio.ReflectionServicer(SERVICES), server
        )

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


async def run(settings: Settings, market: Market, parent: Parent | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then lets calls finish; a second signal cuts them.

    Prints two lines once calls are answered: `core: serving gRPC on HOST:PORT`, and what is served. A worker
    tells its parent instead, stops when the parent says so too, and ignores a second signal.

    Raises:
        ListenError: The address cannot be had.
        TlsError: A certificate, a key or the clients' CA cannot be used.
    """
    feed = RateFeed(market.rates)
    signals = _Signals(once=parent is not None)
    server = CoreServer(settings, feed, shared=parent is not None)
    if parent is None:
        market.say_which()
    async with market.moving(feed):
        await server.start()
        if parent is None:
            say_where(server.address, settings)
        else:
            parent.serving(signals.stop.set)
        await signals.stop.wait()
        await _stop(server, settings.shutdown_grace, signals.cut)


def say_where(address: str, settings: Settings) -> None:
    """Prints the address, and what is served there, once calls are answered."""
    security = "TLS" if settings.tls_certificate else "no TLS"
    served = f"core: {', '.join(SERVICES)} by {settings.transport}, {security}"
    print(f"core: serving gRPC on {address}", served, sep="\n", flush=True)


async def _stop(server: CoreServer, grace: float, told: asyncio.Event) -> None:
    async def cut() -> None:
        await told.wait()
        await server.stop(None)

    _log.info("stopping; calls have %g s to finish", grace)
    async with asyncio.TaskGroup() as tasks:
        cutting = tasks.create_task(cut())
        await server.stop(grace)
        cutting.cancel()


class _Signals:
    """What SIGTERM and SIGINT ask for.

    Attributes:
        stop: Set by the first one.
        cut: Set by the second one. Not so if they count `once`, for a worker may get each of them twice:
            a terminal and some supervisors send them to it and to its parent.
    """

    def __init__(self, *, once: bool) -> None:
        self.stop = asyncio.Event()
        self.cut = asyncio.Event()
        self._once = once
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._received)

    def _received(self) -> None:
        if self.stop.is_set() and not self._once:
            self.cut.set()
        self.stop.set()
