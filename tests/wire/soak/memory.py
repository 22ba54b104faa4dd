"""What this process holds, and whose it is: ours, Python's, or that of grpc's threads."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from grpc_wire.http2.outbound import Outbound
from grpc_wire.http2.streams import Stream
from tests.wire.faults.leavings import objects, tasks

STEP = 15_000_000
"""By so much more than it has ever been, memory is worth a line."""
EVERY = 0.25
"""Seconds between two looks."""
_ARENA = 64 * 1024 * 1024
"""Where glibc has one for a thread that is not the first, it begins at a multiple of this."""


def resident() -> int:
    """Returns the bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def settled() -> int:
    """Returns the same without what its allocator keeps to give again.

    Of TLS that is much: asyncio has a buffer of 256 KiB for each connection.
    """
    gc.collect()
    with suppress(AttributeError):  # it is glibc's
        ctypes.CDLL(None).malloc_trim(0)
    return resident()


def account() -> dict[str, Any]:
    """Says what is held: by us, by the event loop, by Python, and where in the address space."""
    alive = objects()
    everything = gc.get_objects()
    return {
        "objects": dict(alive),
        "queued": sum(each.queued for each in everything if type(each) is Stream),
        "ready": sum(each._size for each in everything if type(each) is Outbound),
        "sockets": sum(
            each.get_write_buffer_size()
            for each in everything
            if type(each).__name__ == "_SelectorSocketTransport"
        ),
        "tasks": dict(Counter(tasks())),
        "blocks of Python": sys.getallocatedblocks(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "MB of": _places(),
    }


@asynccontextmanager
async def watched() -> AsyncIterator[None]:
    """Prints an account whenever memory is larger than it has been, and when the block fails."""
    watching = asyncio.ensure_future(_watch())
    try:
        yield
    except BaseException:
        print(f"it failed: {resident():,}: {account()}")
        raise
    finally:
        watching.cancel()


async def _watch() -> None:
    """Looks again and again; how late a look is tells for how long the event loop was held."""
    loop = asyncio.get_running_loop()
    begun, most = loop.time(), resident()
    while True:
        asleep = loop.time()
        await asyncio.sleep(EVERY)
        now, held = loop.time(), resident()
        if held > most + STEP:
            most = held
            late = now - asleep - EVERY
            print(f"{now - begun:.1f} s: {held:,}, late by {late:.1f} s: {account()}")


def _places() -> dict[str, int]:
    """Returns the megabytes of the heap, of the arenas of other threads, of files and of the rest."""
    sizes: Counter[str] = Counter()
    place = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        fields = line.split()
        if not fields[0].endswith(":"):
            start = int(fields[0].partition("-")[0], 16)
            path = fields[5] if len(fields) > 5 else ""
            rest = "arenas" if start % _ARENA == 0 else "other"
            place = {"": rest, "[heap]": "heap"}.get(path, "files")
        elif fields[0] == "Rss:":
            sizes[place] += int(fields[1])
    return {place: size // 1024 for place, size in sizes.items()}
