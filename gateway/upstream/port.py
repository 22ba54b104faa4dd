"""The upstream port: what the edge needs of an implementation of gRPC's client side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata

RequestMessages: TypeAlias = bytes | AsyncIterator[bytes]
"""One message, or those that a client streams."""


@dataclass(slots=True, init=False)
class Response:
    """The outcome of a call with one response that ended with OK."""

    message: bytes
    initial: Metadata
    trailing: Metadata

    def __init__(self, message: bytes, initial: Metadata, trailing: Metadata) -> None:
        self.message = message
        self.initial = initial
        self.trailing = trailing


Outcome: TypeAlias = Response | Exception
"""How such a call ended: StatusError for another status than OK, any other exception for a bug."""


class PendingOutcome:
    """The outcome of a unary call that may not have ended yet; one coroutine awaits it.

    Attributes:
        outcome: None until the call has ended.
        cancel_call: ends the call; None where there is none to end.
    """

    __slots__ = ("cancel_call", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.cancel_call: Callable[[], object] | None = None

    def set(self, outcome: Outcome) -> None:
        """Tells the outcome, perhaps before anybody awaits it; resumes whoever does."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, Any, Response]:
        """Waits for the response; raises the outcome if it is an error. Who no longer waits ends the call."""
        if self.outcome is None:
            try:
                yield self
            except BaseException:
                self.leave()
                raise
        return self.take()

    def leave(self) -> None:
        """Ends the call: nobody waits for it any more."""
        cancel, self.cancel_call = self.cancel_call, None
        if cancel is not None:
            cancel()

    def take(self) -> Response:
        """Returns the response; raises the outcome if it is an error."""
        self.cancel_call = None
        outcome = self.outcome
        if isinstance(outcome, Response):
            return outcome
        assert outcome is not None  # noqa: S101 - whoever awaits is resumed behind `set`
        raise outcome


class Call(Protocol):
    """One RPC, as an iterator of the messages that the server sends: one, or a stream.

    Iteration raises StatusError, with the call's metadata, if the call ends with another status than OK, and
    whatever the iterator of requests raised, if it did.

    A call may have a method `take_message() -> bytes | None` too: the next message if it has come. Then the
    messages that have come together are written together.
    """

    def __aiter__(self) -> Call:
        """Returns itself."""
        ...

    async def __anext__(self) -> bytes:
        """Waits for the next message."""
        ...

    async def initial_metadata(self) -> Metadata:
        """Waits for the initial metadata; empty if the call ends without."""
        ...

    async def trailing_metadata(self) -> Metadata:
        """Waits for the end; returns the trailing metadata."""
        ...


class Upstream(Protocol):
    """Opens calls, within its own block.

    It may have a method `contract_changed() -> None` too, which is called when another contract is in force.
    Calls of methods of the one before may still follow.
    """

    async def __aenter__(self) -> Any:
        """Prepares for calls."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Cancels the calls that are left."""
        ...

    def open(
        self,
        method: Method,
        requests: RequestMessages,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call that lives as long as the block; leaving the block cancels it.

        Args:
            method: the RPC.
            requests: bytes for a method that takes one message, else an iterator of bytes.
            metadata: sent to the server.
            timeout: seconds until the call ends with DEADLINE_EXCEEDED; None: no timeout.
        """
        ...

    def start_unary(
        self,
        method: Method,
        request: bytes,
        on_outcome: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Starts a unary call whose outcome goes to a callback, which costs no task.

        Args:
            method: the RPC.
            request: its message.
            on_outcome: called once with the outcome, perhaps before this returns. After the call is
                cancelled, called or not.
            metadata: sent to the server.
            timeout: seconds until the call ends with DEADLINE_EXCEEDED; None: no timeout.

        Returns:
            A function that cancels the call.
        """
        ...
