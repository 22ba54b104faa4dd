"""What a process has cost, by the operating system's accounts.

A process's CPU clock (clock_getcpuclockid(3)) counts nanoseconds of all its threads, of those that have
ended too; the ticks in `/proc/PID/stat` are 10 ms each, too coarse for a burst of a second.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import time
from pathlib import Path
from typing import Final

_libc: Final = ctypes.CDLL(None)


def cpu(pid: int) -> float:
    """Returns the seconds of CPU that a process has used, in user code and in the kernel."""
    clock = ctypes.c_int()
    error = _libc.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise ProcessLookupError(error, os.strerror(error), str(pid))
    return time.clock_gettime(clock.value)


def resident(pid: int) -> int:
    """Returns the bytes of memory that a process has."""
    status = Path("/proc", str(pid), "status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split(maxsplit=1)[0]) * 1024


def commands(port: int) -> int:
    """Returns how many commands a Redis on this machine has obeyed, those of scripts too.

    It does not count the command by which it is asked.
    """
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"INFO commandstats\r\nQUIT\r\n")
        told = b"".join(iter(lambda: connection.recv(2**16), b""))
    calls = re.findall(rb"cmdstat_(?!info|quit)\S+:calls=(\d+)", told)
    return sum(map(int, calls))
