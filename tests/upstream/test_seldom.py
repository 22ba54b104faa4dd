"""Lines of a log that come too often."""

from __future__ import annotations

import logging

from gateway.upstream.outcome import status_error
from gateway.upstream.seldom import Seldom


def test_lines_of_a_format_pass_once_in_some_seconds() -> None:
    """Whatever they are of; the next tells how many did not. Other formats have a time of their own."""
    now = 0.0
    seldom = Seldom(10, lambda: now)

    def said(line: str, *arguments: object) -> str | None:
        record = logging.LogRecord("", logging.WARNING, "", 0, line, arguments, None)
        return record.getMessage() if seldom.filter(record) else None

    assert said("lost %s", "a") == "lost a"
    assert [said("lost %s", n) for n in range(1_000)] == [None] * 1_000
    assert said("100% lost") == "100% lost"
    now = 10.0
    assert said("lost %s", "b%d") == "lost b%d (and 1000 times more since the last)"
    assert said("lost %s", "c") is None
    now = 20.0
    assert said("lost %s", "d") == "lost d (and 1 times more since the last)"
    now = 99.0
    assert said("lost %s", "e") == "lost e"


def test_a_thousand_calls_to_a_server_that_is_gone_are_one_line() -> None:
    """Each has its status; what the log says of them would be the same."""
    lines: list[str] = []
    log = logging.getLogger("gateway.upstream.outcome")
    listening = logging.Handler()
    listening.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(listening)
    try:
        for port in range(1_000):
            error = status_error(14, f"ipv4:127.0.0.1:{port}: Connection refused", (), ())
            assert error.status.message == "upstream cannot be reached"
    finally:
        log.removeHandler(listening)
    assert len(lines) <= 1
