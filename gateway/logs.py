"""The format of all log lines of a process: `2026-11-30T09:56:34.123Z WARNING gateway: text`.

Time in UTC, level, package of the logger, text. A line that is about one request begins its text with the id
and the method of the request. The edge and the core do not import each other: each has this file, and a test
holds the two alike.
"""

from __future__ import annotations

import logging
import logging.config
import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")


class LineFormatter(logging.Formatter):
    """Formats a record as one line; a traceback follows it in lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Returns the line. Control characters in the text become spaces, so no text can forge a line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        package = record.name.partition(".")[0]
        text = _CONTROL.sub(" ", record.message).strip()
        return f"{time.removesuffix('+00:00')}Z {record.levelname} {package}: {text}"


def configure_logs(level: str, packages: Collection[str]) -> None:
    """Sends the log lines of this process, and of those that it forks, to stderr.

    Args:
        level: lowest level that is logged, in lower case.
        packages: those that log at this level. Other packages log warnings and errors at most: at lower
            levels they may print headers.
    """
    lowest = logging.getLevelName(level.upper())
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": LineFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": max(lowest, logging.WARNING)},
            "loggers": {package: {"level": lowest} for package in packages},
        }
    )
