"""Where open tickets are kept: a port, and its implementation for the processes of one machine.

A ticket is used once because it can be taken out of its store once, whichever process takes it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import time
import weakref
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Final, Protocol, Self

from gateway.admission.error import AdmissionError

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the files in it are in a folder of this user alone
"""Linux has a file system in memory there."""
_SUFFIX: Final = ".ticket"
_SWEEP_SECONDS: Final = 10.0
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class StoreFull(Exception):
    """There is no room for another ticket; the text says of what there are too many."""


class TicketStore(Protocol):
    """Keeps open tickets; an async context manager while the edge runs."""

    async def put(self, key: str, value: bytes, *, expires_at: float, caller: str) -> None:
        """Keeps a ticket.

        Args:
            key: what it is taken by; 64 hexadecimal digits.
            value: what is kept.
            expires_at: Unix time from which it may be forgotten.
            caller: whose it is, for the limit of each.

        Raises:
            StoreFull: there are too many.
            StatusError: UNAVAILABLE, the store does not answer.
        """

    async def take(self, key: str) -> bytes | None:
        """Takes a ticket out and returns it: of all calls for one key, in all processes, one gets it.

        Raises:
            StatusError: UNAVAILABLE, the store does not answer, and perhaps the ticket is used up.
        """
        ...

    async def __aenter__(self) -> Self:
        """Opens it."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""


class OpenTickets:
    """Counts the tickets that one process has given and that have not expired, used or not."""

    def __init__(self, *, max_open: int, max_open_per_caller: int) -> None:
        """Takes the limits: of all, and of one caller."""
        self._max_open = max_open
        self._max_open_per_caller = max_open_per_caller
        self._given: deque[tuple[float, str, str]] = deque()
        """Expiry, key and caller."""
        self._by_caller: Counter[str] = Counter()

    def check(self, caller: str) -> None:
        """Checks that there is room for another one.

        Raises:
            StoreFull: there is not.
        """
        if len(self._given) >= self._max_open:
            raise StoreFull(f"more than {self._max_open} tickets are open")
        if self._by_caller[caller] >= self._max_open_per_caller:
            raise StoreFull(
                f"more than {self._max_open_per_caller} tickets of this caller are open"
            )

    def add(self, key: str, expires_at: float, caller: str) -> None:
        """Counts one."""
        self._given.append((expires_at, key, caller))
        self._by_caller[caller] += 1

    def expire(self, now: float) -> list[str]:
        """Forgets those that have expired; returns their keys."""
        expired: list[str] = []
        while self._given and self._given[0][0] <= now:
            _, key, caller = self._given.popleft()
            expired.append(key)
            self._by_caller[caller] -= 1
            if not self._by_caller[caller]:
                del self._by_caller[caller]
        return expired


class FolderStore:
    """Keeps each ticket in a file; who removes the file has taken it.

    A folder of its own, in memory where the system has such a place, is made before the workers are forked,
    so that they share it. It is removed when the process that made it ends. Reading and writing some hundred
    bytes in memory takes about as long as a turn of the event loop, so neither leaves it.
    """

    def __init__(self, folder: Path | None, *, max_open: int, max_open_per_caller: int) -> None:
        """Makes the folder.

        Args:
            folder: one that others use too; None: one of its own.
            max_open: tickets that this process has given and that have not expired.
            max_open_per_caller: the same for one caller.

        Raises:
            AdmissionError: the folder cannot be used, or others than its owner can read it.
        """
        self._open = OpenTickets(max_open=max_open, max_open_per_caller=max_open_per_caller)
        self._sweeping: asyncio.Task[None] | None = None
        self.folder = _own_folder(self) if folder is None else _shared_folder(folder)

    async def __aenter__(self) -> Self:
        """Starts to remove those that expire."""
        self._sweep_all()
        self._sweeping = asyncio.create_task(self._sweep_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops that; the files are left to the other workers."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping

    async def put(self, key: str, value: bytes, *, expires_at: float, caller: str) -> None:
        """See `TicketStore`."""
        self._sweep(time.time())
        self._open.check(caller)
        path = self._path(key)
        with os.fdopen(os.open(path, _NEW_FILE, 0o600), "wb") as file:
            file.write(value)
        os.utime(path, (expires_at, expires_at))  # for the sweep of another process
        self._open.add(key, expires_at, caller)

    async def take(self, key: str) -> bytes | None:
        """See `TicketStore`."""
        path = self._path(key)
        try:
            value = path.read_bytes()
            path.unlink()  # of several processes one succeeds
        except FileNotFoundError:
            return None
        return value

    def _path(self, key: str) -> Path:
        return self.folder / (key + _SUFFIX)

    def _sweep(self, now: float) -> None:
        """Forgets what this process has given and what has expired."""
        for key in self._open.expire(now):
            self._path(key).unlink(missing_ok=True)

    def _sweep_all(self) -> None:
        """Removes what has expired of whoever gave it: a worker that was killed has swept nothing."""
        now = time.time()
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.name.endswith(_SUFFIX) and entry.stat().st_mtime <= now:
                        os.unlink(entry.path)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._sweep(time.time())


def _own_folder(owner: object) -> Path:
    parent = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else Path(gettempdir())
    try:
        folder = mkdtemp(
            prefix=f"protoway-tickets-{os.getpid()}-", dir=parent
        )  # only its owner can look into it
    except OSError as error:
        raise AdmissionError(
            f"tickets_folder: no folder can be made in {parent}: {error.strerror}; set it to one"
        ) from error
    weakref.finalize(owner, _remove, folder, os.getpid())
    return Path(folder)


def _remove(folder: str, maker: int) -> None:
    """Removes a folder in the process that has made it; in a fork of it, nothing."""
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)


def _shared_folder(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise AdmissionError(f"tickets_folder: cannot use {folder}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise AdmissionError(f"tickets_folder: {folder} is no folder that can be written to")
    if found.st_mode & 0o077 or found.st_uid != os.geteuid():
        raise AdmissionError(
            f"tickets_folder: others can look into {folder}; give it to the user of the edge, mode 700"
        )
    return folder
