"""A file of secrets or keys that is read again when it changes.

Rule: a file that is wrong never replaces one that was right.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Final, Self

from gateway.admission.error import AdmissionError
from gateway.setting_files import reading

log = logging.getLogger(__name__)

_RECENT_SECONDS: Final = 5.0
"""A file that was changed so recently may be changed again without another time stamp, so it is read."""


class WatchedFile:
    """Reads a file at the start, and looks in intervals whether it has changed.

    As a block, it watches while the block runs.

    Attributes:
        setting: that names the file.
    """

    def __init__(
        self,
        path: Path,
        take: Callable[[bytes], None],
        *,
        setting: str,
        max_bytes: int,
        interval: float,
    ) -> None:
        """Reads the file.

        Args:
            path: of the file; a link is followed each time.
            take: takes the content; it raises ValueError, with a text that has no secrets, if that is wrong.
            setting: that names the file, for errors.
            max_bytes: maximum size of the file.
            interval: between two looks, in seconds.

        Raises:
            AdmissionError: the content is wrong, or too large.
            FileReadError: it cannot be read; it is an OSError.
        """
        self.setting = setting
        self._path = path
        self._take = take
        self._max_bytes = max_bytes
        self._interval = interval
        self._stamp: tuple[int, ...] = ()
        self._content: bytes | None = None
        self._problem = ""
        self._watching: asyncio.Task[None] | None = None
        self.read_again()

    def read_again(self) -> None:
        """Reads the file now, whether or not it has changed.

        Raises:
            AdmissionError: the content is wrong, or too large; what was before stays in force.
            FileReadError: it cannot be read; it is an OSError.
        """
        with reading():
            content = self._read()
        try:
            self._accept(content)
        except ValueError as error:
            self._problem = str(error)
            raise AdmissionError(f"{self.setting}: {self._path}: {error}") from error
        self._problem = ""

    def _read(self) -> bytes:
        with self._path.open("rb") as file:
            self._stamp = _stamp(os.fstat(file.fileno()))
            return file.read(self._max_bytes + 1)

    def _accept(self, content: bytes) -> None:
        self._content = content
        if len(content) > self._max_bytes:
            raise ValueError(f"is larger than {self._max_bytes} bytes")
        self._take(content)

    def look(self) -> None:
        """Reads the file if it has changed; what is wrong with it is logged once."""
        try:
            stamp = _stamp(self._path.stat())
            if stamp == self._stamp and time() - stamp[0] / 1e9 > _RECENT_SECONDS:
                return
            content = self._read()
            if content == self._content and not self._problem:
                return
            self._accept(content)
        except (OSError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) and error.strerror else error
            if str(problem) != self._problem:
                self._problem = str(problem)
                log.error(
                    "%s: %s: %s; what it had before stays in force",
                    *(self.setting, self._path, problem),
                )
            return
        self._problem = ""
        log.info("%s: %s has changed and was read again", self.setting, self._path)

    async def __aenter__(self) -> Self:
        """Begins to watch."""
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends it."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                self.look()
            except Exception:
                log.exception("%s: %s cannot be read again", self.setting, self._path)


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev)
