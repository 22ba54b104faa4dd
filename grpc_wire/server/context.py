"""The servicer's context: the double of `grpc.aio`'s.

Rule: it behaves as grpc's, with the same exceptions; `docs/reference/grpc-wire.md` lists the differences.
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
from grpc_wire.call.request import RESPONSE_HEADERS
from grpc_wire.call.status import CANCELLED, INTERNAL, OK, UNKNOWN, Status, text_of
from grpc_wire.grpc_api import ENCODINGS, code_number, is_metadata, metadata_of
from grpc_wire.headers.section import Headers
from grpc_wire.server.call import ServerCall
from grpc_wire.server.peer import AuthContext, auth_context, identities, identity_key, peer_name

_log = logging.getLogger(__name__)

_INVALID: Final = (
    "Invalid trailing metadata type, expected Tuple[Tuple[str, Union[str, bytes]]...]: "
)
_RESPONSE_HEADERS: Final = (*RESPONSE_HEADERS, ACCEPTED)
_ENDED: Final = "the call has ended"
_HEADERS_SENT: Final = "Compression setting must be specified before sending initial metadata"


class ServerContext(grpc.aio.ServicerContext[Any, Any]):
    """A call as its servicer sees it."""

    # Class attributes: calls that do not set them do not pay for them.
    _encoding = IDENTITY
    _compress_next = True
    _code: Any = None
    _number = OK
    _details = ""
    _trailing: tuple[tuple[str, str | bytes], ...] = ()
    _aborted: grpc.aio.AbortError | None = None
    _status_sent = closed = False  # `closed` also if the attempt to end it failed
    _callbacks: tuple[Callable[[Any], None], ...] = ()

    def __init__(
        self,
        call: ServerCall,
        parse: Callable[[bytes], Any],
        serialize: Callable[[Any], bytes],
        compression: grpc.Compression | None,
    ) -> None:
        """Makes a context; `compression` is the default for responses."""
        self.parse = parse
        self._call = call
        self._serialize = serialize
        self._compression = compression

    # Messages.

    def take(self) -> bytes | None:
        """Returns the next request as bytes for `parse`; None if it has not come."""
        if self.closed:
            self.raise_for_termination()
        return self._call.take_message() if self._call.transport.turn.bytes_left > 0 else None

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
            await self._call.wait_for_room()

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Sends the initial metadata.

        Raises:
            grpc.aio.UsageError: they were sent before.
            grpc.aio.InternalError: they are not allowed by gRPC.
        """
        self.raise_for_termination()
        if self._call.headers_sent:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        try:
            headers = to_headers(initial_metadata)
        except ValueError as error:
            raise grpc.aio.InternalError(f"Send initial metadata failed: {error}") from None
        self._call.send_headers(self._head(headers))

    def _head(self, headers: Headers = ()) -> Headers:
        if self._compression:
            encoding = ENCODINGS[self._compression]
            if encoding in self._call.request.accepts.decode("latin-1").replace(" ", "").split(","):
                self._encoding = encoding
                headers = ((b"grpc-encoding", encoding.encode()), *headers)
        return _RESPONSE_HEADERS + headers

    def _send(self, data: bytes) -> bool:
        call = self._call
        if call.ended:
            raise grpc.aio.InternalError(_ENDED)
        if not call.headers_sent:
            call.send_headers(self._head())
        encoding = self._encoding if self._compress_next else IDENTITY
        self._compress_next = True
        return call.send_message(data, encoding)

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

    def respond(self, response: Any) -> None:
        """Ends the call with its one response; without one if the status that was set is not OK."""
        if self.closed:
            self.raise_for_termination()
        call = self._call
        if self._number == OK and not call.ended:
            data = self._serialize(response)
            if not (call.headers_sent or self._details or self._trailing):
                head = self._head()
                call.respond(head, data, self._encoding if self._compress_next else IDENTITY)
                self._status_sent = self.closed = True
                return
            self._send(data)
        self.complete()

    def complete(self) -> None:
        """Ends the call with the status that was set."""
        self.raise_for_termination()
        self._finish()

    def fail(self, error: Exception) -> None:
        """Ends the call with UNKNOWN and an error of the servicer, if it has not ended."""
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

    def run_done_callbacks(self) -> None:
        """Runs the done callbacks; drops the error of `abort`, whose traceback refers to this context."""
        for callback in self._callbacks:
            try:
                callback(self)
            except (Exception, asyncio.CancelledError):
                path = self._call.request.path
                _log.exception("a done callback of servicer method [%s] has failed", path)
        self._aborted = None

    def raise_for_termination(self) -> None:
        """Raises if the servicer has ended the call."""
        if self._aborted is not None:
            raise self._aborted
        if self._status_sent:
            raise grpc.aio.UsageError("RPC already finished.")

    # Settings of the status and of compression.

    @property
    def aborted(self) -> grpc.aio.AbortError | None:
        """Error that `abort` raised; None if it was not called."""
        return self._aborted

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Sets the trailing metadata."""
        if not is_metadata(trailing_metadata):
            raise TypeError(f"{_INVALID}{trailing_metadata}")
        self._trailing = tuple(trailing_metadata)

    def trailing_metadata(self) -> Any:
        """Returns the trailing metadata that were set."""
        return self._trailing

    def set_code(self, code: Any) -> None:
        """Sets the status code."""
        self._code, self._number = code, code_number(code)

    def code(self) -> Any:
        """Returns the status code that was set; None if none was."""
        return self._code

    def set_details(self, details: str) -> None:
        """Sets the status message."""
        if not isinstance(details, str):
            raise TypeError(f"details are a str, not {type(details).__name__}")
        self._details = details

    def details(self) -> str:
        """Returns the status message that was set."""
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Sets the compression of responses, if the client accepts it.

        Raises:
            RuntimeError: the initial metadata, which announce it, were sent.
        """
        if self._call.headers_sent:
            raise RuntimeError(_HEADERS_SENT)
        self._compression = compression

    def disable_next_message_compression(self) -> None:
        """Sends the next response uncompressed."""
        self._compress_next = False

    # Request and client.

    def invocation_metadata(self) -> Any:
        """Returns the metadata of the request."""
        return metadata_of(self._call.headers)

    def peer(self) -> str:
        """Returns the client's address."""
        return peer_name(self._call.transport.socket)

    def auth_context(self) -> AuthContext:
        """Returns the properties of the client's TLS connection."""
        return auth_context(self._call.transport.socket)

    def peer_identity_key(self) -> str | None:
        """Returns the property that identifies the client."""
        return identity_key(self.auth_context())

    def peer_identities(self) -> Iterable[bytes] | None:
        """Returns the client's identities, from its certificate."""
        return identities(self.auth_context())

    def time_remaining(self) -> float:
        """Returns the seconds until the deadline; None if there is none."""
        deadline = self._call.deadline
        if deadline is None:
            return None  # type: ignore[return-value]  # grpc says float, and returns None
        return max(deadline - asyncio.get_running_loop().time(), 0.0)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls a function when the servicer has returned."""
        self._callbacks = (*self._callbacks, callback)

    def done(self) -> bool:
        """Whether the servicer has sent its status."""
        return self._status_sent

    def cancelled(self) -> bool:
        """Whether the code that was set is CANCELLED."""
        return self._number == CANCELLED
