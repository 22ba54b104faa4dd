"""What the access log says of one exchange: the fields of a line, from values of the contract and the edge.

Rule: no value of a header other than the ids, no query and no body. What a caller chooses (its request id,
and the raw path where a setting asks for it) is bounded, and cannot break a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from gateway.contract.http_rule import Binding
from gateway.exchange.policy import EndedBy
from gateway.exchange.tally import Tally
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


class Record(NamedTuple):
    """What the event loop notes of an exchange; it is a plain tuple there, which costs it least."""

    time: float
    """Unix time of the end."""
    seconds: float
    request_id: str
    traceparent: str
    client: str
    identity: str
    http_method: str
    binding: Binding | None
    http_status: int
    code: int
    ended_by: EndedBy | None
    """None: it was refused before it was a request."""
    bytes_in: int
    bytes_out: int
    tally: Tally | None
    """A stream's or a page's."""
    is_websocket: bool
    by_upstream: bool
    """Whether its error is that of the call."""
    path: str
    """The raw one; empty unless it is asked for."""
    progress: tuple[int, int, int, int, float] | None = None
    """Messages both ways, gaps, missed messages and first byte of a stream that goes on."""


def fields(record: Record) -> dict[str, Any]:
    """Returns the fields of a line, without the time; what has no value is left out."""
    binding, tally = record.binding, record.tally
    found: dict[str, Any] = {"request_id": record.request_id[:MAX_TEXT]}
    if trace := trace_id(record.traceparent):
        found["trace_id"] = trace
    if record.client:
        found["client"] = record.client[:MAX_TEXT]
    if record.identity:
        found["identity"] = record.identity[:MAX_TEXT]
    if record.http_method:
        found["http_method"] = record.http_method[:MAX_TEXT]
    route = tally.route if binding is None and tally is not None else ""
    if binding is not None:
        route, found["rpc"] = names(binding)
    if route:
        found["route"] = route[:MAX_TEXT]
    if record.path:
        found["path"] = record.path[:MAX_TEXT]
    if wire := wire_of(record):
        found["wire"] = wire
    if record.progress is None:
        found |= {
            "status": record.http_status,
            "code": code_name(record.code),
            "ended_by": ended_by(record),
        }
    else:
        found["event"] = "progress"
    found["duration_ms"] = round(record.seconds * 1000, 3)
    found["bytes_in"], found["bytes_out"] = record.bytes_in, record.bytes_out
    _add_counts(record, found)
    return found


@lru_cache(maxsize=8192)
def names(binding: Binding) -> tuple[str, str]:
    """Returns path template and method of a binding."""
    return str(binding.template)[:MAX_TEXT], binding.method.path[1:][:MAX_TEXT]


def _add_counts(record: Record, found: dict[str, Any]) -> None:
    tally, progress = record.tally, record.progress
    if tally is None:
        found["first_byte_ms"] = found["duration_ms"]  # a whole response is one write
        if record.binding is not None and not record.is_websocket:
            sent = record.code == OK
            found["messages_in"] = int(sent or record.by_upstream)
            found["messages_out"] = int(sent)
        return
    if progress is None:
        progress = counts_of(tally)
    messages_in, messages_out, gaps, missed, first_byte = progress
    if first_byte:
        found["first_byte_ms"] = round((first_byte - tally.since) * 1000, 3)
    if record.binding is not None:
        found["messages_in"], found["messages_out"] = messages_in, messages_out
        if gaps:
            found["gaps"], found["missed"] = gaps, missed


def counts_of(tally: Tally) -> tuple[int, int, int, int, float]:
    """Returns messages both ways, gaps, missed messages and the time of the first byte."""
    return tally.messages_in, tally.messages_out, tally.gaps, tally.missed, tally.first_byte


def wire_of(record: Record) -> str:
    """Returns how the messages travel: `unary`, `sse`, `websocket`, …; `page` for what is no method's."""
    if record.is_websocket:
        return "websocket"
    if record.binding is None:
        return "page" if record.tally is not None and record.tally.route else ""
    stream_type = record.binding.method.stream_type
    if not stream_type.streams:
        return "unary"
    if not stream_type.server:
        return "upload"
    media_type = "" if record.tally is None else record.tally.media_type
    return _WIRES.get(media_type, "raw" if media_type else "stream")


def ended_by(record: Record) -> str:
    """Returns who ended an exchange: client, server, deadline, shutdown, limit, policy or edge."""
    by, code = record.ended_by, record.code
    if by is EndedBy.CLIENT:
        return "client"
    if by is EndedBy.SHUTDOWN:
        return "shutdown"
    if code == DEADLINE_EXCEEDED:
        return "deadline"
    if by is EndedBy.UPSTREAM:
        return "server" if record.binding is not None else "edge"
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
    return line if line.isascii() and b"\x7f" not in line else _ascii(found)


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
    parts += [f"{found['duration_ms']}ms", shown("wire"), shown("rpc")]
    for way in ("in", "out"):
        messages = f"{found[f'messages_{way}']}/" if f"messages_{way}" in found else ""
        parts.append(f"{way}={messages}{found[f'bytes_{way}']}B")
    if "gaps" in found:
        parts.append(f"gaps={found['gaps']} missed={found['missed']}")
    parts.append(f"id={shown('request_id')}")
    if "trace_id" in found:
        parts.append(f"trace={found['trace_id']}")
    return (" ".join(parts) + "\n").encode("ascii")
