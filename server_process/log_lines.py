"""What lines of an access log are made of: the time, ids of traces, and texts that cannot break a line."""

from __future__ import annotations

import os
import re
from binascii import hexlify, unhexlify
from pathlib import Path
from time import gmtime, strftime
from typing import Final, Literal, TypeAlias

AccessLogForm: TypeAlias = Literal["auto", "text", "json", "off"]
MAX_TEXT: Final = 256
"""Maximum characters of a value."""
_STDOUT: Final = 1
_HUNDREDTHS: Final[list[str]] = [f".{number:02d}" for number in range(100)]
_NUMBERS: Final[list[str]] = [str(number) for number in range(100)]
"""Few texts, which stay in the CPU's caches: a third digit would make ten times as many."""
_TRACEPARENT_SIZE: Final = 55
_hexlify: Final = hexlify
"""Compiled code finds it without a look into the module, as the next."""
_unhexlify: Final = unhexlify
_NO_TRACE: Final = "0" * 32
_SAMPLED: Final = frozenset("13579bdf")
"""Last digits of flags whose lowest bit is set (W3C Trace Context, section 3.2.2.5)."""
_UNSAFE: Final = re.compile(r"[^\x21-\x7e]|[\"\\]")
"""What does not stand in a value of a line of text."""


def is_text(form: AccessLogForm, path: Path | None) -> bool:
    """Returns whether lines are text and not JSON; `auto` is text on a terminal."""
    return form == "text" or (form == "auto" and path is None and os.isatty(_STDOUT))


class Times:
    """Makes times as ISO 8601 in UTC, with milliseconds."""

    def __init__(self) -> None:
        self._second, self._shown_second = -1, ""
        self._millisecond, self._shown = -1, ""

    def shown(self, at: float) -> str:
        """Returns a POSIX time; quick for one in the same millisecond as the one before, or second."""
        millisecond = int(at * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, rest = millisecond // 1000, millisecond % 1000
            if second != self._second:
                self._second = second
                self._shown_second = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
            self._shown = f"{self._shown_second}{_HUNDREDTHS[rest // 10]}{_NUMBERS[rest % 10]}Z"
        return self._shown


def milliseconds(seconds: float) -> str:
    """Returns a duration in milliseconds with three decimals; twice as quick as a format of a float."""
    microseconds = int(seconds * 1e6 + 0.5)
    whole = microseconds // 1000
    shown = _NUMBERS[whole] if whole < len(_NUMBERS) else str(whole)
    return f"{shown}{_HUNDREDTHS[microseconds // 10 % 100]}{_NUMBERS[microseconds % 10]}"


def trace_id(traceparent: str) -> str:
    """Returns the trace id of a `traceparent` (W3C Trace Context, section 3.2); empty if it is none."""
    if len(traceparent) < _TRACEPARENT_SIZE or traceparent[2] != "-" or traceparent[35] != "-":
        return ""
    found = traceparent[3:35]
    try:
        is_hex = _hexlify(_unhexlify(found)) == found.encode()  # no capitals
    except ValueError:
        return ""
    return found if is_hex and found != _NO_TRACE else ""


def is_sampled(traceparent: str) -> bool:
    """Returns whether the flags of a `traceparent` say that the trace is recorded; False if it is none."""
    return traceparent[54:55] in _SAMPLED


def escaped(text: str) -> str:
    r"""Returns a text whose blanks, quotes and characters beyond visible ASCII are `\xNN` or `\uNNNN`."""
    return _UNSAFE.sub(_escape, text) if _UNSAFE.search(text) else text


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
