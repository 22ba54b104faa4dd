"""Follows a page of docs/ as a reader does: writes its files, runs its commands, compares what they print.

A fenced block of a page means:

- ```` ```python title="main.py" ````, in any language: the text of a file, which is written;
- ```` ```sh ````: commands, which are run by one shell, with the folder of those files as its working folder;
- ```` ```sh title="terminal 1" ````: a command that goes on, such as a server; it runs until the page ends;
- ```` ```text ````: lines that the commands before it print; `…` stands for anything in a line, and in a line
  of its own for any number of lines.

Such a block may be indented, as one in a list is. Rule: a block of any other form is an error, so that no
snippet goes untested.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_FENCE: Final = re.compile(
    r'^(?P<indent> *)(?P<fence>```+)(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n'
    r"(?P<text>.*?)^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_START_SECONDS: Final = 30
_LOOK_SECONDS: Final = 0.02
_LOOKING: Final = "grep "
"""How commands begin that look into a log again: a program writes a moment after it has answered."""


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    title: str
    """Empty where it has none."""
    text: str
    line: int
    """Of the page, counted from 1."""


def blocks(text: str) -> list[Block]:
    """Returns the fenced blocks of a page, in their order."""
    return [
        Block(
            found["language"],
            found["title"] or "",
            re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            text.count("\n", 0, found.start()) + 1,
        )
        for found in _FENCE.finditer(text)
    ]


@dataclass
class Reader:
    """Somebody who follows a page in an empty folder.

    Attributes:
        folder: where its files are written and its commands run.
        ports: the port that stands in for each one of the page, by that one's number.
        environment: of its commands, beside that of this process.
        skip: commands that are not run, by how they begin: what installs, for example.
        rewrite: changes a block's text before it is used.
        seconds: that one block of commands may take.
    """

    folder: Path
    ports: Mapping[int, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    rewrite: Callable[[str], str] = str
    seconds: float = 60
    commands: str = ""
    """The last commands."""
    printed: str | None = ""
    """What the last commands printed, on both outputs; None if they were not run."""

    def follow(self, page: Path, at_end: Callable[[], None] = lambda: None) -> None:
        """Follows a page to its end, calls `at_end`, and stops what it has started."""
        with ExitStack() as running:
            for block in blocks(page.read_text()):
                try:
                    self._step(block, running)
                except AssertionError as error:
                    raise AssertionError(f"{page.name}, line {block.line}: {error}") from error
            at_end()

    def _step(self, block: Block, running: ExitStack) -> None:
        text = self.rewrite(self._with_own_ports(block.text))
        if block.language == "sh" and block.title:
            running.enter_context(self.background(text))
        elif block.language == "sh":
            self.commands, self.printed = text, self._run(text)
        elif block.language == "text":
            until = time.monotonic() + _START_SECONDS
            while not (shown := self.printed is None or matches(text, self.printed)):
                if not self.commands.startswith(_LOOKING) or time.monotonic() > until:
                    break
                time.sleep(_LOOK_SECONDS)
                self.printed = self._run(self.commands)
            assert shown, f"expected\n{text}\nprinted\n{self.printed}"
        else:
            assert block.title, f"a block of {block.language} without a title is not tested"
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def _with_own_ports(self, text: str) -> str:
        for theirs, ours in self.ports.items():
            text = re.sub(rf"\b{theirs}\b", str(ours), text)
        return text

    def whole_environment(self) -> dict[str, str]:
        """Returns the environment of the commands; `python` and `protoway` are those of the tests."""
        # a person's PATH may lack the last two, where Debian has nginx
        folders = [
            str(Path(sys.executable).parent),
            os.environ["PATH"],
            "/usr/sbin",
            "/usr/local/sbin",
        ]
        path = os.pathsep.join(folders)
        return {**os.environ, "PATH": path, **self.environment}

    def _commands(self, text: str) -> str:
        lines = text.splitlines()
        return "\n".join(line for line in lines if not line.startswith(self.skip or ("\0",)))

    def _run(self, text: str) -> str | None:
        commands = self._commands(text)
        if not commands:
            return None
        done = subprocess.run(
            ["sh", "-ec", commands],
            cwd=self.folder,
            env=self.whole_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.seconds,
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{text}\n{done.stdout}"
        return done.stdout

    @contextmanager
    def background(self, text: str) -> Iterator[None]:
        """Runs a command while the block does, which begins when one more of `ports` is listened on."""
        before = self._listened_on()
        with (self.folder / "terminal.log").open("ab") as log:
            process = subprocess.Popen(
                ["sh", "-ec", self._commands(text)],
                cwd=self.folder,
                env=self.whole_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            until = time.monotonic() + _START_SECONDS
            while self._listened_on() <= before:
                log_text = (self.folder / "terminal.log").read_text()
                assert process.poll() is None, f"ended early\n{text}\n{log_text}"
                assert time.monotonic() < until, f"does not listen\n{text}\n{log_text}"
                time.sleep(_LOOK_SECONDS)
            yield
        finally:
            _stop(process)

    def _listened_on(self) -> set[int]:
        found = set()
        for port in self.ports.values():
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                found.add(port)
        return found


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stops a shell and what it has started, as Ctrl-C does."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_START_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def matches(expected: str, printed: str) -> bool:
    """Returns whether the expected lines stand in what was printed, one after the other.

    Args:
        expected: lines; `…` is anything in a line, and a line of `…` alone is any number of lines.
        printed: what is searched.
    """
    lines = [
        r"(?:.*\n)*?"
        if line == "…"
        else re.escape(line.rstrip()).replace("…", ".*") + r"[ \t\r]*\n"
        for line in expected.strip().splitlines()
    ]
    return re.search("".join(lines), printed.rstrip() + "\n") is not None
