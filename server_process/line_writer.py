"""Writes lines from a thread, so that the event loop never waits for whoever reads them.

The loop puts records, or lines that it has made, into a bounded queue. The thread gathers them for a moment,
makes lines of records, and writes whole lines: to a pipe at most `PIPE_BUF` bytes at once, which the system
keeps together, so the lines of several workers do not mix. To a file it writes all that has gathered, and
joins nothing: each write hands the interpreter to the loop and back, which costs as much as several lines.
What the queue cannot hold, and what cannot be written, is counted, and told in a later line.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple

log = logging.getLogger(__name__)

MAX_RECORDS: Final = 8192
"""Maximum records and lines that wait; a record takes about 1 KB."""
CHUNK_BYTES: Final = 4096
"""Bytes that are written to a pipe at once, and of the longest line: `PIPE_BUF` of Linux (pipe(7))."""
_FILE_CHUNK_BYTES: Final = 1024 * 1024
"""Bytes that are written at once to what is no pipe, socket or terminal."""
_MAX_PARTS: Final = 1024
"""Maximum parts of one write: `IOV_MAX` of Linux (writev(2))."""
_GATHER_SECONDS: Final = 0.05
"""Time that the thread lets records gather, so that the loop wakes it at most 20 times a second."""
_POLL_MILLISECONDS: Final = 100
"""Interval at which a thread whose reader is slow looks whether it should end."""
_CLOSE_SECONDS: Final = 1.0
"""Maximum time that `close` waits for a slow reader."""
_STDOUT: Final = 1


class _Lines(NamedTuple):
    """Lines that are made already."""

    data: bytes
    number: int


class LineWriter:
    """A thread, its queue, and the file that it writes to."""

    def __init__(
        self,
        render: Callable[[Any], bytes],
        render_loss: Callable[[int], bytes],
        path: Path | None = None,
        *,
        max_records: int = MAX_RECORDS,
    ) -> None:
        """Makes a writer that is not started.

        Args:
            render: makes the line of a record, with its line break; empty: none is written. It is called in
                the thread.
            render_loss: makes the line that tells how many lines were lost.
            path: of a file that is appended to; None: standard output.
            max_records: that wait.
        """
        self._render = render
        self._render_loss = render_loss
        self._path = path
        self._max_records = max_records
        self._queue: deque[Any] = deque()
        self._put = 0
        """Records and lines that were put into the queue; only the loop counts them."""
        self._taken = 0
        """Those that were taken out of it; only the thread counts them."""
        self._overflowed = 0
        """Records that the queue could not hold; only the loop counts them."""
        self._failed = 0
        """Lines that could not be written; only the thread counts them."""
        self._told = 0
        """Losses that a line has told."""
        self._signalled = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._close_by = 0.0
        self._fd = -1
        self._is_file = False
        """Whether a write neither waits for a reader nor mixes with those of other processes."""
        self._moves: tuple[int, int] | None = None
        """Device and inode of the file that is open, if it is one that may be moved away."""
        self._poll = select.poll()
        self._warned = False
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)

    @property
    def lost(self) -> int:
        """Lines that were lost so far."""
        return self._overflowed + self._failed

    def start(self) -> None:
        """Opens the file, and starts the thread.

        Raises:
            OSError: the file cannot be opened.
        """
        self._open()
        self._thread.start()

    def put(self, record: Any) -> None:
        """Takes a record, or counts it as lost; called in the event loop."""
        self._enqueue(record, 1)

    def put_lines(self, data: bytes, number: int) -> None:
        """Takes so many lines, with their line breaks, or counts them as lost; called in the event loop."""
        self._enqueue(_Lines(data, number), number)

    def _enqueue(self, item: Any, count: int) -> None:
        if self._put - self._taken + count > self._max_records:
            self._overflowed += count
            return
        self._put += count
        self._queue.append(item)
        if not self._signalled:
            self._signalled = True
            self._wake.set()

    def close(self) -> None:
        """Writes what waits, for at most a second, and ends the thread."""
        self._close_by = monotonic() + _CLOSE_SECONDS
        self._closing.set()
        self._wake.set()
        self._thread.join(_CLOSE_SECONDS + _POLL_MILLISECONDS / 1000)
        if not self._thread.is_alive():
            self._shut()

    # In the thread.

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._closing.wait(_GATHER_SECONDS)
            self._wake.clear()
            self._signalled = False  # before the queue is read: who puts later wakes again
            self._drain()
            if self._closing.is_set() and not self._queue:
                return

    def _drain(self) -> None:
        queue = self._queue
        lines: list[bytes] = []
        size = 0
        limit = _FILE_CHUNK_BYTES if self._is_file else CHUNK_BYTES
        self._reopen_moved()
        while queue:
            item = queue.popleft()
            if isinstance(item, _Lines):
                data, count = item
            else:
                data, count = self._rendered(item), 1
            self._taken += count
            if size + len(data) > limit:
                self._write(lines)
                lines, size = [], 0
            if data:
                if len(lines) >= _MAX_PARTS:
                    lines = [b"".join(lines)]
                lines.append(data)
                size += len(data)
        self._write(lines)

    def _rendered(self, record: Any) -> bytes:
        """Returns the line of a record; empty if there is none, or it cannot be made."""
        try:
            return self._render(record)
        except Exception:
            self._failed += 1
            log.exception("a line of the access log cannot be made")
            return b""

    def _write(self, lines: list[bytes]) -> None:
        """Writes lines as one, behind one that tells what was lost before them."""
        lost = self.lost
        if lost > self._told and self._write_all([self._render_loss(lost - self._told)]):
            self._told = lost
        if self._is_file:
            if lines and not self._write_all(lines):
                self._failed += sum(line.count(b"\n") for line in lines)
            return
        data = b"".join(lines)
        while data:
            part = _first_lines(data)
            if not self._write_all([part]):
                self._failed += data.count(b"\n")
                return
            data = data[len(part) :]

    def _write_all(self, lines: list[bytes]) -> bool:
        """Writes lines at once; returns whether they were written."""
        try:
            if self._fd < 0:
                self._open()
            while lines:
                if not (self._is_file or self._wait_until_writable()):
                    return False
                written = os.writev(self._fd, lines)
                left = sum(map(len, lines)) - written
                lines = [b"".join(lines)[-left:]] if left else []
        except OSError as error:
            self._warn(error)
            self._shut()
            return False
        self._warned = False
        return True

    def _wait_until_writable(self) -> bool:
        while not self._poll.poll(_POLL_MILLISECONDS):
            if self._closing.is_set() and monotonic() >= self._close_by:
                return False
        return True

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            where = "standard output" if self._path is None else self._path
            log.warning("the access log cannot be written to %s: %s", where, error.strerror)

    # The file.

    def _open(self) -> None:
        if self._path is None:
            self._fd = _STDOUT
        else:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._fd = os.open(self._path, flags, 0o640)
        opened = os.fstat(self._fd)
        self._is_file = _is_file(self._fd, opened.st_mode)
        is_ours = self._path is not None and stat.S_ISREG(opened.st_mode)
        self._moves = (opened.st_dev, opened.st_ino) if is_ours else None
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)

    def _shut(self) -> None:
        if self._path is not None and self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _reopen_moved(self) -> None:
        """Opens the file anew if somebody has moved it away, as logrotate does."""
        if self._path is None or self._moves is None or self._fd < 0:
            return
        try:
            there = os.stat(self._path)
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != self._moves:
            self._shut()


def _first_lines(data: bytes) -> bytes:
    """Returns the first lines, at most as many as a pipe keeps together; a longer one stands alone."""
    if len(data) <= CHUNK_BYTES:
        return data
    end = data.rfind(b"\n", 0, CHUNK_BYTES)
    return data[: (end if end >= 0 else data.index(b"\n")) + 1]


def _is_file(fd: int, mode: int) -> bool:
    """Returns whether no reader can hold up who writes: it is a file, or a device such as the null device."""
    return stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(fd))
