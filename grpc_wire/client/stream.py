"""One call, on the stream that carries it: what goes out, what has come, and how it ends.

It may take several streams. What the peer has certainly not processed is tried again: without limit while
nothing of it has left this side, once if the peer refused it (gRPC A6, transparent retries). What was sent is
kept for that until the peer answers, or it is too much to keep.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from grpc_wire.call.message import IDENTITY, MESSAGE_COST, MessageFault, only, pieces
from grpc_wire.call.metadata import Metadata
from grpc_wire.call.response import OneResponse, Responses, read_head, responses_of
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
from grpc_wire.call.timeout import LOST, print_timeout
from grpc_wire.client.balancer import Balancer
from grpc_wire.client.method import Method
from grpc_wire.client.target import Address
from grpc_wire.headers.section import Headers, list_size
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import DataReceived, HeadersReceived, StreamReset
from grpc_wire.transport.deadlines import Deadline
from grpc_wire.transport.transport import Transport
from grpc_wire.transport.turn import Turn

_CANCELLED_HERE: Final = "Locally cancelled by application!"
REPLAY_BYTES = 256 * 1024
"""What is kept of a call's requests, to be sent again; grpc's `per_rpc_retry_buffer_size`."""


class ClientStream:
    """One call.

    The end is told once, and it is the first that was known: the status that came over the wire, unless the
    caller or the deadline was before it. That something could not be written is never the end.

    Attributes:
        initial: what the head of the answer says beside the messages; None until it came.
        half_closed: whether all requests were given.
        status: how it ended; None until then.
        ended: what is called then, with this.
        cancelled_here: whether this side gave it up.
        deadline: on the loop's clock; None if there is none.
        due: that deadline, where somebody watches it.
    """

    __slots__ = (
        "_address",
        "_answer_encoding",
        "_balancer",
        "_blocked",
        "_encoding",
        "_ending",
        "_headers",
        "_id",
        "_only",
        "_opened_at",
        "_reading",
        "_refused",
        "_responses",
        "_sent",
        "_sent_size",
        "_transport",
        "_turn",
        "_withheld",
        "_writing",
        "cancelled_here",
        "deadline",
        "due",
        "ended",
        "half_closed",
        "initial",
        "loop",
        "method",
        "status",
        "wait_for_ready",
    )

    def __init__(
        self,
        balancer: Balancer,
        method: Method,
        headers: Headers,
        timeout: float | None,
        encoding: str,
        *,
        wait_for_ready: bool,
    ) -> None:
        self.loop = loop = balancer.loop
        self.method = method
        self.status: Status | None = None
        self.ended: list[Callable[[ClientStream], object]] = []
        self.cancelled_here = False
        self.deadline: float | None = None
        if timeout is not None and timeout < math.inf:
            self.deadline = loop.time() + max(timeout, 0.0)
        elif timeout is not None and math.isnan(timeout):
            raise ValueError("the timeout is not a number")
        self.due: Deadline | None = None
        self._reading: list[asyncio.Future[None]] = []
        self._writing: list[asyncio.Future[None]] = []
        self._ending: list[asyncio.Future[None]] = []
        self.wait_for_ready = wait_for_ready
        self.initial: Metadata | None = None
        self.half_closed = False
        self._balancer = balancer
        self._headers = headers
        self._encoding = encoding
        self._address: Address | None = None
        self._transport: Transport | None = None
        self._turn: Turn | None = None
        self._withheld: Headers | None = None  # trailers behind a message that waits for its turn
        self._id = self._opened_at = self._sent_size = 0
        self._blocked = self._refused = False
        self._sent: list[bytes] | None = []
        self._answer_encoding = IDENTITY
        self._responses: Responses | None = None
        self._only: bytes | None = None  # what came in one piece, for which there are no responses

    # What the caller does.

    def start(self, message: bytes | None) -> None:
        """Asks for a connection; a message that is given is the only one."""
        if message is not None:
            self.half_closed = True
            if not self._fits(message):
                return
            self._sent = [*pieces(message, self._encoding)]
        self._balancer.begin(self)

    def send(self, message: bytes) -> bool:
        """Sends a message, once the call has `begun`; returns whether to wait for `room` before the next."""
        if self._transport is None or not self._fits(message):
            return False
        for piece in pieces(message, self._encoding):
            self._keep(piece)
            self._blocked = self._transport.send_data(self._id, piece)
        return self._blocked

    async def room(self) -> None:
        """Waits until one more message may be sent, or the call has ended."""
        while self._blocked and self.status is None:
            await self._until(self._writing)

    def half_close(self) -> None:
        """Says that there are no more messages."""
        before, self.half_closed = self.half_closed, True
        if self._transport is not None and not before:
            self._transport.send_data(self._id, b"", end_stream=True)

    @property
    def waits(self) -> bool:
        """Whether the call has no connection as yet; it has `begun` when that is over."""
        return self._transport is None and self.status is None

    async def begun(self) -> None:
        """Waits until the call has a connection, or has ended."""
        while self.waits:
            await self._until(self._writing)

    async def answered(self) -> None:
        """Waits for the head of the answer, or the end."""
        while self.initial is None and self.status is None:
            await self._until(self._reading)

    @property
    def has_message(self) -> bool:
        """Whether a message has come that was not taken."""
        responses = self._responses
        return self._only is not None or (responses is not None and bool(responses.messages))

    async def receive(self) -> bytes | None:
        """Waits for a message; None if there are no more.

        It also waits where the connection has had its share of this turn of the loop.
        """
        while (message := self.take()) is None and (self.status is None or self.has_message):
            if self._turn is not None and self.has_message:
                await self._turn.begun()
                continue
            if self._transport and self._responses is not None and self._responses.missing:
                self._transport.expect(self._id, self._responses.missing)
            await self._until(self._reading)
        return message

    def take(self) -> bytes | None:
        """Returns the message that came first, if one has; the peer may send as much again.

        None, too, if the connection has had its share of this turn of the loop (`receive` waits for another);
        or if the message cannot be decompressed: then there are no more, and the call has ended for that.
        """
        responses = self._responses
        if responses is None or not responses.messages:
            message, self._only = self._only, None
            return message
        turn = self._turn
        if turn is not None and turn.left <= 0 and not self.method.one_response:
            return None
        try:
            message, size = responses.take()
        except MessageFault as fault:
            responses.messages.clear()
            self.fail(Status(fault.code, f"CLIENT: {fault.reason}"))
            return None
        if turn is not None:
            turn.left -= MESSAGE_COST + len(message)
        if size and self._transport is not None:
            self._transport.consumed(self._id, size)
        return message

    def cancel(self, details: str = _CANCELLED_HERE) -> bool:
        """Gives the call up; returns whether there was something to give up."""
        if self.status is not None:
            return False
        self.cancelled_here = True
        self.end(Status(CANCELLED, details), ErrorCode.CANCEL)
        return True

    async def over(self) -> Status:
        """Waits for the end."""
        while self.status is None:
            await self._until(self._ending)
        return self.status

    def over_soon(self) -> asyncio.Future[None]:
        """Returns what is done when the call has ended: for one who waits for nothing else."""
        future = self.loop.create_future()
        self._ending.append(future)
        return future

    def time_left(self) -> float | None:
        """Returns the seconds to the deadline; None if there is none."""
        return None if self.deadline is None else max(self.deadline - self.loop.time(), 0.0)

    def fail(self, status: Status) -> None:
        """Ends for what is wrong on this side, even if the peer had found nothing wrong."""
        if self.status is not None and self.status.code == OK:
            self.status = status
        self.end(status, ErrorCode.CANCEL)

    # What the balancer does.

    def begin(self, transport: Transport, address: Address) -> None:
        """Begins on a connection that has room, if its server takes such headers (RFC 9113, 6.5.2)."""
        headers = self._headers
        if self.deadline is not None:
            headers += ((b"grpc-timeout", print_timeout(self.deadline - self.loop.time() - LOST)),)
        limit = transport.connection.peer_max_header_list
        if limit is not None and (size := self.method.head_size + list_size(headers)) > limit:
            self._too_large(size, limit)
            return
        self._transport, self._address = transport, address
        self._turn = transport.turn
        self._opened_at = transport.writes
        self._blocked = False
        sent = self._sent or [b""]
        whole = self.half_closed and len(sent) == 1
        self._id = transport.open(self, self.method.head, headers, sent[0] if whole else None)
        if not whole:
            *before, last = sent
            for piece in before:
                transport.send_data(self._id, piece)
            if last or self.half_closed:
                self._blocked = transport.send_data(self._id, last, end_stream=self.half_closed)
        if self._writing:
            _wake(self._writing)

    def expired(self) -> None:
        """Ends: it is past its deadline."""
        self.end(Status(DEADLINE_EXCEEDED, "Deadline Exceeded"), ErrorCode.CANCEL)

    def unavailable(self, reason: str) -> None:
        """Ends: there is no connection."""
        self.end(Status(UNAVAILABLE, reason))

    # What the connection does.

    def headers_received(self, event: HeadersReceived) -> None:
        """Takes the head of the answer with what has come beside it, or the trailers."""
        if event.trailers:
            self._trailers(event.headers)
            return
        wrong, unreadable, encoding, metadata = read_head(event.headers)
        if wrong is not None:
            self.end(wrong, ErrorCode.CANCEL)
        elif event.end_stream and not event.data and event.ending is None:
            self._trailers(event.headers)
        else:
            self.initial, self._answer_encoding, self._sent = metadata, encoding, None
            if self._reading:
                _wake(self._reading)
            if unreadable is not None:
                self.end(unreadable, ErrorCode.CANCEL)
            elif event.data or event.end_stream:
                self.data_received(event)

    def data_received(self, event: DataReceived | HeadersReceived) -> None:
        """Takes bytes of messages, and perhaps the trailers behind them."""
        responses, transport, method = self._responses, self._transport, self.method
        assert transport is not None  # noqa: S101 - for the type checker
        if responses is None:
            if event.end_stream and method.one_response:
                self._only = only(event.data, method.max_receive)
                if self._only is not None:
                    self._trailers(event.ending or ())
                    return
            responses = self._responses = self._responses_in(self._answer_encoding)
        try:
            read = responses.feed(event.data)
        except MessageFault as fault:
            self.end(Status(fault.code, f"CLIENT: {fault.reason}"), ErrorCode.CANCEL)
            return
        if responses.packed is not None:
            self._unpack()
        if read:
            transport.consumed(self._id, read)
        if responses.missing and (self._reading or method.one_response):
            transport.expect(self._id, responses.missing)
        if self._reading and responses.messages:
            _wake(self._reading)
        if event.end_stream:
            self._trailers(event.ending or ())

    def drained(self) -> None:
        """Lets who waits send more."""
        self._blocked = False
        _wake(self._writing)

    def reset(self, event: StreamReset) -> None:
        """Ends, or is tried again: the peer has given it up, or has broken a rule."""
        self._transport = None
        if self._withheld is not None:
            return
        if event.code == ErrorCode.REFUSED_STREAM and not self._refused:
            self._refused = True
            if self._again():
                return
        late = self.deadline is not None and self.loop.time() >= self.deadline
        if event.code == ErrorCode.CANCEL and late:
            self.end(Status(DEADLINE_EXCEEDED, "Deadline Exceeded"))
        else:
            self.end(from_reset(event.code, event.reason))

    def lost(self, reason: str) -> None:
        """Ends, or is tried again: the connection has ended."""
        transport, self._transport = self._transport, None
        if self._withheld is not None:
            return
        if transport is not None and transport.writes == self._opened_at and self._again():
            return
        self.end(Status(UNAVAILABLE, f"the connection to {self._address} has ended: {reason}"))

    # How it is done.

    def end(self, status: Status, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Ends, if it has not; what is left of the stream is given up."""
        if self.status is not None:
            return
        self.status = status
        self._leave(code)
        if self._ending or self._reading or self._writing:
            for futures in (self._ending, self._reading, self._writing):
                _wake(futures)
        ended, self.ended = self.ended, []
        for callback in ended:
            try:
                callback(self)
            except (Exception, asyncio.CancelledError) as error:
                told = {"message": "a callback of a call has failed", "exception": error}
                self.loop.call_exception_handler(told)

    def _too_large(self, size: int, limit: int) -> None:
        """Ends soon: its headers are larger than the server has announced that it takes.

        Not at once, for many such calls may wait, and the end of each lets the next begin.
        """
        reason = f"CLIENT: Sent metadata larger than the server takes ({size} vs. {limit})"
        self.loop.call_soon(self.end, Status(RESOURCE_EXHAUSTED, reason))

    def _leave(self, code: ErrorCode) -> None:
        """Gives up what is left of the stream, or of the wait for one."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.reset(self._id, code)
        if self.cancelled_here and self._responses is not None:
            self._responses.messages.clear()
        self._balancer.ended(self)

    def _trailers(self, headers: Headers) -> None:
        status = from_trailers(headers)
        if status.code == OK and self._responses is not None and self._responses.packed is not None:
            self._withheld = headers
            return
        if status.code == OK and self._only is None:
            try:
                (self._responses or self._responses_in(IDENTITY)).check_end()
            except MessageFault as fault:
                status = Status(fault.code, fault.reason, status.trailing)
        self.end(status)

    def _responses_in(self, encoding: str) -> Responses:
        method = self.method
        return responses_of(method.max_receive, encoding, only_one=method.one_response)

    def _unpack(self) -> None:
        """Decompresses an only message in its connection's turn; then the trailers behind it count."""
        responses, turn = self._responses, self._turn
        if self.status is not None or not isinstance(responses, OneResponse) or turn is None:
            return
        if turn.left <= 0:
            turn.later(self._unpack)
            return
        try:
            turn.left -= MESSAGE_COST + responses.unpack()
        except MessageFault as fault:
            self.end(Status(fault.code, f"CLIENT: {fault.reason}"), ErrorCode.CANCEL)
            return
        if self._withheld is not None:
            self._trailers(self._withheld)

    def _fits(self, message: bytes) -> bool:
        limit = self.method.max_send
        if 0 <= limit < len(message):
            reason = f"CLIENT: Sent message larger than max ({len(message)} vs. {limit})"
            self.end(Status(RESOURCE_EXHAUSTED, reason), ErrorCode.CANCEL)
            return False
        return True

    def _keep(self, data: bytes) -> None:
        if self._sent is not None:
            self._sent_size += len(data)
            self._sent.append(data)
        if self._sent_size > REPLAY_BYTES:
            self._sent = None

    def _again(self) -> bool:
        if self._sent is None or self.status is not None:
            return False
        self._balancer.begin(self)
        return True

    async def _until(self, futures: list[asyncio.Future[None]]) -> None:
        future = self.loop.create_future()
        futures.append(future)
        try:
            await future
        finally:
            if future in futures:
                futures.remove(future)


def _wake(futures: list[asyncio.Future[None]]) -> None:
    """Lets all go on who wait."""
    for future in futures:
        if not future.done():
            future.set_result(None)
    futures.clear()
