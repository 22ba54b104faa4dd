"""Serves `/metrics` over HTTP/1.1 (RFC 9112), on an address of its own; each connection is one request.

It is off unless `metrics_port` is set. Each worker accepts on it, and asks the others for what they counted.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Final

from grpc_core.address import listen_tcp
from grpc_core.metrics import ABSENT, SERIES, Metrics
from grpc_core.settings import Settings
from server_process.exposition import Snapshot, render
from server_process.worker_mail import WorkerMail

_MAX_HEAD_BYTES: Final = 16 * 1024
_SECONDS: Final = 10.0
"""Maximum duration of a connection."""
_CONNECTIONS: Final = 32
"""Maximum connections of one process; more are closed."""
_PATH: Final = "/metrics"
_METRICS: Final = "metrics"
"""The question to other workers."""


class MetricsAddress:
    """Where metrics are served, made before workers are forked.

    Attributes:
        sockets: Listening ones, of all workers.
        mail: Between the workers; None if there are none.
    """

    def __init__(self, sockets: Sequence[socket.socket], workers: int) -> None:
        """Takes listening sockets, and the number of workers."""
        self.sockets = sockets
        self.mail = WorkerMail(workers) if workers > 1 else None


@contextmanager
def metrics_address(settings: Settings) -> Iterator[MetricsAddress | None]:
    """Listens where metrics are served; the block gets None if they are not.

    Raises:
        ListenError: The address is in use, not permitted, or not local.
    """
    if settings.metrics_port is None:
        yield None
        return
    with listen_tcp(settings.metrics_host, settings.metrics_port) as sockets:
        yield MetricsAddress(sockets, settings.workers)


class MetricsListener:
    """Serves the metrics of all workers, while the core serves."""

    def __init__(
        self,
        metrics: Metrics,
        sockets: Sequence[socket.socket],
        mail: WorkerMail | None = None,
        number: int = 0,
    ) -> None:
        """Takes what is told, and where.

        Args:
            metrics: Of this process.
            sockets: Listening ones, which are closed in the end.
            mail: To the other workers; None if there are none.
            number: Of this worker.
        """
        self._metrics = metrics
        self._sockets = sockets
        self._mail = mail
        self._number = number
        self._servers: list[asyncio.Server] = []
        self._open = 0

    async def start(self) -> None:
        """Starts to measure, and to accept."""
        self._metrics.loop_delay.start()
        if self._mail is not None:
            self._mail.answer(self._number, {_METRICS: self._metrics.snapshot})
        for each in self._sockets:
            server = await asyncio.start_server(self._serve, sock=each, limit=_MAX_HEAD_BYTES)
            self._servers.append(server)

    def close(self) -> None:
        """Accepts no more, and answers no other worker."""
        self._metrics.loop_delay.stop()
        if self._mail is not None:
            self._mail.stop(self._number)
        for server in self._servers:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _CONNECTIONS:
                with suppress(TimeoutError, OSError, asyncio.IncompleteReadError):
                    async with asyncio.timeout(_SECONDS):
                        writer.write(await self._answer(reader))
                        await writer.drain()
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        """Reads a head, and returns the response."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.LimitOverrunError:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        line, *fields = head.split("\r\n")
        method, _, rest = line.partition(" ")
        target, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            return _response(HTTPStatus.BAD_REQUEST)
        if target.partition("?")[0] != _PATH:
            return _response(HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, allow="allow: GET, HEAD\r\n")
        accept = ",".join(
            field.partition(":")[2] for field in fields if field.lower().startswith("accept:")
        )
        # in a thread, so that calls go on meanwhile
        body, media_type = await asyncio.to_thread(render, SERIES, await self.snapshots(), accept)
        return _response(HTTPStatus.OK, body, media_type, without_body=method == "HEAD")

    async def snapshots(self) -> dict[str, Snapshot]:
        """Returns what each worker has counted; of one that does not answer, that it does not."""
        own = self._metrics.snapshot()
        if self._mail is None:
            return {"0": own}
        others = await self._mail.ask_others(self._number, _METRICS)
        found = {number: snapshot or ABSENT for number, snapshot in others.items()}
        found[self._number] = own
        return {str(number): found[number] for number in sorted(found)}


def _response(
    status: HTTPStatus,
    body: bytes = b"",
    media_type: str = "text/plain",
    allow: str = "",
    *,
    without_body: bool = False,
) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {media_type}\r\n"
        f"content-length: {len(body)}\r\n{allow}connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if without_body else body)
