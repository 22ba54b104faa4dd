"""Writes log lines to stderr without waiting for who reads them.

The event loop logs, so a pipe that nobody reads would hold all requests up. What its reader does not take
within `_PATIENCE_SECONDS` is lost, and the next line that can be written tells so.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import stat
from time import monotonic
from typing import Final

_STDERR: Final = 2
_CHUNK_BYTES: Final = 4096
"""Bytes that a pipe takes at once if it takes any: `PIPE_BUF` of Linux (pipe(7))."""
_PATIENCE_SECONDS: Final = 0.02
"""Time that a reader has to make room. One that did not is not waited for until it has."""

log = logging.getLogger(__name__)


class StderrHandler(logging.Handler):
    """Writes each record as it comes, without a thread, so that processes may be forked.

    Attributes:
        lost: lines that were lost and that no line has told yet.
    """

    def __init__(self, fd: int = _STDERR) -> None:
        """Takes the descriptor to write to."""
        super().__init__()
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._is_stalled = False
        self._rest = b""
        """Rest of a line whose beginning was written."""
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, or counts it as lost."""
        try:
            data = _line(self.format(record))
        except Exception:
            self.handleError(record)
            return
        self.flush()
        if not self._rest:
            if self.lost:
                data = self._loss() + data
            rest = self._write(data)
            if len(rest) < len(data):
                self.lost, self._rest = 0, rest
                return
        self.lost += 1

    def flush(self) -> None:
        """Writes the rest of a line, if its reader has made room."""
        self._rest = self._write(self._rest)

    def _loss(self) -> bytes:
        text = "%d log lines before this one could not be written"
        told = log.makeRecord(log.name, logging.WARNING, "", 0, text, (self.lost,), None)
        return _line(self.format(told))

    def _write(self, data: bytes) -> bytes:
        """Writes what the reader takes in time; returns what is left."""
        deadline = monotonic() + _PATIENCE_SECONDS
        while data:
            seconds = 0.0 if self._is_stalled else max(0.0, deadline - monotonic())
            if not self._poll.poll(seconds * 1000):
                self._is_stalled = True
                break
            self._is_stalled = False
            try:
                data = data[self._send(data[:_CHUNK_BYTES]) :]
            except OSError:  # a disk that is full, a reader that has gone
                break
        return data

    def _send(self, chunk: bytes) -> int:
        if not stat.S_ISSOCK(os.fstat(self._fd).st_mode):
            return os.write(self._fd, chunk)
        with socket.socket(
            fileno=os.dup(self._fd)
        ) as stderr:  # it takes less than a pipe, or waits
            return stderr.send(chunk, socket.MSG_DONTWAIT)


def _line(text: str) -> bytes:
    return f"{text}\n".encode(errors="backslashreplace")
