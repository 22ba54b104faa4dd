"""Log lines go to whoever reads stderr, and wait for nobody who does not."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from server_process.logs import LineFormatter
from server_process.stderr_handler import StderrHandler

STALLED_SECONDS = 2.0
"""Far more than one wait, and far less than one for each line."""
LINES = 2000
"""More than any pipe holds."""


def logger_to(fd: int) -> tuple[logging.Logger, StderrHandler]:
    """Returns a logger whose only handler writes to a descriptor."""
    handler = StderrHandler(fd)
    handler.setFormatter(LineFormatter())
    logger = logging.Logger("gateway")
    logger.addHandler(handler)
    return logger, handler


@pytest.fixture(params=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Where a supervisor reads, and where a program writes: a pipe of docker, a socket of journald."""
    if request.param == "pipe":
        read, write = os.pipe()
    else:
        read, write = (each.detach() for each in socket.socketpair())
    yield read, write
    os.close(read)
    os.close(write)


def read_all(read: int) -> str:
    """Returns what is there."""
    os.set_blocking(read, False)
    parts = []
    try:
        while part := os.read(read, 1 << 20):
            parts.append(part)
    except BlockingIOError:
        pass
    return b"".join(parts).decode()


def test_lines_come_whole_and_at_once(ends: tuple[int, int]) -> None:
    """Those with a traceback too, and those longer than what a pipe takes at once."""
    read, write = ends
    logger, _ = logger_to(write)
    logger.warning("one")
    logger.warning("long %s", "x" * 20_000)
    logger.error("failed", exc_info=ValueError("a fault"))

    first, second, *rest = read_all(read).splitlines()
    assert first.endswith("WARNING gateway: one")
    assert second.endswith("x" * 20_000)
    assert rest[-1] == "ValueError: a fault"


def test_a_reader_that_stops_holds_nobody_up(ends: tuple[int, int]) -> None:
    """It is waited for once; when it reads again it is told how much it missed, and no line is cut."""
    read, write = ends
    logger, handler = logger_to(write)
    began = monotonic()
    for number in range(LINES):
        logger.warning("%d %s", number, "x" * 500)
    seconds, lost = monotonic() - began, handler.lost
    text = read_all(read)
    logger.warning("again")
    text += read_all(read)

    assert 0 < lost < LINES
    assert seconds < STALLED_SECONDS
    lines = text.splitlines()
    assert lines[-2].endswith(f"{lost} log lines before this one could not be written")
    assert lines[-1].endswith("gateway: again")
    numbers = [int(line.split()[3]) for line in lines[:-2]]
    assert numbers == list(range(LINES - lost))
    assert all(line.endswith("x" * 500) for line in lines[:-2])


def test_a_full_disk_is_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines are lost, nothing is raised, and the first line that finds room tells it."""
    write = os.open("/dev/full", os.O_WRONLY)
    logger, handler = logger_to(write)
    logger.warning("one")
    logger.warning("two")
    assert handler.lost == 2
    file = tmp_path / "log"
    room = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.dup2(room, write)
    logger.warning("three")
    os.close(room)
    os.close(write)

    loss, three = file.read_text().splitlines()
    assert loss.endswith("2 log lines before this one could not be written")
    assert three.endswith("gateway: three")
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_has_gone_is_no_fault() -> None:
    """A pipe without a reader takes nothing, and raises nothing."""
    read, write = os.pipe()
    os.close(read)
    logger, handler = logger_to(write)
    logger.warning("one")
    os.close(write)

    assert handler.lost == 1
