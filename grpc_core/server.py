"""The server: its services, its start and its graceful shutdown.

Rule: only this module defines the order of the steps of start and shutdown.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from grpc_core._generated import finance_pb2, finance_pb2_grpc, hello_pb2
from grpc_core._generated.finance.v2 import currency_converter_pb2, currency_converter_pb2_grpc
from grpc_core._generated.hello_pb2_grpc import add_GreeterServicer_to_server
from grpc_core.access_log import AccessLog, writing
from grpc_core.address import listen, shown
from grpc_core.callers import ANY, Rules, check_of, check_services
from grpc_core.counting import counted
from grpc_core.guard import Guarded, RpcMethod
from grpc_core.market import Market
from grpc_core.metrics import MethodCounts, Metrics
from grpc_core.metrics_listener import MetricsAddress, MetricsListener
from grpc_core.rate_feed import RateFeed
from grpc_core.servicers.converter_v1 import CurrencyConverterV1
from grpc_core.servicers.converter_v2 import CurrencyConverterV2
from grpc_core.servicers.greeter import Greeter
from grpc_core.settings import Settings
from grpc_core.tls import TlsError, credentials, renewed_pair
from grpc_core.transport import TRANSPORTS
from grpc_wire.renewal import watching
from server_process.reloads import Reloads, async_of
from server_process.systemd import notify, watchdog
from server_process.tracing import tracing
from server_process.workers import Parent

if TYPE_CHECKING:
    from server_process.otel import Tracing

SERVICES = (
    finance_pb2.DESCRIPTOR.services_by_name["CurrencyConverter"].full_name,
    currency_converter_pb2.DESCRIPTOR.services_by_name["CurrencyConverter"].full_name,
    hello_pb2.DESCRIPTOR.services_by_name["Greeter"].full_name,
    health.SERVICE_NAME,
    reflection.SERVICE_NAME,
)

NEEDING_RATES = ("", *SERVICES[:2])
"""Services whose health says whether there are rates; the empty name is the whole server's."""

KEEPALIVE = (
    # A dead client is detected within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Clients may send keepalive pings every 10 s; grpc's default is 5 min.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

_log = logging.getLogger(__name__)


class CoreServer:
    """The services of the contract, with health and reflection, on one address.

    Attributes:
        tls: The files of TLS; None: no TLS.
        reloads: What SIGHUP reads again.
        access_log: Notes calls; its writer is not started. None: it is off.
        address: `HOST:PORT`, with the chosen port if the setting is 0.
        metrics: What is counted; None if nobody asks for it.
        tracing: Makes spans within its block; None if nobody asks for them.
    """

    def __init__(self, settings: Settings, feed: RateFeed, *, shared: bool = False) -> None:
        """Binds the address; `start` serves.

        Args:
            settings: The settings.
            feed: The rates.
            shared: Whether other workers use the same address, which `reserve` holds.

        Raises:
            ListenError: The address is in use, not permitted, or not local.
            TlsError: A certificate, a key or the clients' CA is invalid.
            CallersError: `allowed_callers` names a service that is not served.
            TracingError: Traces cannot be made as the variables say.
        """
        self.tracing = tracing_of(settings)
        self.tls = renewed_pair(settings)
        secrets = credentials(settings, self.tls)
        self.reloads = Reloads(TlsError)
        if self.tls is not None:
            self.reloads.add(self.tls.names, async_of(self.tls.read_again))
        self._feed = feed
        self.metrics = Metrics(feed, settings.transport, self.tls) if settings.has_metrics else None
        self.access_log = None if settings.access_log == "off" else AccessLog(settings)
        if self.metrics is not None and self.access_log is not None:
            self.metrics.lost_lines = self.access_log.lost
        self._health = health.aio.HealthServicer()
        self._server = TRANSPORTS[settings.transport].server(
            options=[
                *KEEPALIVE,
                ("grpc.so_reuseport", int(shared)),  # otherwise a port in use is an error
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                # a soft and a hard limit; between them grpcio refuses at random
                ("grpc.max_metadata_size", settings.max_metadata_bytes),
                ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
                *_lifetime(settings.max_connection_age),
            ],
        )
        check_services(settings.allowed_callers, SERVICES)
        self._register(settings.allowed_callers)
        self.address = listen(self._server, settings.host, settings.port, secrets, reserved=shared)

    def _register(self, rules: Rules) -> None:
        # health is open to whoever connects, as probes need it
        own = {health.SERVICE_NAME: frozenset({ANY})} | dict(rules) if rules else {}
        watchers = self.metrics, self.access_log, self.tracing
        watched = any(each is not None for each in watchers)
        count = partial(_count, *watchers) if watched else None
        guarded = Guarded(self._server, partial(check_of, own), count)
        server: Any = guarded  # has the methods that generated code calls
        finance_pb2_grpc.add_CurrencyConverterServicer_to_server(  # type: ignore[no-untyped-call]  # generated code has no types
            CurrencyConverterV1(self._feed), server
        )
        currency_converter_pb2_grpc.add_CurrencyConverterServicer_to_server(  # type: ignore[no-untyped-call]  # generated code has no types
            CurrencyConverterV2(self._feed), server
        )
        add_GreeterServicer_to_server(Greeter(), server)  # type: ignore[no-untyped-call]  # generated code has no types
        add_HealthServicer_to_server(self._health, server)
        add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]  # generated code has no types
            reflection.aio.ReflectionServicer(SERVICES), server
        )

    async def start(self) -> None:
        """Starts serving, and sets the health of every service: NOT_SERVING where rates are missing."""
        await self._tell_rates()
        await self._server.start()
        for service in SERVICES:
            if service not in NEEDING_RATES:
                await self._health.set(service, HealthCheckResponse.SERVING)

    @asynccontextmanager
    async def telling_rates(self) -> AsyncIterator[None]:
        """Has the health of the services that need rates follow the feed, as long as the block."""

        async def follow() -> None:
            while True:
                turning = self._feed.turning()
                await self._tell_rates()
                await turning.wait()

        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow(), name="health of rates")
            yield
            following.cancel()

    async def _tell_rates(self) -> None:
        has_rates = self._feed.newest is not None
        status = HealthCheckResponse.SERVING if has_rates else HealthCheckResponse.NOT_SERVING
        for service in NEEDING_RATES:
            await self._health.set(service, status)

    async def leave_balancers(self) -> None:
        """Sets the health of every service to NOT_SERVING, for good; calls are still served."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float | None) -> None:
        """Sets the health to NOT_SERVING, ends the streams of rates, and waits for calls to finish.

        Args:
            grace: Seconds after which calls are cancelled; None: at once, even while an earlier `stop` waits.
        """
        await self._health.enter_graceful_shutdown()
        if self.access_log is not None:
            self.access_log.stopping = True
        self._feed.close()
        await self._server.stop(grace)


async def run(
    settings: Settings,
    market: Market,
    parent: Parent | None = None,
    metrics_at: MetricsAddress | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then waits for calls to finish; a second signal cancels them.

    Prints two lines once calls are answered: `core: serving gRPC on HOST:PORT`, and what is served. A worker
    tells its parent instead, stops when the parent says so too, and ignores a second signal.

    Raises:
        ListenError: The address is in use, not permitted, or not local.
        TlsError: A certificate, a key or the clients' CA is invalid.
        TracingError: Traces cannot be made as the variables say.
    """
    feed = RateFeed(market.rates)
    signals = _Signals(once=parent is not None)
    server = CoreServer(settings, feed, shared=parent is not None)
    if server.metrics is not None:
        server.metrics.of_rates = market.samples
    if parent is None:
        market.log_rates()
    async with (
        nullcontext() if server.tracing is None else server.tracing,
        market.publishing(feed),
        server.telling_rates(),
        watching(server.tls, settings.tls_check),
        watchdog(),
        writing(server.access_log),
        server.reloads.on_hangup(signals.stop.set if parent is None else None),
        _telling(server, parent, metrics_at),
    ):
        await server.start()
        if parent is None:
            say_where(server.address, settings, metrics_at)
        else:
            parent.serving(signals.stop.set)
        await signals.stop.wait()
        if parent is None:
            notify("STOPPING=1")
        await server.leave_balancers()
        await _delay(settings.drain_delay, signals.cancel)
        await _stop(server, settings.shutdown_grace, signals.cancel)


def _lifetime(age: float | None) -> list[tuple[str, int]]:
    """Returns the option of a server whose connections last so many seconds; None: no limit."""
    return [] if age is None else [("grpc.max_connection_age_ms", round(age * 1000))]


def tracing_of(settings: Settings) -> Tracing | None:
    """Returns what makes the spans of the core; None: nobody wants any.

    Raises:
        TracingError: The extra is not installed, or a variable has a value that is not known.
    """
    return tracing("core") if settings.traces else None


def _count(
    metrics: Metrics | None,
    log: AccessLog | None,
    traces: Tracing | None,
    method: RpcMethod,
    service: str,
    name: str,
) -> RpcMethod:
    client, server = method.request_streaming, method.response_streaming
    counts = MethodCounts(service, name, client=client, server=server)
    if metrics is not None:
        metrics.add(counts)
    if traces is None or service == health.SERVICE_NAME:  # probes would be most of all spans
        return counted(method, counts, log)
    from grpc_core.spans import MethodSpans  # noqa: PLC0415 - it needs an extra

    return counted(
        method, counts, log, MethodSpans(traces, service, name, streams=client or server)
    )


@asynccontextmanager
async def _telling(
    server: CoreServer, parent: Parent | None, at: MetricsAddress | None
) -> AsyncIterator[None]:
    """Serves the metrics as long as the block."""
    if server.metrics is None or at is None:
        yield
        return
    number = 0 if parent is None else parent.number
    listener = MetricsListener(server.metrics, at.sockets, at.mail, number)
    await listener.start()
    try:
        yield
    finally:
        listener.close()


def say_where(address: str, settings: Settings, metrics_at: MetricsAddress | None = None) -> None:
    """Prints the address, and what is served there, once calls are answered; then where metrics are."""
    security = "TLS" if settings.tls_certificate else "no TLS"
    served = f"core: {', '.join(SERVICES)} by {settings.transport}, {security}"
    lines = [f"core: serving gRPC on {address}", served]
    for each in () if metrics_at is None else metrics_at.sockets:
        where = shown(*each.getsockname()[:2])
        lines.append(f"core: serving /metrics on http://{where}")
    print(*lines, sep="\n", flush=True)
    notify("READY=1")


async def _delay(seconds: float, cancel: asyncio.Event) -> None:
    """Waits, unless a second signal came."""
    if not seconds:
        return
    _log.info("stopping; calls are accepted for %g s more", seconds)
    try:
        async with asyncio.timeout(seconds):
            await cancel.wait()
    except TimeoutError:
        return


async def _stop(server: CoreServer, grace: float, cancel: asyncio.Event) -> None:
    async def cancel_calls() -> None:
        await cancel.wait()
        await server.stop(None)

    _log.info("stopping; calls have %g s to finish", grace)
    async with asyncio.TaskGroup() as tasks:
        cancelling = tasks.create_task(cancel_calls())
        await server.stop(grace)
        cancelling.cancel()


class _Signals:
    """Events for SIGTERM and SIGINT.

    Attributes:
        stop: Set by the first signal.
        cancel: Set by the second signal, unless `once`: a worker may get each signal twice, since a terminal
            and some supervisors send it to the worker and to its parent.
    """

    def __init__(self, *, once: bool) -> None:
        self.stop = asyncio.Event()
        self.cancel = asyncio.Event()
        self._once = once
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._received)

    def _received(self) -> None:
        if self.stop.is_set() and not self._once:
            self.cancel.set()
        self.stop.set()
