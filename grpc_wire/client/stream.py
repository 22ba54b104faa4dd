"""One call of a channel, on the stream that carries it.

A call may take several streams: what the server has certainly not processed is retried. Without limit while
nothing of it was written to the socket, once if the server refused it (gRFC A6, transparent retries). Sent
requests are kept for that until the server responds, or until they exceed `REPLAY_BYTES`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from grpc_wire.call.message import (
    IDENTITY,
    MESSAGE_COST,
    MessageFault,
    frame_pieces,
    single_message,
)
from grpc_wire.call.metadata import Metadata
from grpc_wire.call.response import OneResponse, Responses, responses_of
from grpc_wire.call.status import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    OK,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    Status,
    from_reset,
    from_trailers,
)
from grpc_wire.call.timeout import ROUNDING_SECONDS
from grpc_wire.client.balancer import Balancer
from grpc_wire.client.method import ClientMethod
from grpc_wire.client.target import Address
from grpc_wire.headers.section import Headers, list_size
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import DataReceived, HeadersReceived, StreamReset
from grpc_wire.transport.deadlines import Deadline
from grpc_wire.transport.transport import Transport
from grpc_wire.transport.turn import Turn

LOCALLY_CANCELLED: Final = "Locally cancelled by application!"
REPLAY_BYTES = 256 * 1024
"""Maximum bytes of requests kept for a retry; grpc's `per_rpc_retry_buffer_size`."""


class ClientStream:
    """One call.

    It ends once, with the first end that is known: the status from the server, unless the caller or the
    deadline
    was before it. A failed write does not end it: the server's status may be on its way.

    Attributes:
        initial: initial metadata; None until the response's headers came.
        response: of a method with a single response, if the call has ended with OK.
        half_closed: whether all requests were given.
        status: of the call; None until it has ended.
        done_callbacks: called with this object when it ends.
        cancelled_locally: whether `cancel` ended it.
        deadline: in the loop's time; None: no deadline.
        due: entry of that deadline in the balancer's timer.
        wait_for_ready: whether it waits even if all attempts to connect have failed.
    """

    __slots__ = (
        "_address",
        "_balancer",
        "_blocked",
        "_encoding",
        "_ending",
        "_headers",
        "_held_trailers",
        "_id",
        "_reading",
        "_response_encoding",
        "_responses",
        "_sent",
        "_sent_size",
        "_timeout",
        "_transport",
        "_turn",
        "_was_refused",
        "_writes_before",
        "_writing",
        "cancelled_locally",
        "deadline",
        "done_callbacks",
        "due",
        "half_closed",
        "initial",
        "loop",
        "method",
        "response",
        "status",
        "wait_for_ready",
    )

    def __init__(
        self,
        balancer: Balancer,
        method: ClientMethod,
        headers: Headers,
        timeout: float | None,
        encoding: str,
        *,
        wait_for_ready: bool = False,
    ) -> None:
        self.loop = loop = balancer.loop
        self.method = method
        self.status: Status | None = None
        self.done_callbacks: tuple[Callable[[ClientStream], object], ...] = ()
        self.cancelled_locally = False
        self.deadline: float | None = None
        self._timeout: float | None = None
        """Seconds to the deadline, as long as no time has passed."""
        if timeout is not None:
            if timeout < math.inf:
                self._timeout = timeout = max(timeout, 0.0)
                self.deadline = loop.time() + timeout
            elif math.isnan(timeout):
                raise ValueError("the timeout is not a number")
        self.due: Deadline | None = None
        self._reading: tuple[asyncio.Future[None], ...] = ()
        self._writing: tuple[asyncio.Future[None], ...] = ()
        self._ending: tuple[asyncio.Future[None], ...] = ()
        self.wait_for_ready = wait_for_ready
        self.initial: Metadata | None = None
        self.half_closed = False
        self._balancer = balancer
        self._headers = headers
        self._encoding = encoding
        self._address: Address | None = None
        self._transport: Transport | None = None
        self._turn: Turn | None = None
        self._held_trailers: Headers | None = None
        """Trailers behind a message that waits to be decompressed."""
        self._id = self._writes_before = self._sent_size = 0
        self._blocked = self._was_refused = False
        self._sent: list[bytes] | None = None
        self._response_encoding = IDENTITY
        self._responses: Responses | None = None
        self.response: bytes | None = None

    # For the caller.

    def start(self, message: bytes | None) -> None:
        """Asks for a connection. A message that is given is the only request."""
        if message is None:
            self._sent = []
        else:
            self.half_closed = True
            if 0 <= self.method.max_send < len(message):
                self._refuse_size(len(message))
                return
            self._sent = frame_pieces(message, self._encoding)
        self._find_connection()
        self._timeout = None

    def send(self, message: bytes) -> bool:
        """Sends a request; returns whether to call `wait_for_room` before the next.

        Call it after `wait_for_connection`.
        """
        if self._transport is None:
            return False
        if 0 <= self.method.max_send < len(message):
            self._refuse_size(len(message))
            return False
        for piece in frame_pieces(message, self._encoding):
            self._keep_for_retry(piece)
            self._blocked = self._transport.send_data(self._id, piece)
        return self._blocked

    async def wait_for_room(self) -> None:
        """Waits until another request may be sent, or the call has ended."""
        while self._blocked and self.status is None:
            await self._wait_in("_writing")

    def half_close(self) -> None:
        """Ends the requests."""
        was_half_closed, self.half_closed = self.half_closed, True
        if self._transport is not None and not was_half_closed:
            self._transport.send_data(self._id, b"", end_stream=True)

    @property
    def needs_connection(self) -> bool:
        """Whether the call waits for a connection."""
        return self._transport is None and self.status is None

    async def wait_for_connection(self) -> None:
        """Waits until the call has a connection, or has ended."""
        while self.needs_connection:
            await self._wait_in("_writing")

    async def wait_for_headers(self) -> None:
        """Waits for the response's headers, or for the end."""
        while self.initial is None and self.status is None:
            await self._wait_in("_reading")

    @property
    def has_message(self) -> bool:
        """Whether a response of a stream has come that was not read."""
        return self._responses is not None and bool(self._responses.messages)

    async def receive(self) -> bytes | None:
        """Waits for a response of a stream; None if there are no more.

        It also waits for the next turn of the loop if the connection's share of this one is used up.
        """
        while (message := self.take_message()) is None and (
            self.status is None or self.has_message
        ):
            if self._turn is not None and self.has_message:
                await self._turn.wait()
                continue
            if self._transport and self._responses is not None and self._responses.missing:
                self._transport.expect(self._id, self._responses.missing)
            await self._wait_in("_reading")
        return message

    def take_message(self) -> bytes | None:
        """Returns the next response of a stream if it is there, and grants the server its window again.

        Also None if the connection's share of this turn of the loop is used up (`receive` waits for the
        next), or if the response cannot be decompressed: then the call has ended with that error.
        """
        responses = self._responses
        if responses is None or not responses.messages:
            return None
        turn = self._turn
        if turn is not None and turn.bytes_left <= 0:
            return None
        try:
            message, size = responses.take()
        except MessageFault as fault:
            responses.clear()
            self.fail(Status(fault.code, f"CLIENT: {fault.reason}"))
            return None
        if turn is not None:
            turn.bytes_left -= MESSAGE_COST + len(message)
        if size and self._transport is not None:
            self._transport.consumed(self._id, size)
        return message

    def cancel(self, details: str = LOCALLY_CANCELLED) -> bool:
        """Ends with CANCELLED; returns False if it had ended."""
        if self.status is not None:
            return False
        self.cancelled_locally = True
        self.end(Status(CANCELLED, details), ErrorCode.CANCEL)
        return True

    async def wait_for_end(self) -> Status:
        """Waits for the end; returns the status."""
        while self.status is None:
            await self._wait_in("_ending")
        return self.status

    def done_future(self) -> asyncio.Future[None]:
        """Returns a future that is done when the call has ended; cheaper than a task that waits."""
        future = self.loop.create_future()
        self._ending += (future,)
        return future

    def time_left(self) -> float | None:
        """Returns the seconds to the deadline; None if there is none."""
        return None if self.deadline is None else max(self.deadline - self.loop.time(), 0.0)

    def fail(self, status: Status) -> None:
        """Ends with an error of this side, even if the server's status was OK."""
        if self.status is not None and self.status.code == OK:
            self.status = status
        self.end(status, ErrorCode.CANCEL)

    # For the balancer.

    def start_on(self, transport: Transport, address: Address) -> bool:
        """Starts on a connection; returns False if it is full.

        If the server does not accept headers of this size (RFC 9113, 6.5.2), the call ends.
        """
        method, headers = self.method, self._headers
        head, size = method.head, method.head_size + list_size(headers)
        if self.deadline is not None:
            timeout = self._timeout
            if timeout is None:
                timeout = self.deadline - self.loop.time()
            head, headers = method.with_timeout(timeout - ROUNDING_SECONDS, headers)
            size += method.timeout_size
        limit = transport.connection.peer.max_header_list
        if limit is not None and size > limit:
            self._too_large(size, limit)
            return True
        sent = self._sent or [b""]
        complete = self.half_closed and len(sent) == 1
        stream_id = transport.open(self, head, headers, sent[0] if complete else None)
        if not stream_id:
            return False
        self._id, self._transport, self._address = stream_id, transport, address
        self._turn = transport.turn
        self._writes_before = transport.writer.write_count
        self._blocked = False
        if not complete:
            *before, last = sent
            for piece in before:
                transport.send_data(self._id, piece)
            if last or self.half_closed:
                self._blocked = transport.send_data(self._id, last, end_stream=self.half_closed)
        if self._writing:
            self._wake("_writing")
        return True

    def expired(self) -> None:
        """Ends with DEADLINE_EXCEEDED."""
        self.end(Status(DEADLINE_EXCEEDED, "Deadline Exceeded"), ErrorCode.CANCEL)

    def unavailable(self, reason: str) -> None:
        """Ends with UNAVAILABLE."""
        self.end(Status(UNAVAILABLE, reason))

    # For the connection.

    def headers_received(self, event: HeadersReceived) -> None:
        """Reads the response's headers, and what came with them; or trailers."""
        if event.end_stream:
            self._transport = None  # which has ended the stream
        if event.is_trailers:
            self._end_by_trailers(event.headers)
            return
        not_grpc, unsupported, encoding, metadata = self.method.read_response(event.headers)
        is_plain = not_grpc is None and unsupported is None
        if is_plain and event.trailers is not None and self.method.single_response:
            message = single_message(event.data, self.method.max_receive)
            if message is not None:
                status, self.initial = from_trailers(event.trailers), metadata
                self.response = message if status.code == OK else None
                self.end(status)
                return
        if not_grpc is not None:
            self.end(not_grpc, ErrorCode.CANCEL)
        elif event.end_stream and not event.data and event.trailers is None:
            self._end_by_trailers(event.headers)
        else:
            self.initial, self._response_encoding, self._sent = metadata, encoding, None
            if self._reading:
                self._wake("_reading")
            if unsupported is not None:
                self.end(unsupported, ErrorCode.CANCEL)
            elif event.data or event.end_stream:
                self.data_received(event)

    def data_received(self, event: DataReceived | HeadersReceived) -> None:
        """Reads bytes of messages, and trailers that came with them."""
        responses, method = self._responses, self.method
        if event.end_stream:
            self._transport = None  # which has ended the stream
        transport = self._transport
        if responses is None:
            responses = self._responses = self._responses_in(self._response_encoding)
        try:
            read = responses.feed(event.data)
        except MessageFault as fault:
            self.end(Status(fault.code, f"CLIENT: {fault.reason}"), ErrorCode.CANCEL)
            return
        if responses.compressed is not None:
            self._decompress()
        if transport is not None:
            if read:
                transport.consumed(self._id, read)
            if responses.missing and (self._reading or method.single_response):
                transport.expect(self._id, responses.missing)
        if self._reading and responses.messages:
            self._wake("_reading")
        if event.end_stream:
            self._end_by_trailers(event.trailers or ())

    def drained(self) -> None:
        """Lets the sender go on."""
        self._blocked = False
        self._wake("_writing")

    def reset(self, event: StreamReset) -> None:
        """Retries, or ends: the stream was reset."""
        self._transport = None
        if event.code == ErrorCode.REFUSED_STREAM and not self._was_refused:
            self._was_refused = True
            if self._retry():
                return
        late = self.deadline is not None and self.loop.time() >= self.deadline
        if event.code == ErrorCode.CANCEL and late:
            self.end(Status(DEADLINE_EXCEEDED, "Deadline Exceeded"))
        else:
            self.end(from_reset(event.code, event.reason))

    def lost(self, reason: str) -> None:
        """Retries, or ends: the connection has ended."""
        transport, self._transport = self._transport, None
        if transport is not None:
            is_written = transport.writer.write_count > self._writes_before
            if not is_written and self._retry():
                return
        self.end(Status(UNAVAILABLE, f"the connection to {self._address} has ended: {reason}"))

    # The end.

    def end(self, status: Status, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Ends, unless it has ended; resets the stream with `code` if it is open."""
        if self.status is not None:
            return
        self.status = status
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.reset(self._id, code)
        if self.cancelled_locally and self._responses is not None:
            self._responses.clear()
        self._balancer.call_finished(self)
        if self._ending or self._reading or self._writing:
            for waiting in ("_ending", "_reading", "_writing"):
                self._wake(waiting)
        callbacks, self.done_callbacks = self.done_callbacks, ()
        for callback in callbacks:
            try:
                callback(self)
            except (Exception, asyncio.CancelledError) as error:
                context = {"message": "a callback of a call has failed", "exception": error}
                self.loop.call_exception_handler(context)

    def _too_large(self, size: int, limit: int) -> None:
        """Ends in the next turn: the headers exceed the server's limit.

        Not at once: each end lets the next call start, and many such calls would recurse.
        """
        reason = f"CLIENT: Sent metadata larger than the server takes ({size} vs. {limit})"
        self.loop.call_soon(self.end, Status(RESOURCE_EXHAUSTED, reason))

    def _end_by_trailers(self, headers: Headers) -> None:
        status = from_trailers(headers)
        if (
            status.code == OK
            and self._responses is not None
            and self._responses.compressed is not None
        ):
            self._held_trailers = headers
            return
        if status.code == OK:
            responses = self._responses or self._responses_in(IDENTITY)
            try:
                responses.check_end()
            except MessageFault as fault:
                status = Status(fault.code, fault.reason, status.trailing)
            else:
                if self.method.single_response:
                    self.response, _ = responses.take()
        self.end(status)

    def _responses_in(self, encoding: str) -> Responses:
        method = self.method
        return responses_of(method.max_receive, encoding, only_one=method.single_response)

    def _decompress(self) -> None:
        """Decompresses a unary response in its connection's turn; then its trailers end the call."""
        responses, turn = self._responses, self._turn
        if self.status is not None or not isinstance(responses, OneResponse) or turn is None:
            return
        if turn.bytes_left <= 0:
            turn.call_later(self._decompress)
            return
        try:
            turn.bytes_left -= MESSAGE_COST + responses.decompress()
        except MessageFault as fault:
            self.end(Status(fault.code, f"CLIENT: {fault.reason}"), ErrorCode.CANCEL)
            return
        if self._held_trailers is not None:
            self._end_by_trailers(self._held_trailers)

    def _refuse_size(self, size: int) -> None:
        """Ends: a request of so many bytes is too large."""
        reason = f"CLIENT: Sent message larger than max ({size} vs. {self.method.max_send})"
        self.end(Status(RESOURCE_EXHAUSTED, reason), ErrorCode.CANCEL)

    def _keep_for_retry(self, data: bytes) -> None:
        if self._sent is not None:
            self._sent_size += len(data)
            self._sent.append(data)
        if self._sent_size > REPLAY_BYTES:
            self._sent = None

    def _retry(self) -> bool:
        if self._sent is None or self.status is not None:
            return False
        self._find_connection()
        return True

    def _find_connection(self) -> None:
        """Starts on a ready connection, or waits for one."""
        picked = self._balancer.start_call(self)
        if picked is not None:
            transport, address = picked
            if not self.start_on(transport, address):
                self._balancer.wait(self)

    def _wait_in(self, waiting: str) -> asyncio.Future[None]:
        """Returns a future, as one of those in an attribute, until `_wake` wakes them.

        Those of waiters that were cancelled are dropped here.
        """
        future = self.loop.create_future()
        others = [each for each in getattr(self, waiting) if not each.done()]
        setattr(self, waiting, (*others, future))
        return future

    def _wake(self, waiting: str) -> None:
        """Wakes all of those in an attribute."""
        futures = getattr(self, waiting)
        setattr(self, waiting, ())
        for future in futures:
            if not future.done():
                future.set_result(None)


def start_stream(
    balancer: Balancer,
    method: ClientMethod,
    headers: Headers,
    message: bytes | None,
    on_end: Callable[[ClientStream], object],
    timeout: float | None,
) -> ClientStream:
    """Starts a call of which the requests are not compressed; see `Channel.start_call`."""
    stream = ClientStream(balancer, method, headers, timeout, IDENTITY)
    stream.done_callbacks = (on_end,)
    stream.start(message)
    return stream
