"""What the access log says of one exchange: the fields of a line, from values of the contract and the edge.

Rule: no value of a header other than the ids, no query and no body. What a caller chooses (its request id,
and the raw path where a setting asks for it) is bounded, and cannot break a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import orjson

from gateway.exchange.observer import EndedBy, RequestEnd
from gateway.transcoding.status import (
    DEADLINE_EXCEEDED,
    OK,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    code_name,
)
from server_process.line_writer import CHUNK_BYTES
from server_process.log_lines import MAX_TEXT, escaped, trace_id

_WIRES: Final = {
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/json": "json",
    "application/json-seq": "json-seq",
}
"""Media type of a stream's framing -> its name in the log."""
_SHORT_TEXT: Final = 48
"""Maximum characters of a value of a line that would be too long."""
Line: TypeAlias = Callable[[str, dict[str, Any]], bytes]
"""(time, fields) -> the line."""


def fields(end: RequestEnd, *, with_path: bool = False) -> dict[str, Any]:
    """Returns the fields of a line, without the time; what has no value is left out.

    The raw path is one of them if it is asked for (`with_path`).
    """
    binding, tally = end.binding, end.counts
    found: dict[str, Any] = {"request_id": end.request_id[:MAX_TEXT]}
    if trace := trace_id(end.traceparent):
        found["trace_id"] = trace
    if end.client:
        found["client"] = end.client[:MAX_TEXT]
    if end.identity:
        found["identity"] = end.identity[:MAX_TEXT]
    http = {"http_method": end.http_method[:MAX_TEXT], "http_version": end.http_version}
    found |= {name: value for name, value in http.items() if value}
    route = tally.route if binding is None and tally is not None else ""
    if binding is not None:
        route, found["rpc"] = binding.route, binding.method.path[1:][:MAX_TEXT]
    if route:
        found["route"] = route[:MAX_TEXT]
    if with_path and end.path:
        found["path"] = end.path[:MAX_TEXT]
    if wire := wire_of(end):
        found["wire"] = wire
    if end.is_over:
        found |= {
            "status": end.http_status,
            "code": code_name(end.code),
            "ended_by": ended_by(end),
        }
    else:
        found["event"] = "progress"
    found["duration_ms"] = round(end.seconds * 1000, 3)
    found["bytes_in"], found["bytes_out"] = end.bytes_in, end.bytes_out
    _add_counts(end, found)
    return found


def _add_counts(end: RequestEnd, found: dict[str, Any]) -> None:
    tally = end.counts
    if tally is None:
        found["first_byte_ms"] = found["duration_ms"]  # a whole response is one write
        if end.binding is not None and not end.is_websocket:
            sent = end.code == OK
            found["messages_in"] = int(sent or end.by_upstream)
            found["messages_out"] = int(sent)
        return
    if tally.first_byte:
        found["first_byte_ms"] = round((tally.first_byte - tally.since) * 1000, 3)
    if end.binding is not None:
        found["messages_in"], found["messages_out"] = tally.messages_in, tally.messages_out
        if tally.gaps:
            found["gaps"], found["missed"] = tally.gaps, tally.missed


def wire_of(end: RequestEnd) -> str:
    """Returns how the messages travel: `unary`, `sse`, `websocket`, …; `page` for what is no method's."""
    if end.is_websocket or end.rpc_wire:
        return end.rpc_wire or "websocket"
    if end.binding is None:
        return "page" if end.counts is not None and end.counts.route else ""
    method = end.binding.method
    if not method.streams:
        return "unary"
    stream_type = method.stream_type
    if not stream_type.server:
        return "upload"
    media_type = "" if end.counts is None else end.counts.media_type
    return _WIRES.get(media_type, "raw" if media_type else "stream")


def ended_by(end: RequestEnd) -> str:
    """Returns who ended an exchange: client, server, deadline, shutdown, limit, policy or edge."""
    by, code = end.ended_by, end.code
    if by is EndedBy.CLIENT:
        return "client"
    if by is EndedBy.SHUTDOWN:
        return "shutdown"
    if code == DEADLINE_EXCEEDED:
        return "deadline"
    if by is EndedBy.UPSTREAM:
        return "server" if end.binding is not None else "edge"
    if code in (RESOURCE_EXHAUSTED, UNAVAILABLE):
        return "limit"
    return "policy" if code in (UNAUTHENTICATED, PERMISSION_DENIED) else "edge"


def fitting(line: Line, time: str, found: dict[str, Any]) -> bytes:
    """Returns a line that a pipe keeps together; values that are too long for it are cut."""
    made = line(time, found)
    if len(made) <= CHUNK_BYTES:
        return made
    short = {k: v[:_SHORT_TEXT] if isinstance(v, str) else v for k, v in found.items()}
    return line(time, short)


def json_line(time: str, found: dict[str, Any]) -> bytes:
    """Returns a line of JSON, in ASCII: no character of it can break a line or a terminal."""
    found = {"time": time, **found}
    try:
        line = orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a surrogate
        line = b"\xff"
    return line if line.isascii() and line.find(b"\x7f") < 0 else _ascii(found)


def _ascii(found: dict[str, Any]) -> bytes:
    return json.dumps(found, separators=(",", ":")).replace("\x7f", "\\u007f").encode() + b"\n"


def text_line(time: str, found: dict[str, Any]) -> bytes:
    """Returns a line of text: client, identity, request, result, wire, counts, ids; `-` for what is not."""

    def shown(name: str) -> str:
        return escaped(str(found.get(name, ""))) or "-"

    parts = [time, shown("client"), shown("identity"), shown("http_method")]
    parts += [shown("path" if "path" in found else "route")]
    if "event" in found:
        parts.append("progress")
    else:
        parts += [shown("status"), shown("code"), f"by={found['ended_by']}"]
    version = f"HTTP/{found['http_version']}" if "http_version" in found else "-"
    parts += [f"{found['duration_ms']}ms", version, shown("wire"), shown("rpc")]
    for way in ("in", "out"):
        messages = f"{found[f'messages_{way}']}/" if f"messages_{way}" in found else ""
        parts.append(f"{way}={messages}{found[f'bytes_{way}']}B")
    if "gaps" in found:
        parts.append(f"gaps={found['gaps']} missed={found['missed']}")
    parts.append(f"id={shown('request_id')}")
    if "trace_id" in found:
        parts.append(f"trace={found['trace_id']}")
    return (" ".join(parts) + "\n").encode("ascii")
