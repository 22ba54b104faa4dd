"""How many connections a listening socket accepts in one turn of the event loop.

uvloop (libuv from 1.45 on) accepts one connection for each listening file descriptor and turn. Where many
come at once, the last would wait for as many turns as came before it, each with all the work of the
connections that are open. Duplicates of the descriptor are one socket with one queue, and each accepts one.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Final

ACCEPTED: Final = 8
"""Most connections that are accepted in one turn. Where one comes alone, the other descriptors are asked in
vain: with 32 of them such a connection costs the edge two fifths more."""


def acceptors(listening: socket.socket) -> list[socket.socket]:
    """Returns a listening socket and its duplicates, each for a server of its own.

    Raises:
        OSError: the process may have no more files.
    """
    with ExitStack() as undo:
        duplicates = [undo.enter_context(listening.dup()) for _ in range(ACCEPTED - 1)]
        undo.pop_all()
    return [listening, *duplicates]
