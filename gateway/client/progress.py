"""How far a call is, on stderr."""

from __future__ import annotations

import sys
import time
from typing import Final

from gateway.transcoding.metadata import Metadata, metadata_object

_INTERVAL: Final = 1.0
"""Seconds between two lines of a stream that goes on, on a terminal."""


class Progress:
    """Counts messages; its lines begin as all lines of the command do."""

    def __init__(self, *, verbose: bool) -> None:
        """Takes whether metadata are shown."""
        self._verbose = verbose
        self._started = self._last = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self.sent = 0
        self.received = 0

    def count(self, *, sent: int = 0, received: int = 0) -> None:
        """Counts messages."""
        self.sent += sent
        self.received += received
        now = time.monotonic()
        if self._terminal and now - self._last >= _INTERVAL:
            self._last = now
            self._say(self._counts())

    def metadata(self, kind: str, metadata: Metadata) -> None:
        """Shows initial or trailing metadata, if that was asked for."""
        if self._verbose and metadata:
            for key, value in metadata_object(metadata).items():
                self._say(f"{kind}: {key}: {value}")

    def end(self, code: str, message: str = "") -> None:
        """Says how the call ended."""
        text = f"{code}: {message}" if message else code
        self._say(f"{text} ({self._counts()}, {time.monotonic() - self._started:.2f} s)")

    def _counts(self) -> str:
        return f"sent {self.sent}, received {self.received}"

    @staticmethod
    def _say(text: str) -> None:
        print(f"protoway: {text}", file=sys.stderr, flush=True)
