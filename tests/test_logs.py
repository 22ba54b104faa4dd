"""The format of log lines: one for the edge and the core, for uvicorn, and for workers."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server_process.logs import LineFormatter
from tests.worker_processes import workers_of

ROOT = Path(__file__).parents[1]
SECONDS = 30
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def formatted(name: str, text: str, *arguments: object) -> str:
    """Returns a warning of a logger, as it is printed."""
    record = logging.LogRecord(name, logging.WARNING, "", 0, text, arguments, None)
    record.created = 1_796_000_000.9876
    return LineFormatter().format(record)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("gateway.upstream.pool", "full", "gateway: full"),
        ("uvicorn.error", "gone\n", "uvicorn: gone"),
        ("root", "100% sure", "root: 100% sure"),
        ("gateway", "a\r\n2026-01-01T00:00:00.000Z ERROR gateway: forged", None),
    ],
)
def test_a_line_has_time_level_package_and_text(name: str, text: str, line: str | None) -> None:
    """The time is UTC in milliseconds; control characters cannot begin another line."""
    said = formatted(name, text)

    if line is None:
        line = "gateway: a 2026-01-01T00:00:00.000Z ERROR gateway: forged"
    assert said == f"2026-11-30T00:53:20.987Z WARNING {line}"


def test_a_traceback_follows_its_line() -> None:
    """In lines of its own."""
    try:
        raise ValueError("a fault")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", None, sys.exc_info())
    first, second, *_, last = LineFormatter().format(record).splitlines()

    assert re.fullmatch(f"{TIME} ERROR x: failed", first)
    assert (second, last) == ("Traceback (most recent call last):", "ValueError: a fault")


@pytest.mark.parametrize(
    ("command", "program", "packages"),
    [
        (
            ("gateway", "serve", "--descriptor-set", "protos/descriptor_set.binpb"),
            "protoway",
            {"uvicorn", "protoway"},
        ),
        (("grpc_core",), "core", {"grpc_core", "core"}),
    ],
)
def test_all_lines_of_a_program_with_workers_have_it(
    command: tuple[str, ...], program: str, packages: set[str]
) -> None:
    """Those of its workers, of the parent when one dies, and of uvicorn; the start lines are on stdout."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", "0", "--workers", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines: list[str] = []
    with process, process.stdout, process.stderr:
        start = [process.stdout.readline(), process.stdout.readline()]
        os.kill(workers_of(process.pid)[1], signal.SIGKILL)
        for line in process.stderr:
            lines.append(line)
            if "has ended by SIGKILL; another takes its place" in line:
                break
        process.terminate()
        lines += process.stderr.read().splitlines(keepends=True)
        assert process.wait(SECONDS) == 0

    assert start[0].startswith(f"{program}: serving ")
    assert start[1].startswith(f"{program}: ")
    found = [re.match(f"{TIME} (INFO|WARNING|ERROR) ([a-z_]+): .", line) for line in lines]
    assert all(found), lines
    assert {each[2] for each in found if each} == packages
