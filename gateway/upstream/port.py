"""What the edge asks of whoever carries its calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata

Requests: TypeAlias = bytes | AsyncIterator[bytes]
"""One message, or those that a client streams."""


@dataclass(slots=True)
class Response:
    """What a call has answered whose server sends one message."""

    message: bytes
    initial: Metadata
    trailing: Metadata


Outcome: TypeAlias = Response | Exception
"""How such a call has ended: StatusError where it was not OK, any other exception for a bug."""


class Call(Protocol):
    """One RPC, as an iterator of the messages that the server sends: one, or a stream.

    Iteration raises StatusError, with the call's metadata, where it ends with another status than OK, and
    whatever the iterator of requests raised, if it did.
    """

    def __aiter__(self) -> Call:
        """Returns itself."""
        ...

    async def __anext__(self) -> bytes:
        """Waits for the next message."""
        ...

    async def initial_metadata(self) -> Metadata:
        """Waits for what the server says before its first message."""
        ...

    async def trailing_metadata(self) -> Metadata:
        """Waits for what the server says after its last message."""
        ...


class Upstream(Protocol):
    """Opens calls, within its own block."""

    async def __aenter__(self) -> Any:
        """Makes ready to open calls."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Ends the calls that are left."""
        ...

    def open(
        self,
        method: Method,
        requests: Requests,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call that lives as long as the block; leaving the block cancels what is left of it.

        Args:
            method: the RPC.
            requests: bytes for a method that takes one message, else an iterator of bytes.
            metadata: what the caller says to the server.
            timeout: seconds until the call ends with DEADLINE_EXCEEDED; None is never.
        """
        ...

    def ask(
        self,
        method: Method,
        request: bytes,
        told: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Makes a call with one message each way, for whom it is not worth a task.

        Args:
            method: the RPC.
            request: its message.
            told: called once with how the call has ended, perhaps before this returns; not at all, or in
                vain, once the call is cancelled.
            metadata: what the caller says to the server.
            timeout: seconds until the call ends with DEADLINE_EXCEEDED; None is never.

        Returns:
            What cancels the call.
        """
        ...
