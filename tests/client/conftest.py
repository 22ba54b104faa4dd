"""`protoway call` as a person runs it, in a thread of the tests, on their own contract."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from gateway.cli import main
from tests.contracts import echo_descriptor_set
from tests.echo_server import EchoServer, echo_server

START_LINE = re.compile(r"protoway: (serving HTTP on http|\d+ routes of echo\.v1\.Echo from )")
Run: TypeAlias = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def echo() -> AsyncIterator[EchoServer]:
    """A server of the tests' own contract."""
    async with echo_server() as running:
        yield running


@pytest.fixture
def descriptor_set(tmp_path: Path) -> Path:
    """The tests' own contract, as a file."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    return path


@pytest.fixture
def call(descriptor_set: Path, echo: EchoServer, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command with some words; returns exit status, stdout and stderr."""

    async def run(*words: str) -> tuple[int, str, str]:
        options = ("--descriptor-set", str(descriptor_set), "--upstream", echo.address)
        capsys.readouterr()
        status = await asyncio.to_thread(main, ["call", *words, *options])
        printed = capsys.readouterr()
        lines = printed.out.splitlines(keepends=True)
        # the edge of this process may say late that it has started
        out = "".join(line for line in lines if not START_LINE.match(line))
        return status, out, printed.err

    return run


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pipe that is stdin; yields the end that is written to. The test closes it."""
    read, write = os.pipe()
    with open(read) as reading:
        monkeypatch.setattr(sys, "stdin", reading)
        yield write
