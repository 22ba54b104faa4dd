"""Resets by the client that no event loop tells.

A loop reads no more where the client's side of a connection has ended. A reset is then an error of the socket
(SO_ERROR), which the loop tells at the next write; a silent stream writes nothing.
"""

from __future__ import annotations

import asyncio
import socket


def abort_after_reset(transport: asyncio.Transport) -> bool:
    """Aborts a connection whose socket has an error, as after a reset; returns whether it had one."""
    connected = transport.get_extra_info("socket")
    if connected is None or not connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return False
    transport.abort()
    return True
