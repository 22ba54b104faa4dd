"""The access log of the core: one line for each call when it ends, in the form of the edge's.

The event loop notes a few values of the call; a thread makes lines of them and writes them. What no service
takes, and what the transport refuses, is no call here.

Rule: no message, and no metadata but the ids of request and trace.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from time import monotonic, time
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import grpc

from grpc_core.callers import names_of
from grpc_core.settings import Settings
from server_process.line_writer import LineWriter
from server_process.log_lines import MAX_TEXT, Times, escaped, is_text, trace_id

_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_KEPT: Final = 4096
"""Maximum entries of each cache."""
_AT_DEADLINE: Final = 0.02
"""Seconds before the deadline from which on a cancellation stands for it: the client's own timer, which
cancels, began earlier than ours by the time that the call took to come here."""
_CANCELLED: Final = 1
_DEADLINE_EXCEEDED: Final = 4
_UNAVAILABLE: Final = 14


class _Ended(NamedTuple):
    """What is noted of a call; it is a plain tuple, which costs the event loop least."""

    time: float
    seconds: float
    request_id: str
    traceparent: str
    peer: str
    identity: str
    rpc: str
    code: int
    ended_by: str
    messages_in: int
    messages_out: int


class AccessLog:
    """The log of one process.

    Attributes:
        stopping: whether the server stops; who is cut then was cut by that.
    """

    def __init__(self, settings: Settings) -> None:
        """Makes a log that is not started, as the settings say."""
        self._is_text = is_text(settings.access_log, settings.access_log_path)
        self._has_names = settings.tls_client_ca is not None
        self._times = Times()
        self.stopping = False
        self.writer = LineWriter(self._render, self._render_loss, settings.access_log_path)

    def lost(self) -> int:
        """Returns how many lines were lost so far."""
        return self.writer.lost

    def ended(self, rpc: str, context: Any, code: int, since: float, sent: tuple[int, int]) -> None:
        """Notes the end of a call, which began at a monotonic time; called in the event loop.

        Args:
            rpc: `package.Service/Method`.
            context: of the call.
            code: number of the status code.
            since: when it began.
            sent: messages of the client, and of the server.
        """
        request_id = traceparent = ""
        for key, value in context.invocation_metadata() or ():
            if key == "x-request-id":
                request_id = str(value)[:MAX_TEXT]
            elif key == "traceparent":
                traceparent = str(value)[:MAX_TEXT]
        by = "server"
        if code == _CANCELLED:
            left = context.time_remaining()
            if self.stopping:
                by, code = "shutdown", _UNAVAILABLE
            elif left is not None and left <= _AT_DEADLINE:
                by, code = "deadline", _DEADLINE_EXCEEDED
            else:
                by = "client"
        elif self.stopping and code == _UNAVAILABLE:
            by = "shutdown"
        identity = ""
        if self._has_names:
            identity = min(names_of(context.auth_context()), default="")
        who = request_id, traceparent, context.peer(), identity
        self.writer.put((time(), monotonic() - since, *who, rpc, code, by, *sent))

    # In the thread of the writer.

    def _render(self, noted: tuple[Any, ...]) -> bytes:
        call = _Ended._make(noted)
        line = _text_line if self._is_text else _json_line
        return line(self._times.shown(call.time), call)

    def _render_loss(self, count: int) -> bytes:
        now = self._times.shown(time())
        if self._is_text:
            return f"{now} lost={count} lines of the access log\n".encode()
        return f'{{"time":"{now}","event":"lost","lines":{count}}}\n'.encode()


def client_of(peer: str) -> str:
    """Returns the address of a peer as gRPC names it, without its port: `ipv4:192.0.2.7:4711`."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]")[:MAX_TEXT]


def _json_line(shown: str, call: _Ended) -> bytes:
    ids = f'"request_id":{_quoted(call.request_id)},' if call.request_id else ""
    if call.traceparent and (trace := trace_id(call.traceparent)):
        ids += f'"trace_id":"{trace}",'
    return (
        f'{{"time":"{shown}",{ids}{_who(call.peer, call.identity)}'
        f"{_what(call.rpc, call.code, call.ended_by)}"
        f'"duration_ms":{call.seconds * 1000:.3f},'
        f'"messages_in":{call.messages_in},"messages_out":{call.messages_out}}}\n'
    ).encode("ascii")


@lru_cache(maxsize=_KEPT)
def _who(peer: str, identity: str) -> str:
    """Returns the fields of a caller, with commas behind them."""
    client = client_of(peer)
    found = f'"client":{_quoted(client)},' if client else ""
    return found + (f'"identity":{_quoted(identity[:MAX_TEXT])},' if identity else "")


@lru_cache(maxsize=_KEPT)
def _what(rpc: str, code: int, ended_by: str) -> str:
    """Returns the fields of a method and its result, with commas behind them."""
    return f'"rpc":"{rpc}","wire":"grpc","code":"{_CODES[code]}","ended_by":"{ended_by}",'


def _quoted(text: str) -> str:
    """Returns a JSON string in ASCII, without control characters."""
    if text.isascii() and text.isalnum():
        return f'"{text}"'
    return json.dumps(text).replace("\x7f", "\\u007f")


def _text_line(shown: str, call: _Ended) -> bytes:
    """Returns a line of text: client, identity, method, result, counts, ids; `-` for what is not there."""
    who = (client_of(call.peer), call.identity[:MAX_TEXT])
    trace = trace_id(call.traceparent)
    parts = [
        shown,
        *(escaped(each) or "-" for each in who),
        call.rpc,
        _CODES[call.code],
        f"by={call.ended_by}",
        f"{call.seconds * 1000:.3f}ms",
        "grpc",
        f"in={call.messages_in}",
        f"out={call.messages_out}",
        f"id={escaped(call.request_id) or '-'}",
        *((f"trace={trace}",) if trace else ()),
    ]
    return (" ".join(parts) + "\n").encode("ascii")


@asynccontextmanager
async def writing(log: AccessLog | None) -> AsyncIterator[None]:
    """Writes lines while the block runs, and what is left behind it; None: no lines.

    Raises:
        OSError: The file cannot be opened.
    """
    if log is None:
        yield
        return
    log.writer.start()
    try:
        yield
    finally:
        await asyncio.get_running_loop().run_in_executor(None, log.writer.close)
