"""TLS files that are read again when they change, without a restart; connections that are open go on.

A change counts when two looks have found the same, so that a certificate and its key that are replaced one
after the other are read together. Files that are wrong are logged as an error, and what was before stays.

Rule: whatever uses the files is made as a whole first, and then replaces the old one in one step.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar

from grpc_wire.certificate_dates import ends_of
from grpc_wire.credentials import CertificateError

log = logging.getLogger(__name__)

T = TypeVar("T")
_Stamp: TypeAlias = tuple[tuple[int, ...] | None, ...]
NEAR_SECONDS: Final = 14 * 86_400
"""Time before the end of a certificate from which each day has a line in the log."""
_DAY_SECONDS: Final = 86_400.0


class RenewedContext(ssl.SSLContext):
    """Stands for the context that a function returns when a connection is made.

    asyncio and uvloop, at both ends of a connection, ask a context for nothing but `wrap_bio`.
    """

    current: Callable[[], ssl.SSLContext]

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Makes it without settings of its own, which nobody would ask for."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, current: Callable[[], ssl.SSLContext]) -> None:
        super().__init__()
        self.current = current

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext.wrap_bio`."""
        return self.current().wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """See `ssl.SSLContext.wrap_socket`."""
        return self.current().wrap_socket(*args, **options)


class Renewed(Generic[T]):
    """What is made of some files, and made again when they change.

    Attributes:
        current: what was made last.
        names: of the files, as the log tells them.
    """

    def __init__(self, files: Mapping[str, Path | None], make: Callable[[], T]) -> None:
        """Makes it for the first time.

        Args:
            files: name of each, as the log and `ends` tell it -> its path; None: it is left out.
            make: reads the files. What it raises at first is raised here.
        """
        self._files = {name: path for name, path in files.items() if path is not None}
        self.names = ", ".join(self._files)
        self._make = make
        self._stamp = self._seen = self._look_at_files()
        self.current = make()
        self._told_at = float("-inf")
        self._problem = ""

    def look(self) -> bool:
        """Reads the files if they have changed and are at rest; returns whether that was done."""
        stamp = self._look_at_files()
        if stamp != self._seen:  # perhaps somebody still writes
            self._seen = stamp
            return False
        if stamp == self._stamp:
            return False
        try:
            self.read_again()
        except (OSError, ValueError, CertificateError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("%s: not read again, the old ones stay: %s", self.names, error)
            return False
        log.info("%s: read again, for new connections", self.names)
        return True

    def read_again(self) -> None:
        """Reads the files now, whether or not they have changed, for new connections.

        Raises:
            OSError: one cannot be read; the old ones stay.
            ValueError: one is wrong; the old ones stay.
            CertificateError: they cannot be used; the old ones stay.
        """
        stamp = self._look_at_files()
        made = self._make()
        self.current, self._problem = made, ""
        self._stamp = self._seen = stamp
        self._told_at = float("-inf")

    def ends(self) -> dict[str, float]:
        """Returns when the certificates of each file end, as POSIX time.

        Of a chain it is the one that ends first, of CAs the one that ends last. Files that have none, and
        those that cannot be read now, are left out.
        """
        found: dict[str, float] = {}
        for name, path in self._files.items():
            try:
                ends = ends_of(path.read_bytes())
            except (OSError, ValueError):
                continue
            if ends:
                found[name] = max(ends) if name.endswith("ca") else min(ends)
        return found

    def tell_ends(self) -> None:
        """Logs when certificates end: once, and each day when that is near or over."""
        now = time.time()
        if now - self._told_at < _DAY_SECONDS:
            return
        first, self._told_at = self._told_at == float("-inf"), now
        for name, end in self.ends().items():
            date = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            if end <= now:
                log.error("%s: the certificate has ended at %s", name, date)
            elif end - now < NEAR_SECONDS:
                log.warning("%s: the certificate ends at %s", name, date)
            elif first:
                log.info("%s: the certificate ends at %s", name, date)

    async def watch(self, interval: float) -> None:
        """Looks at the files at an interval, in seconds, until it is cancelled."""
        while True:
            self.tell_ends()
            await asyncio.sleep(interval)
            try:
                self.look()
            except Exception:
                log.exception("%s: cannot be read again", self.names)

    def _look_at_files(self) -> _Stamp:
        return tuple(_stamp(path) for path in self._files.values())


@asynccontextmanager
async def watching(renewed: Renewed[Any] | None, interval: float) -> AsyncIterator[None]:
    """Looks at the files while the block runs, at an interval in seconds; without files it does nothing."""
    if renewed is None:
        yield
        return
    task = asyncio.get_running_loop().create_task(renewed.watch(interval))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Returns what changes with a file, or with the links that lead to it; None: it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
