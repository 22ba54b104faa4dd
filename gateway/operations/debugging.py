"""What a process does right now: its tasks with their stacks, and a profile of its event loop.

Rule: names of modules and functions, and line numbers; never a value, which may be a caller's.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from types import FrameType
from typing import Any, Final

MAX_SECONDS: Final = 60.0
"""Longest profile."""
_INTERVAL: Final = 0.01
"""Seconds between two samples."""
_MAX_FRAMES: Final = 100
"""Frames of a stack that are told, innermost ones of a profile and outermost ones of a task."""
_MAX_STACKS: Final = 5_000
"""Different stacks of a profile; the rest is counted as one."""
_OTHERS: Final = "(other stacks)"
_TASKS_PER_TURN: Final = 200
"""Tasks that are looked at before others have their turn: about 5 ms."""


class BusyError(Exception):
    """A profile is being taken already."""


class Profiler:
    """Samples the stack of the event loop's thread from another one; one profile at a time."""

    def __init__(self) -> None:
        self._busy = False

    async def profile(self, seconds: float) -> str:
        """Returns stacks as `outer;inner COUNT`, the form of flame graphs, the most frequent one first.

        Args:
            seconds: how long; at most `MAX_SECONDS`.

        Raises:
            BusyError: another one is being taken.
        """
        if self._busy:
            raise BusyError
        self._busy = True
        counts: Counter[str] = Counter()
        done = threading.Event()
        thread = threading.Thread(
            target=_sample, args=(threading.get_ident(), counts, done), name="profile", daemon=True
        )
        try:
            thread.start()
            await asyncio.sleep(min(seconds, MAX_SECONDS))
        finally:
            done.set()
            self._busy = False
        await asyncio.to_thread(thread.join)
        return "".join(f"{stack} {count}\n" for stack, count in counts.most_common())


def _sample(thread: int, counts: Counter[str], done: threading.Event) -> None:
    while not done.wait(_INTERVAL):
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, in spite of its name
        names: list[str] = []
        while frame is not None and len(names) < _MAX_FRAMES:
            names.append(_name(frame))
            frame = frame.f_back
        stack = ";".join(reversed(names))
        counts[stack if stack in counts or len(counts) < _MAX_STACKS else _OTHERS] += 1


async def tasks() -> str:
    """Returns the tasks of the running loop: how many have the same stack, and the stack, outermost first."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for number, task in enumerate(asyncio.all_tasks()):
        if number % _TASKS_PER_TURN == _TASKS_PER_TURN - 1:
            await asyncio.sleep(0)
        stacks[_stack(task.get_coro())] += 1
    lines = [f"{stacks.total()} tasks\n"]
    for stack, count in stacks.most_common():
        lines.append(f"\n{count} x\n")
        lines += [f"  {name}\n" for name in stack]
    return "".join(lines)


def _stack(coroutine: Any) -> tuple[str, ...]:
    """Returns where a coroutine waits, and where each waits that it awaits."""
    names: list[str] = []
    while coroutine is not None and len(names) < _MAX_FRAMES:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(coroutine, f"{kind}_frame", None)
            if frame is not None:
                names.append(f"{_name(frame)}:{frame.f_lineno}")
                inner = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                coroutine = getattr(coroutine, inner)
                break
        else:
            if type(coroutine).__name__ not in ("coroutine", "generator", "async_generator"):
                names.append(f"({type(coroutine).__module__}.{type(coroutine).__qualname__})")
            break
    return tuple(names)


def _name(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"
