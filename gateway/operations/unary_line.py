"""The lines of JSON of the commonest exchange, a unary call that went well, made of pieces that are kept.

They are what `fields` and `json_line` would make, at a fifth of the cost; a test compares the two. All lines
of a batch are joined at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import orjson

from gateway.exchange.observer import RequestEnd
from gateway.exchange.request import Request
from gateway.exchange.unary_end import End, UnaryEnd, whole
from gateway.operations.access_record import json_line
from server_process.log_lines import MAX_TEXT, Times, milliseconds, trace_id

_KEPT: Final = 8192
"""Maximum entries of each cache."""
_NUMBERS: Final = 1000
"""Numbers from 0 on whose texts are kept."""
_TRACE: Final = '","trace_id":"'
_END: Final = ',"messages_in":1,"messages_out":1}\n'
_What: TypeAlias = tuple[str, str, str, str, str, int]
"""Route, method, HTTP method, HTTP version, wire of RPC and HTTP status: texts, which keep no contract."""


class UnaryLines:
    """Makes the lines of those exchanges in a batch that are unary calls which went well."""

    def __init__(
        self, put: Callable[[RequestEnd], None], put_lines: Callable[[bytes, int], None]
    ) -> None:
        """Takes what takes ends whose lines are made elsewhere, and lines in ASCII with their number."""
        self._put = put
        self._put_lines = put_lines
        self._times = Times()
        self._millisecond = -1
        self._start = ""
        """Of a line in this millisecond, up to the request id."""
        self._bytes_in = [_bytes_in(number) for number in range(_NUMBERS)]
        self._bytes_out = [_bytes_out(number) for number in range(_NUMBERS)]
        self._callers: dict[tuple[str, str], str] = {}
        self._whats: dict[_What, str] = {}

    def render(self, ends: list[End]) -> None:
        """Makes lines, and has others made, in the order of the ends."""
        pieces: list[str] = []
        count = 0
        request: Request | None = None
        status, what = 0, ""
        client, identity, caller = "", "", self._caller("", "")
        for end in ends:
            if not isinstance(end, UnaryEnd) or _is_odd(end):
                if count:
                    self._put_lines("".join(pieces).encode("ascii"), count)
                    pieces, count = [], 0
                self._put(whole(end))
                continue
            if end.request is not request or end.status != status:
                request, status = end.request, end.status
                what = self._what(end)
            if end.client != client or end.identity != identity:
                client, identity = end.client, end.identity
                caller = self._caller(client, identity)
            millisecond = int(end.time * 1000)
            if millisecond != self._millisecond:
                self._millisecond = millisecond
                self._start = f'{{"time":"{self._times.shown(end.time)}","request_id":"'
            took = milliseconds(end.seconds)
            bytes_in, bytes_out = end.bytes_in, end.bytes_out
            count += 1
            # one by one: a list of them would be made, copied and freed
            pieces.append(self._start)
            pieces.append(end.request_id)
            if end.traceparent and (trace := trace_id(end.traceparent)):
                pieces.append(_TRACE)
                pieces.append(trace)
            pieces.append(caller)
            pieces.append(what)
            pieces.append(took)
            pieces.append(self._bytes_in[bytes_in] if bytes_in < _NUMBERS else _bytes_in(bytes_in))
            pieces.append(
                self._bytes_out[bytes_out] if bytes_out < _NUMBERS else _bytes_out(bytes_out)
            )
            pieces.append(took)
            pieces.append(_END)
        if count:
            self._put_lines("".join(pieces).encode("ascii"), count)

    def _caller(self, client: str, identity: str) -> str:
        """Returns what stands between the ids and the HTTP method."""
        found = self._callers.get((client, identity))
        if found is None:
            if len(self._callers) >= _KEPT:
                self._callers.clear()
            found = self._callers[(client, identity)] = '",' + _who(client, identity)
        return found

    def _what(self, end: UnaryEnd) -> str:
        """Returns what stands between a caller and the duration."""
        request, binding = end.request, end.binding
        wire = "" if request.rpc is None else request.rpc.name
        which = binding.route, binding.method.path[1:]
        key = (*which, request.http_method, request.http_version, wire, end.status)
        found = self._whats.get(key)
        if found is None:
            if len(self._whats) >= _KEPT:
                self._whats.clear()
            found = self._whats[key] = _what(key) + '"duration_ms":'
        return found


def _is_odd(end: UnaryEnd) -> bool:
    """Returns whether a line has other fields, or an id with escapes; an id has no blanks or controls."""
    request_id = end.request_id
    has_escapes = not request_id.isalnum() and ('"' in request_id or "\\" in request_id)
    return has_escapes or not end.binding.route


def _bytes_in(number: int) -> str:
    return f',"bytes_in":{number},"bytes_out":'


def _bytes_out(number: int) -> str:
    return f'{number},"first_byte_ms":'


def _who(client: str, identity: str) -> str:
    """Returns the fields of a caller, with commas behind them."""
    found = {"client": client[:MAX_TEXT]} if client else {}
    return _inner(found | ({"identity": identity[:MAX_TEXT]} if identity else {}))


def _what(key: _What) -> str:
    """Returns the fields of a method that was answered well, with commas behind them."""
    route, rpc, http_method, http_version, wire, status = key
    return _inner(
        {
            "http_method": http_method[:MAX_TEXT],
            **({"http_version": http_version} if http_version else {}),
            "rpc": rpc[:MAX_TEXT],
            "route": route[:MAX_TEXT],
            "wire": wire or "unary",
            "status": status,
            "code": "OK",
            "ended_by": "server",
        }
    )


def _inner(found: Mapping[str, str | int]) -> str:
    if not found:
        return ""
    time = orjson.dumps({"time": ""}).decode().rstrip("}")
    line = json_line("", dict(found)).decode("ascii")
    return line.removeprefix(f"{time},").removesuffix("}\n") + ","
