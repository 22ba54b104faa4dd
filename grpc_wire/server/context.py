"""What a servicer sees of its call: the double of `grpc.aio`'s context.

Rule: what grpc's own context does, this does, with the same exceptions; where they differ,
`docs/reference/grpc-wire.md` says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from grpc_wire.call.message import ACCEPTED, IDENTITY
from grpc_wire.call.metadata import to_headers
from grpc_wire.call.request import OPENING
from grpc_wire.call.status import CANCELLED, INTERNAL, OK, UNKNOWN, Status, text_of
from grpc_wire.grpc_api import ENCODINGS, code_number, is_metadata, metadata_of
from grpc_wire.headers.section import Headers
from grpc_wire.server.call import ServerCall
from grpc_wire.server.peer import AuthContext, auth_context, identities, identity_key, peer_name

_log = logging.getLogger(__name__)

_INVALID: Final = (
    "Invalid trailing metadata type, expected Tuple[Tuple[str, Union[str, bytes]]...]: "
)
_OPENING: Final = (*OPENING, ACCEPTED)
_ENDED: Final = "the call has ended"
_OPENED: Final = "Compression setting must be specified before sending initial metadata"


class Context(grpc.aio.ServicerContext[Any, Any]):
    """A call, as its servicer sees it."""

    # What most calls never change costs them nothing.
    _encoding = IDENTITY
    _compress_next = True
    _code: Any = None
    _number = OK
    _details = ""
    _trailing: tuple[tuple[str, str | bytes], ...] = ()
    _aborted: grpc.aio.AbortError | None = None
    _status_sent = closed = False  # it is closed, too, where the servicer has only tried to end it
    _callbacks: tuple[Callable[[Any], None], ...] = ()

    def __init__(
        self,
        call: ServerCall,
        parse: Callable[[bytes], Any],
        serialize: Callable[[Any], bytes],
        compression: grpc.Compression | None,
    ) -> None:
        """Makes a context; responses are compressed so if nothing else is set."""
        self.parse = parse
        self._call = call
        self._serialize = serialize
        self._compression = compression

    # Messages.

    def take(self) -> bytes | None:
        """Returns the next request, which `parse` reads, if it is there and nobody needs to wait."""
        if self.closed:
            self.raise_for_termination()
        return self._call.take() if self._call.transport.turn.left > 0 else None

    async def read(self) -> Any:
        """Returns the next request, or `grpc.aio.EOF`.

        Raises:
            grpc.aio.BaseError: the call has ended, perhaps before its requests have.
        """
        message = self.take()
        if message is None:
            message = await self._call.receive()
            self.raise_for_termination()
        if message is None and self._call.ended:
            raise grpc.aio.InternalError(_ENDED)
        return grpc.aio.EOF if message is None else self.parse(message)

    async def write(self, message: Any) -> None:
        """Sends a response; waits while the client does not read.

        Raises:
            grpc.aio.BaseError: the call has ended.
        """
        if self.closed:
            self.raise_for_termination()
        if self._send(self._serialize(message)):
            await self._call.room()

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Sends the head of the answer.

        Raises:
            grpc.aio.UsageError: it was sent.
            grpc.aio.InternalError: it is not what gRPC allows.
        """
        self.raise_for_termination()
        if self._call.opened:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        try:
            headers = to_headers(initial_metadata)
        except ValueError as error:
            raise grpc.aio.InternalError(f"Send initial metadata failed: {error}") from None
        self._call.open(self._head(headers))

    def _head(self, headers: Headers = ()) -> Headers:
        if self._compression:
            encoding = ENCODINGS[self._compression]
            if encoding in self._call.request.accepts.decode("latin-1").replace(" ", "").split(","):
                self._encoding = encoding
                headers = ((b"grpc-encoding", encoding.encode()), *headers)
        return _OPENING + headers

    def _send(self, data: bytes) -> bool:
        call = self._call
        if call.ended:
            raise grpc.aio.InternalError(_ENDED)
        if not call.opened:
            call.open(self._head())
        encoding = self._encoding if self._compress_next else IDENTITY
        self._compress_next = True
        return call.send(data, encoding)

    # The end.

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """Ends the call with a status that is not OK.

        Raises:
            grpc.aio.AbortError: always.
        """
        if self._aborted is not None:
            raise grpc.aio.UsageError("Abort already called!")
        if code_number(code) == OK:
            raise grpc.aio.UsageError("Abort needs a code other than OK")
        if details:
            self.set_details(details)
        self._aborted = grpc.aio.AbortError("Locally aborted.")
        self.closed = True
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        self.set_code(code)
        self._finish()
        raise self._aborted

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """Ends the call with a status that is not OK.

        Raises:
            grpc.aio.AbortError: always.
        """
        await self.abort(status.code, status.details, status.trailing_metadata)

    def answer(self, response: Any) -> None:
        """Ends the call with its one response; with a status that is not OK there is none."""
        if self.closed:
            self.raise_for_termination()
        call = self._call
        if self._number == OK and not call.ended:
            data = self._serialize(response)
            if not (call.opened or self._details or self._trailing):
                head = self._head()
                call.answer(head, data, self._encoding if self._compress_next else IDENTITY)
                self._status_sent = self.closed = True
                return
            self._send(data)
        self.complete()

    def complete(self) -> None:
        """Ends the call, with the status that was set."""
        self.raise_for_termination()
        self._finish()

    def fail(self, error: Exception) -> None:
        """Ends the call for an error of its servicer, if it has not ended."""
        if not self._status_sent:
            self._number = self._number or UNKNOWN
            self._details = f"Unexpected {type(error)}: {text_of(error)}"
            self._finish()

    def _finish(self) -> None:
        self._status_sent = self.closed = True
        try:
            self._call.finish(Status(self._number, self._details, self._trailing))
        except ValueError as error:
            self._call.finish(Status(INTERNAL, f"Invalid metadata: {error}"))

    def over(self) -> None:
        """Calls back whoever waits for the end; forgets what it has raised, whose traceback knows of it."""
        for callback in self._callbacks:
            try:
                callback(self)
            except (Exception, asyncio.CancelledError):
                path = self._call.request.path
                _log.exception("a done callback of servicer method [%s] has failed", path)
        self._aborted = None

    def raise_for_termination(self) -> None:
        """Raises what stops a servicer that goes on after it has ended its call."""
        if self._aborted is not None:
            raise self._aborted
        if self._status_sent:
            raise grpc.aio.UsageError("RPC already finished.")

    # What was set.

    @property
    def aborted(self) -> grpc.aio.AbortError | None:
        """What `abort` has raised, if it was called."""
        return self._aborted

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Sets what is sent along with the status."""
        if not is_metadata(trailing_metadata):
            raise TypeError(f"{_INVALID}{trailing_metadata}")
        self._trailing = tuple(trailing_metadata)

    def trailing_metadata(self) -> Any:
        """Returns what is to be sent along with the status."""
        return self._trailing

    def set_code(self, code: Any) -> None:
        """Sets the code with which the call is to end."""
        self._code, self._number = code, code_number(code)

    def code(self) -> Any:
        """Returns the code that was set; None if there was none."""
        return self._code

    def set_details(self, details: str) -> None:
        """Sets the message with which the call is to end."""
        if not isinstance(details, str):
            raise TypeError(f"details are a str, not {type(details).__name__}")
        self._details = details

    def details(self) -> str:
        """Returns the message that was set."""
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Sets how responses are compressed, if the client can read it.

        Raises:
            RuntimeError: the head of the answer was sent, which says so.
        """
        if self._call.opened:
            raise RuntimeError(_OPENED)
        self._compression = compression

    def disable_next_message_compression(self) -> None:
        """Lets the next response go as it is."""
        self._compress_next = False

    # What is known.

    def invocation_metadata(self) -> Any:
        """Returns what the client has sent along with the request."""
        return metadata_of(self._call.headers)

    def peer(self) -> str:
        """Returns the client's address."""
        return peer_name(self._call.transport.socket)

    def auth_context(self) -> AuthContext:
        """Returns what TLS knows of the client."""
        return auth_context(self._call.transport.socket)

    def peer_identity_key(self) -> str | None:
        """Returns the property that identifies the client."""
        return identity_key(self.auth_context())

    def peer_identities(self) -> Iterable[bytes] | None:
        """Returns who the client is, by its certificate."""
        return identities(self.auth_context())

    def time_remaining(self) -> float:
        """Returns the seconds until the deadline; None if there is none."""
        deadline = self._call.deadline
        if deadline is None:
            return None  # type: ignore[return-value]  # grpc says float, and returns None
        return max(deadline - asyncio.get_running_loop().time(), 0.0)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls back when the servicer has ended."""
        self._callbacks = (*self._callbacks, callback)

    def done(self) -> bool:
        """Whether the servicer has sent its status."""
        return self._status_sent

    def cancelled(self) -> bool:
        """Whether the code that was set is CANCELLED."""
        return self._number == CANCELLED
