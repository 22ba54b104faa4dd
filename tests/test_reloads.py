"""What SIGHUP reads again: in order, and whatever becomes of the others; a closed terminal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server_process import reloads as reloads_module
from server_process.reloads import Reloads, async_of
from tests.whole.processes import DESCRIPTOR_SET

ROOT = Path(__file__).parents[1]
PROMPTLY = 20
LEAD = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who runs the tests may have it ignored
fcntl.ioctl(0, termios.TIOCSCTTY)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal of its standard input that of its session."""
SERVE = (
    *(sys.executable, "-m", "gateway", "serve", "--port", "0", "--access-log", "off"),
    *("--descriptor-set", str(DESCRIPTOR_SET)),
)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Returns level and text of what was logged."""
    return [(record.levelname, record.getMessage()) for record in caplog.records]


async def test_each_item_is_read_again(caplog: pytest.LogCaptureFixture) -> None:
    """In order; what is refused is an error of one line, and the others are read all the same."""
    read: list[str] = []

    class WrongError(Exception):
        """What an item raises."""

    def refuse() -> None:
        raise WrongError("/tls/key.pem is not the key of /tls/certificate.pem")

    def fail() -> None:
        raise KeyError("a fault")

    reloads = Reloads(WrongError)
    reloads.add("first", async_of(lambda: read.append("first")))
    reloads.add("tls_certificate", async_of(refuse))
    reloads.add("faulty", async_of(fail))
    reloads.add("last", async_of(lambda: read.append("last")))
    with caplog.at_level(logging.INFO, logger="server_process"):
        assert not await reloads.run()

    assert read == ["first", "last"]
    why = "/tls/key.pem is not the key of /tls/certificate.pem"
    assert lines(caplog) == [
        ("ERROR", f"tls_certificate: not read again, the old stays: {why}"),
        ("ERROR", "faulty: not read again, the old stays"),
        ("INFO", "read again: first; last"),
    ]
    assert [record.exc_info is not None for record in caplog.records] == [False, True, False]


async def test_an_item_that_hangs_holds_up_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused after a time; the log says which one."""
    monkeypatch.setattr(reloads_module, "_SECONDS", 0.05)
    reloads = Reloads()
    reloads.add("slow", asyncio.Event().wait)

    assert not await reloads.run()
    text = "slow: not read again, the old stays: it takes longer than 0.05 s"
    assert lines(caplog) == [("ERROR", text)]


async def test_a_signal_reads_again(caplog: pytest.LogCaptureFixture) -> None:
    """While the block runs; what was done about the signal before is done again behind it."""
    done = asyncio.Event()
    reloads = Reloads()
    reloads.add("it", async_of(done.set))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        async with reloads.on_hangup():
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(PROMPTLY):
                await done.wait()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_closed_terminal_ends_the_program(workers: str) -> None:
    """As it ends any other; the signal is the same."""
    ours, theirs = os.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", LEAD, *SERVE, "--workers", workers],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        said = b""
        while b"upstream 127.0.0.1" not in said:  # the last line of the start
            said += os.read(ours, 4096)
        os.close(ours)
        assert program.wait(PROMPTLY) != -signal.SIGKILL
    finally:
        program.kill()
        program.wait()
