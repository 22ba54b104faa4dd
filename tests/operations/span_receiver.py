"""A receiver of OTLP over HTTP on a free port, which keeps the spans that it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
ERROR = Status.STATUS_CODE_ERROR


@dataclass
class SpanReceiver:
    """What came.

    Attributes:
        url: where to send spans.
        spans: all of them, in the order in which they ended.
        resource: attributes of the last sender.
        headers: of the last request.
    """

    url: str
    spans: list[Any] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Keeps the spans of a request."""
        self.headers = headers
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = plain(each.resource.attributes)
            self.spans += [span for scope in each.scope_spans for span in scope.spans]

    def one(self, kind: int, name: str) -> Any:
        """Returns the only span of a kind and a name."""
        (found,) = [each for each in self.spans if (each.kind, each.name) == (kind, name)]
        return found


@contextmanager
def receiving(*, delay: threading.Event | None = None) -> Iterator[SpanReceiver]:
    """Receives spans within the block; with `delay`, no request is answered before that is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if delay is not None:
                delay.wait(30)
            if self.path == "/v1/traces":
                receiver.take(body, {k.lower(): v for k, v in self.headers.items()})
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver = SpanReceiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def plain(attributes: Any) -> dict[str, Any]:
    """Returns attributes as a dict of plain values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def events(span: Any) -> list[tuple[str, dict[str, Any]]]:
    """Returns the events of a span, each with its attributes."""
    return [(each.name, plain(each.attributes)) for each in span.events]
