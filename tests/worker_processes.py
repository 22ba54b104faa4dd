"""Processes seen from outside, through Linux's /proc: whose child is who, and who holds which connection."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

ESTABLISHED = "01"
_SECONDS = 30


def workers_of(parent: int) -> list[int]:
    """Returns the processes that a process has started, oldest first."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def clients_of(worker: int, port: int) -> set[int]:
    """Returns the ports of the clients whose connections to a port a process holds."""
    held = set()
    for file in Path(f"/proc/{worker}/fd").glob("*"):
        with suppress(FileNotFoundError):  # closed, or the process has ended
            held.add(str(file.readlink()))
    clients = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, remote, state, *_, inode = line.split()[:10]
            if (
                state == ESTABLISHED
                and int(local.rpartition(":")[2], 16) == port
                and f"socket:[{inode}]" in held
            ):
                clients.add(int(remote.rpartition(":")[2], 16))
    return clients


def ended(pids: Iterable[int], within: float = _SECONDS) -> bool:
    """Waits until processes have ended that are nobody's to wait for."""
    for pid in pids:
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                if not select.select([descriptor], [], [], within)[0]:
                    return False
            finally:
                os.close(descriptor)
    return True
