"""The spans of the core's calls, below that of whoever called; it needs the extra `otel`.

A stream has one event for its end, with what it carried, and no span for each message.
"""

from __future__ import annotations

from typing import Any, Final

import grpc
from opentelemetry.trace import Span, SpanKind, StatusCode

from server_process.otel import TRACEPARENT, TRACESTATE, Attributes, Tracing, parent_of

_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_FAULTS: Final = frozenset(
    code.value[0]
    for code in (
        *(grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED),
        *(grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL),
        *(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS),
    )
)
"""Codes that are errors of a server, by OpenTelemetry's conventions for gRPC."""


class MethodSpans:
    """The spans of the calls of one method."""

    def __init__(self, tracing: Tracing, service: str, name: str, *, streams: bool) -> None:
        """Takes the names of service and method, and whether a side streams."""
        self._tracing = tracing
        self._name = f"{service}/{name}"
        self._streams = streams
        self._attributes: Attributes = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": name,
        }

    def start(self, context: Any) -> Span | None:
        """Begins the span of a call; None: no span is made now."""
        found = {
            key: str(value)
            for key, value in context.invocation_metadata() or ()
            if key in (TRACEPARENT, TRACESTATE)
        }
        parent = parent_of(found.get(TRACEPARENT, ""), found.get(TRACESTATE, ""))
        return self._tracing.start_span(self._name, SpanKind.SERVER, parent, self._attributes)

    def end(self, span: Span, code: int, received: int, sent: int) -> None:
        """Ends it with a status code, and the messages that came and went."""
        if span.is_recording():
            if self._streams:
                counts = {"protoway.messages_in": received, "protoway.messages_out": sent}
                span.add_event("stream.end", counts)
            span.set_attribute("rpc.grpc.status_code", code)
            if code in _FAULTS:
                span.set_attribute("error.type", _NAMES[code])
                span.set_status(StatusCode.ERROR)
        span.end()
