"""The format of all log lines of a process: `2026-11-30T09:56:34.123Z WARNING gateway: text`, or JSON.

Time in UTC, level, package of the logger, text. A line that is about one request begins its text with the id
and the method of the request; in JSON these are fields.
"""

from __future__ import annotations

import json
import logging
import logging.config
import re
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from server_process.stderr_handler import StderrHandler

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
_OF_REQUEST: Final = re.compile(r"request (\S+) (\S+) (\S+): ")
"""What a text begins with that is about one request."""


class LogConfigError(Exception):
    """The file of `log_config` cannot be obeyed. The text is one line."""


class LineFormatter(logging.Formatter):
    """Formats a record as one line; a traceback follows it in lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Returns the line. Control characters in the text become spaces, so no text can forge a line."""
        package = record.name.partition(".")[0]
        return f"{_time(record)} {record.levelname} {package}: {_text(record.message)}"


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object in one line of ASCII, a traceback as its field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        text = _text(record.getMessage())
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
        }
        if match := _OF_REQUEST.match(text):
            line |= {"request_id": match[1], "http_method": match[2], "path": match[3]}
            text = text[match.end() :]
        line["message"] = text
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line).replace("\x7f", "\\u007f")


def _time(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return f"{time.removesuffix('+00:00')}Z"


def _text(message: str) -> str:
    return _CONTROL.sub(" ", message).strip()


def configure_logs(
    level: str, packages: Collection[str], form: str = "text", config: Path | None = None
) -> None:
    """Sends the log lines of this process, and of those that it forks, to stderr.

    Args:
        level: lowest level that is logged, in lower case.
        packages: those that log at this level. Other packages log warnings and errors at most: at lower
            levels they may print headers.
        form: `text` or `json`.
        config: JSON or YAML file for `logging.config.dictConfig`, which then decides alone.

    Raises:
        LogConfigError: the file cannot be read, or is none.
    """
    if config is not None:
        _configure_by(config)
        return
    lowest = logging.getLevelName(level.upper())
    formatter = JsonFormatter if form == "json" else LineFormatter
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": formatter}},
            "handlers": {"stderr": {"()": StderrHandler, "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": max(lowest, logging.WARNING)},
            "loggers": {package: {"level": lowest} for package in packages},
        }
    )


def _configure_by(file: Path) -> None:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            config = json.loads(text)
        else:
            import yaml  # noqa: PLC0415 - few use it

            config = yaml.safe_load(text)
        if not isinstance(config, dict):
            raise TypeError("it is no mapping")
        logging.config.dictConfig({"disable_existing_loggers": False, **config})
    except Exception as error:  # of reading, of either parser, and of each factory that it names
        reason = _text(f"{error}: {error.__cause__}" if error.__cause__ else str(error))
        raise LogConfigError(f"log_config: {file}: {reason}") from error
