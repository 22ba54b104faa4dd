"""Builds the FastAPI application from a contract, an upstream and settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from gateway import __version__
from gateway.admission.admission import Admission
from gateway.admission.error import AdmissionError
from gateway.admission.proxied_app import ProxiedApp
from gateway.admission.proxy_settings import FORWARDED_KEYS
from gateway.admission.tickets.streams import Streams
from gateway.contract.descriptors import Contract
from gateway.contract.http_rule import Binding
from gateway.doors.asgi import AsgiDoor, ContractRoutes, OtherMethods
from gateway.doors.http1.direct import DirectDoor
from gateway.doors.pages import Pages
from gateway.doors.path_methods import PathMethods
from gateway.doors.ticket_route import ticket_routes
from gateway.doors.viewer import secure_document, viewer_routes
from gateway.exchange.compression import Compression
from gateway.exchange.edge import Edge, Limits
from gateway.exchange.observer import Observer
from gateway.exchange.policy import Policy
from gateway.exchange.served import ServedContract
from gateway.feeds.accounting import FeedLimits
from gateway.feeds.feeds import Feeds
from gateway.feeds.sharing import Sharing
from gateway.feeds.store.making import make_sharing
from gateway.operations.access_log import access_log
from gateway.operations.metrics import Metrics
from gateway.operations.readiness import Readiness, every_health_route
from gateway.operations.upstream_check import UpstreamCheck
from gateway.reload.compiling import compile_contract
from gateway.reload.reloader import ContractReloader, NotReloadedError
from gateway.rpc_services.every import own_services
from gateway.settings import Settings
from gateway.sources.reading import SettingsSource, load_contract, waiting_for_servers
from gateway.store.making import make_store
from gateway.store.store import Store
from gateway.tls import TlsError
from gateway.transcoding.metadata import MetadataFilter
from gateway.transcoding.origin import Origins
from gateway.upstream.around import pools_of
from gateway.upstream.port import Upstream
from gateway.upstream.transport import TRANSPORTS
from gateway.upstreams import Upstreams, make_upstreams
from server_process.reloads import Reloads, async_of
from server_process.tracing import tracing

if TYPE_CHECKING:
    from gateway.operations.spans import RequestSpans


def create_app(
    settings: Settings,
    upstream: Upstream | None = None,
    *,
    policies: Iterable[Policy] = (),
    observers: Iterable[Observer] = (),
    on_wait: Callable[[str], object] | None = None,
) -> FastAPI:
    """Makes the application that serves a contract.

    Args:
        settings: the settings of the edge.
        upstream: carries the calls; all of them, whatever `settings.upstreams` says; by default
            the connections that settings describe.
        policies: decide about each request, in this order, behind the identity that settings ask for, and
            before rights and limits by identity: they may say who calls.
        observers: watch each request.
        on_wait: called with the reason each time that a server whose reflection is read has not answered,
            before it is asked again.

    Raises:
        ContractError: the contract is wrong, or none of its methods has an HTTP rule.
        TargetError: an upstream's address is a URL, has no port, or is no name that the transport knows; or a
            pattern of `upstreams` fits no method.
        TlsError: a certificate, a key or the CA for the upstream cannot be used.
        FileReadError: a file cannot be read; it is an OSError.
        AdmissionError: a setting about who may come in cannot be obeyed.
        StoreSettingError: the store cannot be used as settings say.
        TracingError: traces cannot be made as settings and variables say.
    """
    source = SettingsSource(settings)
    stamp = source.stamp()
    data = waiting_for_servers(source.read, settings.reflect_wait_seconds, on_wait)
    load = partial(load_contract, settings=settings)
    contract = load(data)
    upstreams = _upstreams(settings, contract, upstream)
    carrier = upstreams.upstream
    spans = _spans(settings)
    traced = spans is not None
    store = make_store(settings.store)
    sharing = make_sharing(store, settings.store, settings.max_feed_bytes)
    metrics = None if settings.admin_port is None else Metrics(contract, carrier, traced=traced)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        served_with: Settings | None = app.state.served_with
        log_lines = access_log(edge, served_with or settings, is_served=served_with is not None)
        async with (
            nullcontext() if spans is None else spans.tracing,
            log_lines,
            nullcontext() if store is None else store,
            edge.upstream,
            edge.feeds,
            admission,
            readiness,
            upstreams.watching(settings.tls_check_seconds),
            reloader.watching(settings.reload_seconds) if settings.reload else nullcontext(),
        ):
            yield

    app = FastAPI(
        version=__version__,
        lifespan=lifespan,
        openapi_url=settings.openapi_path or None,
        docs_url=None,  # FastAPI's pages load their scripts from a public host
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI would look for it anew with each request, which costs what decoding one does
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.root_path = settings.root_path

    async def is_serving() -> bool:
        return await readiness.is_serving()

    streams = Streams(lambda: edge.served, settings.root_path)
    admission = Admission(settings, PathMethods(app), streams, store)
    compiler = partial(
        compile_contract,
        settings=settings,
        policies=partial(_policies, spans, admission, tuple(policies)),
        own_services=partial(
            own_services,
            is_serving=is_serving,
            reflection=bool(settings.openapi_path),
        ),
    )
    calls: Upstream = carrier if metrics is None else metrics.calls
    traced_calls = calls if spans is None else spans.of_calls(calls)
    edge = _edge(settings, compiler(contract), traced_calls, sharing, admission.reserved_metadata)
    source.returns = partial(_returns, carrier)
    reloader = ContractReloader(edge, source, data, stamp, load, compiler, settings.on_breaking)
    readiness: Readiness = _readiness(settings, upstreams, edge, store)
    if metrics is not None:
        metrics.readiness = readiness
        metrics.store, metrics.limits = store, admission.shared_limits
        _count(metrics, edge, reloader, upstreams)
    if spans is not None:
        edge.observe(spans)
        edge.trace_key = "traceparent"  # of the span, whatever goes upstream without traces
    edge.observe(*observers)
    if (changed := getattr(carrier, "contract_changed", None)) is not None:
        edge.followers.append(lambda _: changed())
    if (proxies := admission.proxies) is not None:
        build = app.build_middleware_stack  # FastAPI calls it once, when all middleware was added

        def behind_proxies() -> ASGIApp:
            return ProxiedApp(build(), proxies, settings.root_path)

        app.build_middleware_stack = behind_proxies  # type: ignore[method-assign] # Starlette has no other way
    app.state.edge = edge
    app.state.cors = admission.cors
    app.state.served_with = None  # a server of ours says with which settings it serves
    app.state.settings = settings
    app.state.readiness = readiness
    app.state.store = store
    app.state.upstream_tls = upstreams.tls
    app.state.metrics = metrics
    app.state.reloader = reloader
    app.state.reloads = _reloads(upstreams, admission, reloader)
    door = AsgiDoor(edge)
    app.state.direct = DirectDoor(edge, settings.root_path)
    app.add_middleware(ContractRoutes, door=door)  # those that a user adds stand around it
    app.router.routes.insert(0, OtherMethods(door))
    app.router.default = door.not_found
    if settings.pages is not None:
        app.router.default = Pages(settings.pages, otherwise=door.not_found)
    app.add_exception_handler(HTTPException, door.framework_error)
    app.add_exception_handler(Exception, door.framework_fault)
    app.router.routes.extend(every_health_route(readiness, settings))
    app.router.routes.extend(ticket_routes(settings.tickets.path, admission.issue_ticket))
    if settings.openapi_path and settings.docs_path:
        page = viewer_routes(settings.docs_path, settings.openapi_path, lambda: app.title)
        app.router.routes.extend(page)
    secure_document(app.router.routes, settings.openapi_path)
    _show_contract(app, edge)
    return app


def _returns(upstream: Upstream) -> int:
    """Returns how often servers were reached again after a problem; 0 for an upstream of a user's."""
    return sum(pool.reachability.returns for pool in pools_of(upstream))


def _upstreams(settings: Settings, contract: Contract, given: Upstream | None) -> Upstreams:
    return make_upstreams(settings, contract.methods) if given is None else Upstreams(given)


def _readiness(
    settings: Settings, upstreams: Upstreams, edge: Edge, store: Store | None
) -> Readiness:
    """Makes what asks the default upstream, if a method goes there, and the others; it tells of the store."""
    others = [
        UpstreamCheck(
            f"upstream:{each.name}",
            own,
            addresses=len(each.addresses),
            is_required=each.required,
        )
        for each in settings.upstreams
        if (own := upstreams.named.get(each.name)) is not None
    ]
    default = edge.upstream if upstreams.uses_default else None
    notes = {} if store is None else {"store": lambda: store.problem}
    return Readiness(settings.readiness, default, others, notes)


def _spans(settings: Settings) -> RequestSpans | None:
    """Returns what makes the spans of requests; None: nobody wants any."""
    made = tracing("protoway", __version__) if settings.traces else None
    if made is None:
        return None
    from gateway.operations.spans import RequestSpans  # noqa: PLC0415 - it needs an extra

    return RequestSpans(made, settings)


def _policies(
    spans: RequestSpans | None,
    admission: Admission,
    others: Sequence[Policy],
    bindings: Sequence[Binding],
) -> tuple[Policy, ...]:
    """Returns the policies for a contract; a span begins before anybody is asked."""
    asked = admission.policies(bindings, others)
    return asked if spans is None else (spans, *asked)


def _count(metrics: Metrics, edge: Edge, reloader: ContractReloader, upstreams: Upstreams) -> None:
    """Lets the metrics count what the edge does."""
    metrics.edge, metrics.reloads = edge, reloader.state
    edge.observe(metrics.requests)
    edge.followers.append(metrics.follow)
    metrics.renewed.extend(upstreams.renewed)


def _reloads(upstreams: Upstreams, admission: Admission, reloader: ContractReloader) -> Reloads:
    """Returns what SIGHUP reads again; the server adds its own certificate."""
    reloads = Reloads(AdmissionError, TlsError, NotReloadedError)
    reloads.add(reloader.source.describe(), reloader.on_hangup)
    for renewed in upstreams.renewed:
        reloads.add(renewed.names, async_of(renewed.read_again))
    for file in admission.files:
        reloads.add(file.setting, async_of(file.read_again))
    return reloads


def _show_contract(app: FastAPI, edge: Edge) -> None:
    """Lets the application's title and document be those of the contract in force."""

    def follow(served: ServedContract) -> None:
        app.title = served.title

    follow(edge.served)
    edge.followers.append(follow)
    app.openapi = lambda: dict(edge.served.document)  # type: ignore[method-assign] # FastAPI's own way


def _edge(
    settings: Settings,
    served: ServedContract,
    upstream: Upstream,
    sharing: Sharing | None,
    reserved_metadata: frozenset[str],
) -> Edge:
    return Edge(
        served=served,
        upstream=upstream,
        feeds=Feeds(
            upstream,
            FeedLimits(
                max_feed_bytes=settings.max_feed_bytes,
                max_idle_bytes=settings.max_idle_feed_bytes,
                max_feeds=settings.max_feeds,
                max_bytes=settings.max_total_feed_bytes,
                max_caller_feeds=settings.max_caller_feeds,
                max_caller_bytes=settings.max_caller_feed_bytes,
                caller_keys=frozenset(name.lower() for name in settings.caller_headers),
                unshared_keys=FORWARDED_KEYS if settings.proxies.is_on else frozenset(),
                call_bytes=TRANSPORTS[settings.transport].call_bytes,
            ),
            sharing,
        ),
        metadata=MetadataFilter(
            settings.request_headers,
            settings.response_headers,
            challenge=settings.www_authenticate,
            status_key=settings.http_status_key,
            max_response_header_bytes=settings.max_answer_header_bytes,
            withheld=reserved_metadata | (FORWARDED_KEYS if settings.proxies.is_on else set()),
        ),
        limits=Limits(
            max_message=settings.max_message_bytes,
            max_metadata=settings.max_metadata_bytes,
            timeout=settings.timeout_seconds,
            heartbeat=settings.heartbeat_seconds,
            retry=settings.retry_seconds,
            websocket_idle=settings.websocket_idle_seconds,
            origins=Origins(settings.cors.origins),
        ),
        compression=Compression(
            whole=settings.compression,
            min_bytes=settings.min_compression_bytes,
            streams=settings.stream_compression,
        ),
    )
