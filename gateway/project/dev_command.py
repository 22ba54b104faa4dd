"""`protoway dev`: the server and the edge in one terminal, started again when their files change.

Rule: a change that is wrong leaves what runs as it is; the next change is tried again.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from gateway.options import OptionError, given_options, option, read_settings
from gateway.project.changes import Snapshot, changed, snapshot, source_files
from gateway.project.program import Program
from gateway.project.settings_file import use_settings_file
from gateway.settings import Settings
from gateway.start_lines import SERVING

_LOOK_SECONDS: Final = 0.25
"""Interval at which files are looked at. A change is taken when they have stayed the same for one."""
_SHOWN: Final = 3
"""Maximum changed files that a line names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that only this command has."""
    parser.add_argument(
        "--server",
        metavar="COMMAND",
        help="starts your gRPC server (default: python server.py, if that file exists; an option only)",
    )
    parser.add_argument(
        "--generate",
        metavar="COMMAND",
        help="compiles the contract for the server (default: python generate.py, if that file exists; an"
        " option only)",
    )


def run(options: argparse.Namespace) -> int:
    """Runs server and edge until SIGINT or SIGTERM; returns the exit status.

    It is 0 after a signal, and 1 if the contract does not compile, or the edge does not start, at first.

    Raises:
        OptionError: a setting is wrong.
    """
    use_settings_file(options)
    settings = read_settings(options, Settings)
    edge = [sys.executable, "-m", "gateway", "serve", *_as_arguments(options)]
    if settings.access_log == "auto":  # a person reads what is no terminal for the edge
        edge.append("--access-log=text")
    if options.reload is None:
        edge.append("--reload")
    if options.on_breaking is None:  # whoever changes a contract at home breaks nobody
        edge.append("--on-breaking=warn")
    server = _command(options.server, "server.py", "--server")
    generate = _command(options.generate, "generate.py", "--generate")
    return asyncio.run(Development(settings, edge, server, generate).run())


def _as_arguments(options: argparse.Namespace) -> list[str]:
    """Returns the options as they are written for `protoway serve`."""
    words: list[str] = []
    for name, value in given_options(options, Settings).items():
        if isinstance(value, bool):
            words.append(option(name if value else f"no_{name}"))
        else:
            words.append(f"{option(name)}={value}")
    return words


def _command(given: str | None, file: str, name: str) -> list[str]:
    """Returns the words of a command; none if there is nothing to run.

    Raises:
        OptionError: a quote is not closed.
    """
    if given is None:
        return [sys.executable, file] if Path(file).exists() else []
    try:
        return shlex.split(given)
    except ValueError as error:
        raise OptionError(f"{name}: {given!r}: {error}") from None


async def _start(program: Program) -> bool:
    """Starts a program; returns whether its command exists."""
    try:
        await program.start()
    except OSError as error:
        _say("dev", f"the command of the {program.name} cannot be run: {error}")
        return False
    return True


class Development:
    """The programs of a project, and the files that they are made of."""

    def __init__(
        self,
        settings: Settings,
        edge: Sequence[str],
        server: Sequence[str],
        generate: Sequence[str],
    ) -> None:
        environment = {"PYTHONUNBUFFERED": "1"}
        self._edge = Program("edge", edge, self._edge_line)
        self._server = Program("server", server, _say, environment) if server else None
        self._generate = Program("compile", generate, _say, environment) if generate else None
        self._contract = list(_contract_files(settings))
        self._settings_file = settings.config
        self._served = False
        self._told: set[Program] = set()
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Starts all, and starts again what a change belongs to; returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        taken = self._look()
        if not await self._compile():
            return 0 if self._stop.is_set() else 1
        async with AsyncExitStack() as stack:
            for program in self._programs():
                stack.push_async_callback(program.stop)
                if not await _start(program):
                    return 1
            return await self._watch(taken)

    def _programs(self) -> list[Program]:
        return [each for each in (self._server, self._edge) if each is not None]

    async def _watch(self, taken: tuple[Snapshot, Snapshot]) -> int:
        last = taken
        while not await self._pause():
            if self._tell_ends():
                return 1
            now = self._look()
            if now == last != taken:
                code, contract = map(changed, taken, now)
                await self._apply(code, contract)
                taken = now  # what has changed meanwhile is the next change
            last = now
        return 0

    def _look(self) -> tuple[Snapshot, Snapshot]:
        return snapshot(source_files(Path())), snapshot(self._contract)

    async def _apply(self, code: list[Path], contract: list[Path]) -> None:
        """Starts again what changed files belong to; the edge reads a contract again by itself."""
        names = [str(path) for path in dict.fromkeys((*code, *contract))]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        _say("dev", f"{', '.join(names[:_SHOWN])}{more} changed")
        protos = any(path.suffix == ".proto" for path in (*code, *contract))
        if protos and not await self._compile():
            if not self._stop.is_set():
                _say("dev", "the contract does not compile; what runs stays as it is")
            return
        if code and self._server is not None:
            await self._restart(self._server)
        if self._settings_file in contract or self._edge.ended is not None:
            await self._restart(self._edge)

    async def _restart(self, program: Program) -> None:
        await program.stop()
        self._told.discard(program)
        await _start(program)

    async def _compile(self) -> bool:
        """Compiles the contract for the server; returns whether it was compiled, and no signal came."""
        if self._generate is None:
            return True
        if not await _start(self._generate):
            return False
        waits = [asyncio.create_task(each.wait()) for each in (self._generate, self._stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        done = self._generate.ended
        await self._generate.stop()
        for each in waits:
            each.cancel()
        return done == 0 and not self._stop.is_set()

    def _edge_line(self, name: str, line: str) -> None:
        self._served = self._served or SERVING in line
        _say(name, line)

    def _tell_ends(self) -> bool:
        """Says which programs have ended by themselves; returns whether there is nothing to wait for."""
        ended = [program for program in self._programs() if program.ended is not None]
        for program in ended:
            if program not in self._told:
                self._told.add(program)
                status = f"the {program.name} has ended with status {program.ended}"
                _say("dev", f"{status}; a change of its files starts it again")
        return self._edge in ended and not self._served

    async def _pause(self) -> bool:
        """Waits until the next look; returns whether a signal came."""
        try:
            await asyncio.wait_for(self._stop.wait(), _LOOK_SECONDS)
        except TimeoutError:
            return False
        return True


def _contract_files(settings: Settings) -> list[Path]:
    """Returns the files, and folders of .proto files, that the edge reads when it starts."""
    files = [settings.config, settings.descriptor_set, settings.http_rules, *settings.proto_paths]
    files += [Path(name) for name in settings.sources]
    return [path for path in files if path is not None]


def _say(name: str, line: str) -> None:
    print(f"{name:<7} | {line}", flush=True)
