"""The spans of the edge: one for each request, and one for each call to the upstream.

A request's span begins in a policy, the first one, which makes it the parent of what goes upstream, and ends
in an observer. A call's span stands below it, and the server sees that as its parent. Streams have events,
and no span for each message. No query, no body and no value of a header but the host is in any span.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

from opentelemetry.trace import Span, SpanKind, StatusCode

from gateway.contract.method import Method
from gateway.exchange.observer import Observer, RequestEnd
from gateway.exchange.request_info import RequestInfo, Wire
from gateway.operations.access_record import ended_by
from gateway.operations.calls import OTHER, CountedRequests, MeteredCall, code_of
from gateway.operations.requests import METHODS
from gateway.settings import Settings
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import CANCELLED, HTTP_STATUS, OK, code_name
from gateway.upstream.around import AroundUpstream
from gateway.upstream.port import Call, Outcome, RequestMessages, Response, Upstream
from server_process.log_lines import is_sampled
from server_process.otel import TRACEPARENT, TRACESTATE, Attributes, Tracing, pairs_of, parent_of

_OURS: Final = frozenset({TRACEPARENT, TRACESTATE})
_FIRST_REFUSAL: Final = 400
_FIRST_FAULT: Final = 500
_FAULTS: Final = frozenset(code for code, status in HTTP_STATUS.items() if status >= _FIRST_FAULT)
"""Codes with which a response that had begun has failed by a fault of a server, as HTTP has them."""
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?")
_MAX_HOST: Final = 255


class RequestSpans(Observer):
    """The spans of requests: a policy that refuses nobody, and an observer.

    Health checks have none. The trace of a caller goes on if `traceparent` is one of `request_headers`.

    Attributes:
        tracing: makes the spans, as long as it is entered.
    """

    def __init__(self, tracing: Tracing, settings: Settings) -> None:
        self.tracing = tracing
        self._silent = settings.health_paths()
        names = {name.lower() for name in settings.request_headers}
        self._trusts_callers = TRACEPARENT in names
        self._open: dict[RequestInfo, Span] = {}

    def of_calls(self, inner: Upstream) -> TracedUpstream:
        """Returns an upstream whose calls have spans too."""
        return TracedUpstream(inner, self.tracing)

    def admit(self, request: RequestInfo) -> None:
        """Begins the span of a request, and makes it the parent of what goes upstream."""
        if request.path in self._silent:
            return
        method = _known(request.http_method)
        attributes: dict[str, str | int] = {"http.request.method": method}
        name = "HTTP" if method == OTHER else method
        if request.binding is not None and request.binding.route:
            attributes["http.route"] = route = request.binding.route
            name = f"{name} {route}"
        span = self.tracing.start_span(name, SpanKind.SERVER, self._parent(request), attributes)
        if span is None:
            return
        self._open[request] = span
        request.metadata += pairs_of(span)
        request.removed_metadata |= _OURS

    def _parent(self, request: RequestInfo) -> Any:
        if not self._trusts_callers:
            return None
        traceparent = request.header(b"traceparent")
        if traceparent is None:
            return None
        tracestate = b",".join(request.header_values(b"tracestate"))
        return parent_of(traceparent.decode("latin-1"), tracestate.decode("latin-1"))

    def response_started(self, request: RequestInfo, http_status: int) -> None:
        """Tells of the begin of a stream."""
        del http_status
        span = self._open.get(request)
        if span is None or not span.is_recording() or not _streams(request):
            return
        span.add_event("stream.begin")
        if request.last_event_id or request.header(b"last-event-id") is not None:
            span.add_event("stream.resume")

    def messages_dropped(self, request: RequestInfo, count: int) -> None:
        """Tells of a gap, and how many messages are missing, as far as anybody knows."""
        span = self._open.get(request)
        if span is not None and span.is_recording():
            span.add_event("stream.gap", {"protoway.missed": count} if count else None)

    def request_ended(self, request: RequestInfo, end: RequestEnd) -> None:
        """Ends the span."""
        span = self._open.pop(request, None)
        if span is None:
            return
        if span.is_recording():
            _describe(span, request, end)
        span.end()


def _known(http_method: str) -> str:
    return http_method if http_method in METHODS else OTHER


def _streams(request: RequestInfo) -> bool:
    method = request.method
    return method is not None and (request.wire is Wire.WEBSOCKET or method.streams)


def _describe(span: Span, request: RequestInfo, end: RequestEnd) -> None:
    """Adds what is known when a request has ended; proxies in front have been heard by then."""
    attributes: dict[str, str | int] = {"url.scheme": request.scheme}
    if end.client:
        attributes["client.address"] = end.client
    attributes |= _server(request.host)
    if end.http_status:
        attributes["http.response.status_code"] = end.http_status
    counts = end.counts
    if end.binding is None and counts is not None and counts.route:  # a page of the application
        attributes["http.route"] = counts.route
        span.update_name(f"{_known(request.http_method)} {counts.route}")
    if _streams(request):
        told: dict[str, str | int] = {"protoway.ended_by": ended_by(end)}
        if counts is not None:
            told["protoway.messages_in"] = counts.messages_in
            told["protoway.messages_out"] = counts.messages_out
        span.add_event("stream.end", told)
    if end.http_status >= _FIRST_FAULT:
        attributes["error.type"] = str(end.http_status)
        span.set_status(StatusCode.ERROR)
    elif end.code in _FAULTS and end.http_status < _FIRST_REFUSAL:
        attributes["error.type"] = code_name(end.code)  # of a response that had begun
        span.set_status(StatusCode.ERROR)
    span.set_attributes(attributes)


def _server(host: str) -> dict[str, str | int]:
    """Returns the attributes of the host of a URL."""
    found = _HOST.fullmatch(host[:_MAX_HOST])
    if found is None or not found[1]:
        return {}
    port: dict[str, str | int] = {"server.port": int(found[2])} if found[2] else {}
    return {"server.address": found[1]} | port


class TracedUpstream(AroundUpstream):
    """An upstream whose calls have spans: those for a request that has one which is sampled.

    A stream that readers share is a call of the first one's trace.
    """

    def __init__(self, inner: Upstream, tracing: Tracing) -> None:
        """Takes what carries the calls, and what makes the spans."""
        super().__init__(inner)
        self._tracing = tracing

    def open(
        self,
        method: Method,
        requests: RequestMessages,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        span, metadata = self._begin(method, metadata)
        if span is None:
            return self.inner.open(method, requests, metadata=metadata, timeout=timeout)
        call = CallSpan(span)
        if not isinstance(requests, bytes):
            requests = CountedRequests(requests, call)
        block = self.inner.open(method, requests, metadata=metadata, timeout=timeout)
        return MeteredCall(block, call, method, isinstance(requests, bytes))

    def start_unary(
        self,
        method: Method,
        request: bytes,
        on_outcome: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Starts a unary call; see `gateway.upstream.port.Upstream`."""
        span, metadata = self._begin(method, metadata)
        if span is None:
            return self.inner.start_unary(
                method, request, on_outcome, metadata=metadata, timeout=timeout
            )
        call = CallSpan(span)
        cancel = self.inner.start_unary(
            method, request, partial(call.take, on_outcome), metadata=metadata, timeout=timeout
        )
        return partial(call.cancel, cancel)

    def _begin(self, method: Method, metadata: Metadata) -> tuple[Span | None, Metadata]:
        """Begins the span of a call; returns it, and the metadata that name it as the parent."""
        found = {key: str(value) for key, value in metadata if key in _OURS}
        traceparent = found.get(TRACEPARENT, "")
        if not is_sampled(traceparent):  # nobody keeps the trace, and its parent is there already
            return None, metadata
        parent = parent_of(traceparent, found.get(TRACESTATE, ""))
        if parent is None:
            return None, metadata
        attributes: Attributes = {
            "rpc.system": "grpc",
            "rpc.service": method.service_name,
            "rpc.method": method.descriptor.name,
        }
        span = self._tracing.start_span(method.path[1:], SpanKind.CLIENT, parent, attributes)
        if span is None:
            return None, metadata
        others = [pair for pair in metadata if pair[0] not in _OURS]
        return span, (*others, *pairs_of(span))


class CallSpan:
    """The span of one call; it takes the place of a method's counts."""

    __slots__ = ("_is_over", "_span", "received", "sent", "started")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._is_over = False
        self.started = self.sent = self.received = 0

    def take(self, on_outcome: Callable[[Outcome], None], outcome: Outcome) -> None:
        """Ends the span with the outcome of a unary call, and tells it."""
        self.end(OK if isinstance(outcome, Response) else code_of(outcome), 0.0)
        on_outcome(outcome)

    def cancel(self, cancel: Callable[[], object]) -> None:
        """Cancels a call, and ends its span, unless it has ended."""
        cancel()
        self.end(CANCELLED, 0.0)

    def end(self, code: int, since: float) -> None:
        """Ends the span with a status code, once."""
        del since
        if self._is_over:
            return
        self._is_over = True
        span = self._span
        if span.is_recording():
            span.set_attribute("rpc.grpc.status_code", int(code))
            if code != OK:
                span.set_attribute("error.type", code_name(code))
                span.set_status(StatusCode.ERROR)
        span.end()
