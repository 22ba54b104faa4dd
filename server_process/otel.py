"""Traces by the SDK of OpenTelemetry: its setup, the spans of a process, and their end.

What the SDK does is said by its own variables (`OTEL_…`): where spans go, which traces are kept, what the
service is called. Parents come from, and go into, W3C Trace Context; nothing is kept in context variables.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import Final, Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

log = logging.getLogger(__name__)

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
_SCOPE: Final = "protoway"
"""Name of the instrumentation."""
_FLUSH_SECONDS: Final = 5.0
"""Maximum time that the end of a process waits for its last spans."""
_W3C: Final = TraceContextTextMapPropagator()

Attributes = Mapping[str, str | int]


class Tracing:
    """Makes the spans of one process. They are sent from a thread, as long as the block."""

    def __init__(self, service: str, version: str, exporters: Sequence[str], protocol: str) -> None:
        """Takes what `server_process.tracing` has checked; nothing is started, so that workers may fork."""
        self._service = service
        self._version = version
        self._exporters = exporters
        self._protocol = protocol
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None

    async def __aenter__(self) -> Self:
        """Starts to make spans."""
        self._provider = provider = TracerProvider(
            resource=_resource(self._service, self._version), shutdown_on_exit=False
        )
        for name in self._exporters:
            if name != "none":
                provider.add_span_processor(BatchSpanProcessor(self._exporter(name)))
        self._tracer = provider.get_tracer(_SCOPE, self._version)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Sends the last spans, in a thread, and waits for that a few seconds."""
        provider, self._provider, self._tracer = self._provider, None, None
        if provider is None:
            return
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            provider.shutdown()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(sent.set)

        # a daemon: no end of a process waits for a receiver that does not answer
        Thread(target=end, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await sent.wait()
        except TimeoutError:
            log.warning("the last spans could not be sent within %g s", _FLUSH_SECONDS)

    def _exporter(self, name: str) -> SpanExporter:
        if name == "console":
            return ConsoleSpanExporter()
        return GrpcExporter() if self._protocol == "grpc" else HttpExporter()

    def start_span(
        self, name: str, kind: SpanKind, parent: Context | None, attributes: Attributes
    ) -> Span | None:
        """Returns a span that has begun; None outside of the block.

        One that is not sampled records nothing, and has ids all the same.

        Args:
            name: of the operation; never a caller's text.
            kind: SERVER or CLIENT.
            parent: see `parent_of`; None begins a trace.
            attributes: what is known at its start.
        """
        if self._tracer is None:
            return None
        # an empty context, and not the one of whoever runs here
        return self._tracer.start_span(name, parent or Context(), kind, attributes)


def _resource(service: str, version: str) -> Resource:
    """Returns what the variables say of the service, with our name and version where they give none."""
    found = Resource.create()
    given = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    own = {} if given else {"service.name": service}
    if version and "service.version" not in found.attributes:
        own["service.version"] = version
    return found.merge(Resource(own))


def parent_of(traceparent: str, tracestate: str = "") -> Context | None:
    """Returns the parent that a `traceparent` names; None if it names none (W3C Trace Context, 3.2)."""
    found = _W3C.extract({TRACEPARENT: traceparent, TRACESTATE: tracestate}, Context())
    return found or None


def pairs_of(span: Span) -> list[tuple[str, str]]:
    """Returns `traceparent`, and `tracestate` if there is one, of which a span is the parent."""
    own = span.get_span_context()
    traceparent = f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"
    if not own.trace_state:
        return [(TRACEPARENT, traceparent)]
    return [(TRACEPARENT, traceparent), (TRACESTATE, own.trace_state.to_header())]
