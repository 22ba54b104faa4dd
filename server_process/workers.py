"""Worker processes: forks of the parent that serve, and are restarted when they end.

Rule: the parent has no threads and no event loop, so it can fork at any time. Only the parent holds the write
end of a pipe; when it closes, because the parent stops or has died, the workers drain. A SIGHUP to
the parent is passed on to all workers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Final, NamedTuple, TypeAlias

from server_process.reloads import has_terminal

_FORK: Final = get_context("fork")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_MIN_RESTART_SECONDS: Final = 1.0
"""Minimum seconds between two starts of the same worker, in case it always fails."""


class Parent:
    """A worker's connection to its parent.

    Attributes:
        number: Number of the worker, from 0.
    """

    def __init__(self, number: int, ready: Connection, alive: Connection) -> None:
        self.number = number
        self._ready = ready
        self._alive = alive

    def serving(self, stop: Callable[[], None]) -> None:
        """Reports that the worker serves; from now on the running loop calls `stop` when it should drain."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self._alive.fileno())
            stop()

        loop.add_reader(self._alive.fileno(), ended)
        self._ready.send(self.number)


Work: TypeAlias = Callable[[Parent], int]
"""The main function of a worker; runs until its parent stops it, and returns the exit status."""


class _Worker(NamedTuple):
    """One process, and its start time."""

    number: int
    process: ForkProcess
    started: float


class Workers:
    """Supervises the workers of a program."""

    def __init__(self, program: str, count: int, work: Work) -> None:
        self._log = logging.getLogger(program)
        self._count = count
        self._work = work
        self._running: dict[int, _Worker] = {}
        """Sentinel -> worker."""
        self._restarts: dict[int, float] = {}
        """Number of a worker that has ended -> time of its restart."""
        self._not_serving = set(range(count))
        """Numbers of workers that have never served."""
        self._stop_reader, self._stop_writer = os.pipe()
        self._hangup_reader, self._hangup_writer = os.pipe()
        self._serving_reader, self._ready = Pipe(duplex=False)
        self._alive, self._alive_writer = Pipe(duplex=False)

    def run(self, *, serving: Callable[[], None], stopping: Callable[[], None]) -> int:
        """Runs the workers until SIGINT or SIGTERM, then drains them; a second signal kills them.

        Args:
            serving: called once, when all workers serve.
            stopping: called before they drain; closes the listening sockets of this process.

        Returns:
            The exit status: 0, or that of a worker that ended before all had served.
        """
        parent = os.getpid()

        def on_signal(*_: object) -> None:
            if os.getpid() == parent:
                os.write(self._stop_writer, b".")

        watched = has_terminal()

        def on_hangup(*_: object) -> None:
            if os.getpid() == parent:
                is_closed = watched and not has_terminal()
                os.write(self._stop_writer if is_closed else self._hangup_writer, b".")

        for signum in _SIGNALS:
            signal.signal(signum, on_signal)
        signal.signal(signal.SIGHUP, on_hangup)
        self._start(0)  # alone, so that an error of all workers is printed once
        with self._alive_writer:
            status = self._supervise(serving)
            stopping()
        self._drain()
        return status

    def _supervise(self, serving: Callable[[], None]) -> int:
        while True:
            now = time.monotonic()
            for number in [number for number, due in self._restarts.items() if due <= now]:
                self._start(number)
            pause = min(self._restarts.values()) - time.monotonic() if self._restarts else None
            ready = wait(
                [self._stop_reader, self._hangup_reader, self._serving_reader, *self._running],
                pause and max(0.0, pause),
            )
            # checked again: a signal to the whole group may arrive after workers have stopped
            if wait([self._stop_reader], 0):
                os.read(self._stop_reader, 1)
                return 0
            if self._hangup_reader in ready:
                os.read(self._hangup_reader, 1)
                self._pass_on(signal.SIGHUP)
            while self._serving_reader.poll():
                self._on_serving(self._serving_reader.recv(), serving)
            for sentinel in self._running.keys() & set(ready):
                status = self._reap(sentinel)
                if self._not_serving:
                    return status

    def _pass_on(self, signum: signal.Signals) -> None:
        for worker in self._running.values():
            with suppress(ProcessLookupError):
                if worker.process.pid is not None:
                    os.kill(worker.process.pid, signum)

    def _on_serving(self, number: int, serving: Callable[[], None]) -> None:
        if number not in self._not_serving:
            return
        self._not_serving.remove(number)
        if number == 0:
            for other in range(1, self._count):
                self._start(other)
        if not self._not_serving:
            serving()

    def _start(self, number: int) -> None:
        self._restarts.pop(number, None)
        process = _FORK.Process(target=self._serve, args=(number,))
        process.start()
        self._running[process.sentinel] = _Worker(number, process, time.monotonic())

    def _serve(self, number: int) -> None:
        """Runs in the worker process."""
        for signum in (*_SIGNALS, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)  # the server installs its own handlers
        self._alive_writer.close()
        sys.exit(self._work(Parent(number, self._ready, self._alive)))

    def _reap(self, sentinel: int) -> int:
        """Logs the end of a worker, and schedules its restart; returns the exit status."""
        worker = self._running.pop(sentinel)
        worker.process.join()
        code = worker.process.exitcode or 0
        if not self._not_serving:
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
            self._log.error(
                "worker %d (process %d) has ended %s; another takes its place",
                *(worker.number, worker.process.pid, how),
            )
            self._restarts[worker.number] = worker.started + _MIN_RESTART_SECONDS
        return code if code > 0 else 1

    def _drain(self) -> None:
        while self._running:
            ready = wait([self._stop_reader, *self._running])
            for sentinel in self._running.keys() & set(ready):
                self._running.pop(sentinel).process.join()
            if self._stop_reader in ready:
                os.read(self._stop_reader, 1)
                for worker in self._running.values():
                    worker.process.kill()
