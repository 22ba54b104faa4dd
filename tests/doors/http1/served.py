"""What the event loop and the server are to a connection; a test plays the client."""

from __future__ import annotations

import asyncio
from typing import Any, cast


class Socket(asyncio.Transport):
    """A transport without a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reading = True
        self.closed = False
        self.ended = False
        self._lost = False
        self._protocol: asyncio.Protocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Connects the first protocol; another one takes its place later."""
        first = self._protocol is None
        self._protocol = cast("asyncio.Protocol", protocol)
        if first:
            protocol.connection_made(self)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Returns the protocol."""
        assert self._protocol is not None
        return self._protocol

    def receive(self, data: bytes) -> None:
        """Lets bytes come, unless nothing is read any more."""
        assert self._protocol is not None
        if not self.closed:
            self._protocol.data_received(data)

    def receive_eof(self) -> bool:
        """Lets the client end its side; returns whether the connection stays open."""
        assert self._protocol is not None
        stays = bool(self._protocol.eof_received())
        if not stays:
            self.close()
        return stays

    def pause_protocol(self) -> None:
        """Lets the client read no more."""
        assert self._protocol is not None
        self._protocol.pause_writing()

    def resume_protocol(self) -> None:
        """Lets the client read again."""
        assert self._protocol is not None
        self._protocol.resume_writing()

    def lose(self) -> None:
        """Ends the connection."""
        self.closed = True
        if not self._lost and self._protocol is not None:
            self._lost = True
            self._protocol.connection_lost(None)

    def write(self, data: Any) -> None:
        """Keeps what is written."""
        self.written.append(bytes(data))

    def can_write_eof(self) -> bool:
        """Says yes."""
        return True

    def write_eof(self) -> None:
        """Ends the server's side."""
        self.ended = True

    def pause_reading(self) -> None:
        """Reads nothing more."""
        self.reading = False

    def resume_reading(self) -> None:
        """Reads again."""
        self.reading = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Closes; the protocol is told in a later turn."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.lose)

    abort = close
