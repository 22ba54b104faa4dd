"""What a program reads again on SIGHUP (signal(7)), without a restart.

Rule: an item reads and checks the new as a whole, and replaces the old in one step; what is wrong is refused
with an error in the log, and the old stays.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

log = logging.getLogger(__name__)

Reload: TypeAlias = Callable[[], Awaitable[object]]
"""Reads one thing again. It raises if that is wrong, and then has changed nothing."""
_SECONDS: Final = 60.0
"""Maximum duration of one item."""


class Reloads:
    """The things that a process reads again, in their order."""

    def __init__(self, *refusals: type[Exception]) -> None:
        """Makes it empty.

        Args:
            refusals: what items raise, beside OSError and ValueError, for what is wrong with what they read.
                Anything else is a fault, and logged with its traceback.
        """
        self._refusals: tuple[type[Exception], ...] = (OSError, ValueError, *refusals)
        self._items: list[tuple[str, Reload]] = []
        self._running = asyncio.Lock()

    def add(self, name: str, reload: Reload) -> None:
        """Adds a thing; its name is what the log calls it, such as the setting with its file."""
        self._items.append((name, reload))

    async def run(self) -> bool:
        """Reads all again, one after the other; returns whether nothing was refused.

        Whoever asks meanwhile waits, and then it is done once more.
        """
        async with self._running:
            return await self._run()

    async def _run(self) -> bool:
        done: list[str] = []
        for name, reload in self._items:
            try:
                async with asyncio.timeout(_SECONDS):
                    await reload()
            except self._refusals as error:
                why = str(error) or f"it takes longer than {_SECONDS:g} s"
                log.error("%s: not read again, the old stays: %s", name, why)
            except Exception:
                log.exception("%s: not read again, the old stays", name)
            else:
                done.append(name)
        if done:
            log.info("read again: %s", "; ".join(done))
        elif not self._items:
            log.info("nothing is read again: no file of the settings can be")
        return len(done) == len(self._items)

    @asynccontextmanager
    async def on_hangup(self, stop: Callable[[], object] | None = None) -> AsyncIterator[None]:
        """Reads all again at each SIGHUP that comes while the block runs.

        Args:
            stop: called instead where the signal says that the terminal is gone; None: it is not looked for.
        """
        if threading.current_thread() is not threading.main_thread():  # which alone gets signals
            yield
            return
        loop, received = asyncio.get_running_loop(), asyncio.Event()
        watched = stop is not None and has_terminal()

        async def follow() -> None:
            while True:
                await received.wait()
                received.clear()
                await self.run()

        def on_signal() -> None:
            if watched and stop is not None and not has_terminal():
                stop()
            else:
                received.set()

        before = signal.getsignal(signal.SIGHUP)
        loop.add_signal_handler(signal.SIGHUP, on_signal)
        task = loop.create_task(follow())
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, before)
            task.cancel()
            await asyncio.wait({task})


def async_of(read: Callable[[], object]) -> Reload:
    """Returns an item that waits for nothing, of a function."""

    async def reload() -> None:
        read()

    return reload


def has_terminal() -> bool:
    """Whether a terminal that is closed would end this process: not under `nohup`, nor without one."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
