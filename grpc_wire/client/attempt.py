"""One attempt to connect: within its time a connection is to be there, and the peer's settings on it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable

from grpc_wire.transport.transport import Transport


class Attempt:
    """One attempt; whoever owns the connection tells it what becomes of that.

    Attributes:
        made: whether it has come to something.
    """

    def __init__(self) -> None:
        self.made = False
        self._settled = asyncio.get_running_loop().create_future()
        self._transport: Transport | None = None

    async def run(self, connecting: Awaitable[object], limit: float) -> str:
        """Waits until the connection is made, for so many seconds at most; returns why it is not."""
        opened, reason = False, ""
        try:
            async with asyncio.timeout(limit):
                await connecting
                opened = True
                await self._settled
        except TimeoutError:
            reason = f"no connection within {limit:g} s"
        except Exception as error:  # whatever it is, calls are not to wait for it
            reason = _words(error)
        finally:
            self._settled.cancel()
            if self._transport is not None and not (opened and self.made):
                abandon(self._transport)
        return reason

    def opened(self, transport: Transport) -> None:
        """Waits for the peer's settings; or does not, if the time for that is over."""
        if self._settled.done():
            abandon(transport)
        else:
            self._transport = transport

    def connected(self, transport: Transport) -> bool:
        """Takes the peer's settings as its success; returns whether they are."""
        if transport is not self._transport or self._settled.done():
            return False
        self.made = True
        self._settled.set_result(None)
        return True

    def disconnected(self, transport: Transport, reason: str) -> None:
        """Fails, if that was its connection."""
        if transport is self._transport and not self._settled.done():
            self._settled.set_exception(ConnectionError(reason))


def abandon(transport: Transport) -> None:
    """Closes without a word: nobody has waited for it.

    Of a socket whose making was cancelled when it was there already, uvloop tells no end.
    """
    transport.socket.abort()
    transport.connection_lost(None)


def _words(error: Exception) -> str:
    special = isinstance(error, ssl.SSLError | socket.gaierror)
    if isinstance(error, OSError) and error.errno and not special:
        return os.strerror(error.errno)  # asyncio puts its own words in place of the system's
    return str(error) or "the peer closed the connection within the TLS handshake"
