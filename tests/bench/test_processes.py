"""What is started is counted, and is gone when its block is left."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from bench import accounts
from bench.processes import Part


def test_the_accounts_of_a_process() -> None:
    """CPU that it uses is counted finer than in ticks of 10 ms; so is memory."""
    begin = accounts.cpu(os.getpid())
    sum(range(10_000))

    assert accounts.cpu(os.getpid()) > begin
    assert accounts.resident(os.getpid()) > 1_000_000


def test_there_are_none_of_one_that_is_not_there() -> None:
    """It is an error, not a zero."""
    with pytest.raises(ProcessLookupError):
        accounts.cpu(2**22 + 1)


async def test_nothing_is_left_behind() -> None:
    """Whatever happens in the block."""
    program = "import time; print('serving: 7', flush=True); time.sleep(60)"
    with pytest.raises(RuntimeError, match="in the block"):
        async with Part.started([sys.executable, "-c", program]) as part:
            assert await part.line("serving") == "7"
            assert part.cpu > 0
            raise RuntimeError("in the block")

    assert part.process.returncode is not None


async def test_one_that_ends_before_it_serves_is_an_error() -> None:
    """And is not waited for."""
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="before it said"):
            async with Part.started([sys.executable, "-c", ""]) as part:
                await part.line("serving")
