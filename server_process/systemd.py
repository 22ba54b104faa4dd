"""What a program tells systemd, and the sockets that systemd has opened for it.

Sources: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). Without systemd, nothing here does anything.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

log = logging.getLogger(__name__)

_FIRST_SOCKET: Final = 3
_FED_PER_TIMEOUT: Final = 3


def notify(state: str) -> None:
    """Tells systemd a state, such as `READY=1`, if it wants to know (`Type=notify`)."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.settimeout(0)
            sending.sendto(state.encode(), address)
    except OSError as error:
        log.warning("systemd cannot be told %s: %s", state, error.strerror or error)


def watchdog_seconds() -> float | None:
    """Returns the timeout of systemd's watchdog for this program or its worker; None: there is none."""
    try:
        seconds = int(os.environ["WATCHDOG_USEC"]) / 1e6
        pid = int(os.environ.get("WATCHDOG_PID") or os.getpid())
    except (KeyError, ValueError):
        return None
    return seconds if seconds > 0 and pid in (os.getpid(), os.getppid()) else None


@asynccontextmanager
async def watchdog() -> AsyncIterator[None]:
    """Tells systemd that the event loop lives, while the block runs."""
    seconds = watchdog_seconds()
    if seconds is None:
        yield
        return
    task = asyncio.get_running_loop().create_task(_feed(seconds / _FED_PER_TIMEOUT))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _feed(interval: float) -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)


def handed_over() -> list[int]:
    """Takes the descriptors of the sockets that systemd has opened for this process, once."""
    pid, count = (os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS"))
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = list(range(_FIRST_SOCKET, _FIRST_SOCKET + int(count)))
    for each in found:
        os.set_inheritable(each, False)  # noqa: FBT003 - as it is declared
    return found
