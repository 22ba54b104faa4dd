"""The access log: one line for each exchange when it ends, on every door and for every wire.

It is an observer of ends. The line of the commonest one is made in the event loop, for many at once, while
what it says is in the CPU's caches; a thread makes the other lines, and writes all (`LineWriter`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time
from typing import Final

from gateway.exchange.edge import Edge
from gateway.exchange.ends_observer import EndsObserver
from gateway.exchange.observer import RequestEnd
from gateway.exchange.unary_end import End, whole
from gateway.operations.access_record import fields, fitting, json_line, text_line
from gateway.operations.sampling import Sampling
from gateway.operations.unary_line import UnaryLines
from gateway.settings import Settings
from gateway.transcoding.status import OK
from server_process.line_writer import LineWriter
from server_process.log_lines import Times, is_text

_MINUTE: Final = 60.0


class AccessLog(EndsObserver):
    """The access log of one process."""

    def __init__(self, settings: Settings) -> None:
        """Makes a log that is not started, as the settings say."""
        path = settings.access_log_path
        self._line = text_line if is_text(settings.access_log, path) else json_line
        self._paths = settings.access_log_raw_path
        minutes = settings.access_log_progress_minutes
        self.progress_seconds = None if minutes is None else minutes * _MINUTE
        keeps_all = self._line is json_line and not settings.access_log_sample
        self._sampling = Sampling(settings.access_log_sample)
        self._time = Times().shown
        self.writer = LineWriter(self._render, self._render_loss, path)
        is_quick = keeps_all and not self._paths
        self._quick = UnaryLines(self.writer.put, self.writer.put_lines) if is_quick else None

    # In the event loop.

    @property
    def lost(self) -> int:
        """Lines that could not be written so far."""
        return self.writer.lost

    def take_ends(self, ends: list[End]) -> None:
        """Logs exchanges that have ended."""
        if self._quick is not None:
            self._quick.render(ends)
            return
        for end in ends:
            self.writer.put(whole(end))

    def exchange_continues(self, so_far: RequestEnd) -> None:
        """Logs how far a stream is."""
        self.writer.put(so_far)

    def head_rejected(self, end: RequestEnd) -> None:
        """Logs what was refused before it was a request."""
        self.writer.put(end)

    # In the thread of the writer.

    def _render(self, end: RequestEnd) -> bytes:
        found = fields(end, with_path=self._paths)
        if (
            end.is_over
            and end.code == OK
            and "gaps" not in found
            and not self._sampling.keep(
                end.http_status, found.get("rpc", ""), found.get("route", "")
            )
        ):
            return b""
        return fitting(self._line, self._time(end.time), found)

    def _render_loss(self, count: int) -> bytes:
        now = self._time(time())
        if self._line is text_line:
            return f"{now} lost={count} lines of the access log\n".encode()
        return json_line(now, {"event": "lost", "lines": count})


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
    made = AccessLog(settings)
    made.writer.start()
    edge.observe(made)
    try:
        yield made
    finally:
        edge.unobserve(made)
        await asyncio.get_running_loop().run_in_executor(None, made.writer.close)
