"""The admin listener: an address of its own for those who watch the edge, served by our HTTP/1.1 door.

It is off unless `admin_port` is set. Each worker accepts on it, and asks the others for what they counted.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.doors.accepting import Acceptor
from gateway.doors.http.contract_door import ContractDoor
from gateway.listening import listen_for_admin
from gateway.operations.admin_door import AdminDoor
from gateway.operations.admin_pages import AdminPages, Reload
from gateway.operations.metrics import Metrics
from gateway.operations.readiness import Readiness, every_health_route
from gateway.operations.series import SERIES
from gateway.operations.status import Status
from gateway.operations.status_report import Told
from gateway.settings import Settings
from server_process.exposition import Snapshot, render
from server_process.worker_mail import WorkerMail

_METRICS: Final = "metrics"
_STATUS: Final = "status"
"""The questions to other workers."""
_ABSENT: Final[Snapshot] = {"protoway_worker_up": [((), 0)]}
"""Of a worker that does not answer."""


class Admin:
    """The admin listener of a server and of its workers; nothing where the settings have none.

    Attributes:
        sockets: the listening sockets of each worker; empty before `open`, or where there is no listener.
    """

    def __init__(
        self, metrics: Metrics | None, settings: Settings, readiness: Readiness, reload: Reload
    ) -> None:
        """Takes what is told, and what reads the contract again.

        Args:
            metrics: what the application counts.
            settings: those that it was made with.
            readiness: of the application.
            reload: reads the contract again.
        """
        self._metrics = metrics
        self._reload = reload
        self._readiness = readiness
        self._settings = settings
        self._mail: WorkerMail | None = None
        self._listener: AdminListener | None = None
        self.sockets: list[list[socket.socket]] = []

    @property
    def shown(self) -> list[socket.socket]:
        """The sockets that a start line names."""
        return self.sockets[0] if self.sockets else []

    def open(self, sockets: list[list[socket.socket]]) -> None:
        """Listens, unless these sockets do already.

        Raises:
            ListenError: the address is taken, or is none of this machine.
        """
        if self._metrics is not None:
            self.sockets = sockets or listen_for_admin(self._settings)

    def share(self, workers: int) -> None:
        """Prepares for so many workers, before the first is forked."""
        if self._metrics is not None:
            self._mail = WorkerMail(workers)

    def start(self, acceptor: Acceptor, direct: ContractDoor | None, number: int) -> None:
        """Serves, in the running loop of the process or the worker with this number."""
        if self._metrics is None:
            return
        self._metrics.acceptor, self._metrics.direct = acceptor, direct
        if self.sockets:
            sockets = self.sockets[number]
            status = Status(self._metrics, self._settings, self._readiness)
            health = every_health_route(self._readiness, self._settings)
            self._listener = AdminListener(
                self._metrics, status, self._reload, health, sockets, self._mail, number
            )
            self._listener.start()

    def close(self) -> None:
        """Serves no more; called when the edge has drained."""
        if self._listener is not None:
            self._listener.close()


class AdminListener:
    """Serves the metrics of all workers, while the edge serves."""

    def __init__(
        self,
        metrics: Metrics,
        status: Status,
        reload: Reload,
        health: Sequence[Route],
        sockets: Sequence[socket.socket],
        mail: WorkerMail | None = None,
        number: int = 0,
    ) -> None:
        """Takes what is told, and where.

        Args:
            metrics: of this process.
            status: of this process, for the pages beside the metrics.
            reload: reads the contract again.
            health: routes of probes.
            sockets: listening ones, which are closed in the end.
            mail: to the other workers; None if there are none.
            number: of this worker.
        """
        self._metrics = metrics
        self._mail = mail
        self._number = number
        self._status = status
        pages = AdminPages(status, self._statuses, reload)
        metrics_route = Route("/metrics", self._serve, methods=["GET"])
        self._door = AdminDoor([metrics_route, *pages.routes(), *health], sockets)

    def start(self) -> None:
        """Starts to measure, and to accept."""
        self._metrics.loop_delay.start()
        if self._mail is not None:
            answers = {_METRICS: self._metrics.snapshot, _STATUS: self._status.tell}
            self._mail.answer(self._number, answers)
        self._door.start()

    def close(self) -> None:
        """Closes the connections, and answers no other worker."""
        self._metrics.loop_delay.stop()
        if self._mail is not None:
            self._mail.stop(self._number)
        self._door.close()

    async def _serve(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        snapshots = await self.snapshots()
        # in a thread: with many routes the text takes tens of milliseconds
        body, media_type = await asyncio.to_thread(render, SERIES, snapshots, accept)
        return Response(body, headers={"content-type": media_type})

    async def snapshots(self) -> dict[str, Snapshot]:
        """Returns what each worker has counted; of one that does not answer, that it does not."""
        told = await self._all(_METRICS, self._metrics.snapshot())
        return {number: snapshot or _ABSENT for number, snapshot in told.items()}

    async def _statuses(self) -> dict[str, Told | None]:
        return await self._all(_STATUS, self._status.tell())

    async def _all(self, question: str, own: Any) -> dict[str, Any]:
        """Returns what each worker answers, by its number; None of one that does not."""
        told = {} if self._mail is None else await self._mail.ask_others(self._number, question)
        told[self._number] = own
        return {str(number): told[number] for number in sorted(told)}
