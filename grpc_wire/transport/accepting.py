"""How many connections a listening socket accepts per turn of the event loop.

uvloop (libuv from 1.45 on) accepts one connection per listening descriptor and turn. In a burst the last
client would wait for as many turns as came before it, each with the work of all open connections. Duplicates
of the descriptor share one queue, and each accepts one connection per turn.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Final

ACCEPTED: Final = 8
"""Maximum connections accepted per turn. Each idle duplicate costs a lone connection a failed accept: with 32
of them it costs the edge two fifths more."""


def acceptors(listening: socket.socket) -> list[socket.socket]:
    """Returns a listening socket and its duplicates, one for each asyncio server.

    Raises:
        OSError: the process is out of file descriptors.
    """
    with ExitStack() as undo:
        duplicates = [undo.enter_context(listening.dup()) for _ in range(ACCEPTED - 1)]
        undo.pop_all()
    return [listening, *duplicates]
