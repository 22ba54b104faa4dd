"""The access log: one line for each exchange when it ends, on every door and for every wire.

The event loop notes a few values of the exchange (`Record`); a thread makes lines of them and writes them
(`LineWriter`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic, time
from typing import Any, Final

from gateway.contract.route_table import RouteMatch
from gateway.exchange.edge import Edge
from gateway.exchange.exchange import Exchange
from gateway.exchange.serve import outcome
from gateway.exchange.tally import Tally
from gateway.operations.access_record import (
    Record,
    counts_of,
    fields,
    fitting,
    json_line,
    text_line,
)
from gateway.operations.sampling import Sampling
from gateway.operations.unary_line import unary_line
from gateway.settings import Settings
from gateway.transcoding.status import OK
from server_process.line_writer import LineWriter
from server_process.log_lines import MAX_TEXT, Times, is_text

log = logging.getLogger(__name__)

_TRACEPARENT: Final = "traceparent"
_MINUTE: Final = 60.0


class AccessLog:
    """The journal of one process."""

    def __init__(self, edge: Edge, settings: Settings) -> None:
        """Makes a log that is not started, as the settings say."""
        path = settings.access_log_path
        self._line = text_line if is_text(settings.access_log, path) else json_line
        self._paths = settings.access_log_raw_path
        minutes = settings.access_log_progress_minutes
        self._interval = None if minutes is None else minutes * _MINUTE
        self._keeps_all = self._line is json_line and not settings.access_log_sample
        self._sampling = Sampling(settings.access_log_sample)
        self._trace_key = edge.metadata.request.get(_TRACEPARENT.encode())
        self._time = Times().shown
        self.writer = LineWriter(self._render, self._render_loss, path)

    # In the event loop.

    @property
    def lost(self) -> int:
        """See `Journal`."""
        return self.writer.lost

    def opened(self, exchange: Exchange, since: float) -> Tally:
        """See `Journal`."""
        tally = Tally(since)
        if self._interval is not None:
            self._follow(exchange, tally, self._interval)
        return tally

    def ended(self, exchange: Exchange, since: float) -> None:
        """See `Journal`."""
        try:
            tally = exchange.tally
            if tally is not None and tally.timer is not None:
                tally.timer.cancel()
            self.writer.put(self._noted(exchange, since))
        except Exception:  # of a user's identity, say
            log.exception("an exchange cannot be noted in the access log")

    def rejected(self, http_status: int, code: int, request_id: str, client: str) -> None:
        """See `Journal`."""
        who = (request_id, "", client, "", "", None)
        how = (http_status, code, None, 0, 0, None, False, False, "")
        self.writer.put((time(), 0.0, *who, *how))

    def _noted(self, exchange: Exchange, since: float) -> tuple[Any, ...]:
        """Returns the values of a `Record`."""
        request, info, failure = exchange.request, exchange.info, exchange.failure
        route = request.route
        code, ended_by = outcome(exchange)
        traceparent: object = ""
        if self._trace_key is not None:
            for key, value in exchange.metadata:
                if key == self._trace_key:
                    traceparent = value
                    break
        else:
            traceparent = b"".join(exchange.headers.values(b"traceparent")[:1]).decode("latin-1")
        client, identity = exchange.client, ""
        if info is not None:
            client = info.client
            if info.identity is not None:
                identity = _name(info.identity)
        return (
            time(),
            monotonic() - since,
            exchange.request_id,
            traceparent if isinstance(traceparent, str) else "",
            client,
            identity,
            request.http_method,
            route.target.binding if isinstance(route, RouteMatch) else None,
            exchange.status,
            code,
            ended_by,
            exchange.bytes_in,
            exchange.bytes_out,
            exchange.tally,
            exchange.websocket is not None,
            failure is not None and failure.by_upstream,
            request.path[:MAX_TEXT] if self._paths else "",
        )

    def _follow(self, exchange: Exchange, tally: Tally, interval: float) -> None:
        """Notes how far a stream is, each time that an interval has passed."""
        loop = asyncio.get_running_loop()

        def note() -> None:
            self.writer.put((*self._noted(exchange, tally.since), counts_of(tally)))
            tally.timer = loop.call_later(interval, note)

        tally.timer = loop.call_later(interval, note)

    # In the thread of the writer.

    def _render(self, noted: tuple[Any, ...]) -> bytes:
        if self._keeps_all and (line := unary_line(self._time(noted[0]), noted)) is not None:
            return line
        record = Record._make((*noted, None) if len(noted) < len(Record._fields) else noted)
        found = fields(record)
        if (
            record.progress is None
            and record.code == OK
            and "gaps" not in found
            and not self._sampling.keep(
                record.http_status, found.get("rpc", ""), found.get("route", "")
            )
        ):
            return b""
        return fitting(self._line, self._time(record.time), found)

    def _render_loss(self, count: int) -> bytes:
        now = self._time(time())
        if self._line is text_line:
            return f"{now} lost={count} lines of the access log\n".encode()
        return json_line(now, {"event": "lost", "lines": count})


def _name(identity: object) -> str:
    """Returns the name of an identity; that of a user's own kind may have none."""
    name = getattr(identity, "name", "")
    return name[:MAX_TEXT] if isinstance(name, str) else ""


@asynccontextmanager
async def access_log(
    edge: Edge, settings: Settings, *, is_served: bool
) -> AsyncIterator[AccessLog | None]:
    """Logs what an edge answers within the block, if the settings say so.

    Args:
        edge: whose exchanges are logged.
        settings: of the access log.
        is_served: whether a server of ours serves it; another server has a log of its own, so there `auto`
            is `off`.

    Raises:
        OSError: the file cannot be opened.
    """
    if settings.access_log == "off" or (settings.access_log == "auto" and not is_served):
        yield None
        return
    made = AccessLog(edge, settings)
    made.writer.start()
    edge.journal = made
    try:
        yield made
    finally:
        edge.journal = None
        await asyncio.get_running_loop().run_in_executor(None, made.writer.close)
