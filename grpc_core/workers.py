"""Worker processes: forks of this one that serve, and another one in the place of each that ends.

Rule: the parent has no thread and no loop, so that it can fork at any time; and workers live by a pipe of
which it alone holds the other end. When that closes they drain, be it that the parent was told to stop or
that it is no more. The edge and the core do not import each other: each has this file, and a test holds
the two alike.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Final, NamedTuple, TypeAlias

_FORK: Final = get_context("fork")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_APART: Final = 1.0
"""Seconds that are at least between two starts in one place, so that one that always fails does not spin."""


class Parent:
    """What a worker has of its parent.

    Attributes:
        place: Which of the workers it is, from 0.
    """

    def __init__(self, place: int, ready: Connection, alive: Connection) -> None:
        self.place = place
        self._ready = ready
        self._alive = alive

    def serving(self, stop: Callable[[], None]) -> None:
        """Says that the worker serves; from now on the running loop calls `stop` when it is to end."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self._alive.fileno())
            stop()

        loop.add_reader(self._alive.fileno(), ended)
        self._ready.send(self.place)


Work: TypeAlias = Callable[[Parent], int]
"""What a worker does, until signals or its parent tell it to stop; its exit status is returned."""


class _Worker(NamedTuple):
    """One process, and since when it runs."""

    place: int
    process: ForkProcess
    started: float


class Workers:
    """The workers of a program, seen from their parent."""

    def __init__(self, program: str, count: int, work: Work) -> None:
        self._log = logging.getLogger(program)
        self._count = count
        self._work = work
        self._running: dict[int, _Worker] = {}
        """By what becomes readable when they end."""
        self._due: dict[int, float] = {}
        """Places that are empty, and when they are filled again."""
        self._silent = set(range(count))
        """Places of which none has served yet."""
        self._told, self._tell = os.pipe()
        self._served, self._ready = Pipe(duplex=False)
        self._alive, self._life = Pipe(duplex=False)

    def run(self, *, serving: Callable[[], None], stopping: Callable[[], None]) -> int:
        """Keeps the workers until SIGINT or SIGTERM; then they drain, unless a second one ends them.

        Args:
            serving: is called once, when all serve.
            stopping: is called before they drain, and closes what this process listens on.

        Returns:
            The exit status: 0, or that of a worker that ended before all had served once.
        """
        parent = os.getpid()

        def told(*_: object) -> None:
            if os.getpid() == parent:
                os.write(self._tell, b".")

        for number in _SIGNALS:
            signal.signal(number, told)
        self._start(0)  # alone, so that what is wrong with all is said once
        with self._life:
            status = self._keep(serving)
            stopping()
        self._drain()
        return status

    def _keep(self, serving: Callable[[], None]) -> int:
        while True:
            now = time.monotonic()
            for place in [place for place, due in self._due.items() if due <= now]:
                self._start(place)
            pause = min(self._due.values()) - time.monotonic() if self._due else None
            happened = wait([self._told, self._served, *self._running], pause and max(0.0, pause))
            # asked anew: that one stops all may be seen behind those who stopped
            if wait([self._told], 0):
                os.read(self._told, 1)
                return 0
            while self._served.poll():
                self._serves(self._served.recv(), serving)
            for ended in self._running.keys() & set(happened):
                status = self._bury(ended)
                if self._silent:
                    return status

    def _serves(self, place: int, serving: Callable[[], None]) -> None:
        if place not in self._silent:
            return
        self._silent.remove(place)
        if place == 0:
            for other in range(1, self._count):
                self._start(other)
        if not self._silent:
            serving()

    def _start(self, place: int) -> None:
        self._due.pop(place, None)
        process = _FORK.Process(target=self._serve, args=(place,))
        process.start()
        self._running[process.sentinel] = _Worker(place, process, time.monotonic())

    def _serve(self, place: int) -> None:
        """Is the worker."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # what it serves with says what they mean
        self._life.close()
        sys.exit(self._work(Parent(place, self._ready, self._alive)))

    def _bury(self, sentinel: int) -> int:
        """Says what a worker has ended with, and has its place filled again; returns the exit status."""
        worker = self._running.pop(sentinel)
        worker.process.join()
        code = worker.process.exitcode or 0
        if not self._silent:
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
            self._log.error(
                "worker %d (process %d) has ended %s; another takes its place",
                *(worker.place, worker.process.pid, how),
            )
            self._due[worker.place] = worker.started + _APART
        return code if code > 0 else 1

    def _drain(self) -> None:
        while self._running:
            happened = wait([self._told, *self._running])
            for ended in self._running.keys() & set(happened):
                self._running.pop(ended).process.join()
            if self._told in happened:
                os.read(self._told, 1)
                for worker in self._running.values():
                    worker.process.kill()
