"""A parent and its workers, whatever it is that they serve."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.worker_processes import ended, workers_of

ROOT = Path(__file__).parents[1]
PROMPTLY = 30
PROGRAM = """
import asyncio, os, signal, sys, time
from server_process import workers
from server_process.workers import Workers

{prelude}

def say(*words):  # in one piece, for others say something at the same time
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def serve(parent):
    end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    parent.serving(end.set)
    await end.wait()

async def fail(parent):
    parent.serving(lambda: None)
    sys.exit(3)

def work(parent):
    say("start", parent.number)
    {work}
    return 0

sys.exit(
    Workers("program", 2, work).run(
        serving=lambda: say("all serve"),
        stopping=lambda: say("stopping"),
    )
)
"""
TOLD_AS_WORKERS_END = """
def wait(objects, timeout=None):
    happened = look(objects, timeout)
    if any(isinstance(each, int) and each != objects[0] for each in happened):
        workers.wait = look  # a second signal would end those who drain
        os.kill(os.getpid(), signal.SIGTERM)
    return happened

look, workers.wait = workers.wait, wait
"""
"""The parent's signal is delivered when it was seen already that a worker has ended."""


class Start(Protocol):
    """Starts a program."""

    def __call__(self, work: str, *, prelude: str = "") -> subprocess.Popen[str]:
        """Starts it with two workers that do so."""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts programs with two workers that do what is said, and ends those that are left over."""
    started: list[subprocess.Popen[str]] = []

    def start(work: str, *, prelude: str = "") -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(work=work, prelude=prelude)],
            cwd=ROOT,
            start_new_session=True,  # so that it and its workers are a group, and can be told at once
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(program)
        return program

    yield start
    for program in started:
        if program.poll() is None:
            for pid in (*workers_of(program.pid), program.pid):
                os.kill(pid, signal.SIGKILL)
        program.communicate(timeout=PROMPTLY)


def read_line(program: subprocess.Popen[str]) -> str:
    """Reads a line, which must come."""
    assert program.stdout
    line = program.stdout.readline()
    assert line, program.communicate()
    return line.strip()


def read_to(program: subprocess.Popen[str], last: str) -> list[str]:
    """Reads lines up to one."""
    lines: list[str] = []
    while lines[-1:] != [last]:
        lines.append(read_line(program))
    return lines


SERVE = "asyncio.run(serve(parent))"


@pytest.mark.parametrize("everybody", [False, True])
def test_a_signal_lets_all_drain(start: Start, everybody: bool) -> None:
    """Be it sent to the parent, or to its workers too, as terminals and systemd do."""
    program = start(f"{SERVE}; say('drained')")
    lines = read_to(program, "all serve")
    (os.killpg if everybody else os.kill)(program.pid, signal.SIGTERM)
    out, log = program.communicate(timeout=PROMPTLY)

    assert lines == ["start 0", "start 1", "all serve"]
    assert sorted(out.split()) == ["drained", "drained", "stopping"]
    assert log == ""
    assert program.returncode == 0


def test_a_parent_that_hears_of_its_end_last(start: Start) -> None:
    """Workers that were told to stop too, and are gone before the parent looks, are not missed."""
    program = start(f"{SERVE}; say('drained')", prelude=TOLD_AS_WORKERS_END)
    read_to(program, "all serve")
    for pid in workers_of(program.pid):
        os.kill(pid, signal.SIGTERM)
    out, log = program.communicate(timeout=PROMPTLY)

    assert sorted(out.split()) == ["drained", "drained", "stopping"]
    assert log == ""
    assert program.returncode == 0


def test_a_second_signal_ends_them(start: Start) -> None:
    """Workers that drain for ever are cut."""
    program = start(f"{SERVE}; say('drains'); signal.pause()")
    read_to(program, "all serve")
    workers = workers_of(program.pid)
    program.send_signal(signal.SIGINT)
    read_to(program, "drains")
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=PROMPTLY)

    assert program.returncode == 0
    assert ended(workers)


def test_workers_end_with_their_parent(start: Start) -> None:
    """A parent that is killed leaves nobody behind; its workers drain."""
    program = start(f"{SERVE}; say('drained')")
    read_to(program, "all serve")
    workers = workers_of(program.pid)
    program.kill()
    out, _ = program.communicate(timeout=PROMPTLY)

    assert len(workers) == 2
    assert ended(workers)
    assert out.split() == ["drained", "drained"]


@pytest.mark.parametrize("place", [0, 1])
def test_one_that_fails_at_the_start_ends_all(start: Start, place: int) -> None:
    """The first starts alone, so that what is wrong with all is said once; its status is the program's."""
    program = start(f"if parent.number == {place}: sys.exit('no such thing')\n    {SERVE}")
    out, log = program.communicate(timeout=PROMPTLY)

    assert out.split("\n")[:-1] == [*(f"start {n}" for n in range(place + 1)), "stopping"]
    assert log == "no such thing\n"
    assert program.returncode == 1


def test_one_that_dies_is_replaced(start: Start) -> None:
    """It is said who has died, and how; the other one is left alone."""
    program = start(SERVE)
    read_to(program, "all serve")
    first, second = workers_of(program.pid)
    os.kill(second, signal.SIGKILL)
    read_to(program, "start 1")
    assert first in workers_of(program.pid)
    program.terminate()
    _, log = program.communicate(timeout=PROMPTLY)

    words = f"worker 1 (process {second}) has ended by SIGKILL; another takes its place"
    assert log == f"{words}\n"  # the program has configured no logging
    assert program.returncode == 0


def test_one_that_always_dies_does_not_spin(start: Start) -> None:
    """There is a second between its starts, less what the test may have been kept from seeing."""
    program = start(
        "if parent.number == 0: asyncio.run(serve(parent))\n"
        "    say(time.monotonic())\n"
        "    asyncio.run(fail(parent))"
    )
    lines = [line for _ in range(2) for line in (*read_to(program, "start 1"), read_line(program))]
    one, other = (float(line) for line in lines if "." in line)
    program.terminate()
    _, log = program.communicate(timeout=PROMPTLY)

    assert other - one > 0.5
    assert "has ended with status 3; another takes its place\n" in log
