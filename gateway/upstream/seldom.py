"""Lines of a log that may come with every call, and say no more than the first of them did."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable


class Seldom(logging.Filter):
    """Lets a line pass if none of its format has passed for some seconds; it tells how many were left out."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._passed: dict[str, tuple[float, int]] = {}
        """When the last line of a format has passed, and how many came since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether a line passes."""
        line, now = str(record.msg), self._clock()
        last, left_out = self._passed.get(line, (now - self._seconds, 0))
        if now - last < self._seconds:
            self._passed[line] = last, left_out + 1
            return False
        self._passed[line] = now, 0
        if left_out:
            record.msg = f"{record.getMessage()} (and {left_out} times more since the last)"
            record.args = ()
        return True
