"""One call, on the stream that carries it: what goes out, what has come, and how it ends.

It may take several streams. What the peer has certainly not processed is tried again: without limit while
nothing of it has left this side, once if the peer refused it (gRPC A6, transparent retries). What was sent is
kept for that until the peer answers, or it is too much to keep.

The end is told once, and it is the first that was known: the status that came over the wire, unless the
caller or the deadline was before it. That something could not be written is never the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grpc_wire import status as grpc_status
from grpc_wire.balancer import Balancer
from grpc_wire.codes import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    OK,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
)
from grpc_wire.errors import ErrorCode
from grpc_wire.events import DataReceived, Headers, HeadersReceived, StreamReset
from grpc_wire.message import ENCODINGS, IDENTITY, MessageFault, MessageReader, frame
from grpc_wire.status import Status
from grpc_wire.target import Address
from grpc_wire.timeout import print_timeout
from grpc_wire.transport import Transport

REPLAY_BYTES = 256 * 1024
"""What is kept of a call's requests, to be sent again; grpc's `per_rpc_retry_buffer_size`."""


@dataclass(frozen=True, slots=True)
class Method:
    """What all calls of a method have in common, made when the method is registered."""

    path: str
    head: Headers
    """Headers of each request; `:path` among them."""
    one_response: bool
    max_send: int
    max_receive: int
    serialize: Callable[[Any], bytes] | None
    deserialize: Callable[[bytes], Any] | None


class ClientStream:
    """One call.

    Attributes:
        status: how it ended; None until then.
        initial: the head of the answer; None until it came.
        cancelled_here: whether this side gave it up.
        deadline: on the loop's clock; None if there is none.
        half_closed: whether all requests were given.
    """

    def __init__(
        self,
        balancer: Balancer,
        method: Method,
        headers: Headers,
        *,
        timeout: float | None,
        wait_for_ready: bool,
        encoding: str,
    ) -> None:
        self.method = method
        self.wait_for_ready = wait_for_ready
        self.status: Status | None = None
        self.initial: Headers | None = None
        self.cancelled_here = False
        self.half_closed = False
        self.loop = loop = balancer.loop
        self.ended: list[Callable[[], object]] = []
        self._balancer = balancer
        self._headers = headers
        self._encoding = encoding
        self._address: Address | None = None
        self._transport: Transport | None = None
        self._id = 0
        self._opened_at = 0
        self._blocked = False
        self._refused = False
        self._sent: list[bytes] | None = []
        self._sent_size = 0
        self._reader: MessageReader | None = None
        self._messages: deque[tuple[bytes, int]] = deque()
        self._unread = 0
        self._reading: list[asyncio.Future[None]] = []
        self._writing: list[asyncio.Future[None]] = []
        self._ending: list[asyncio.Future[None]] = []
        self.deadline = None if timeout is None else loop.time() + timeout
        self._timer = None if timeout is None else loop.call_later(timeout, self._expired)

    # What the caller does.

    def start(self, message: bytes | None) -> None:
        """Asks for a connection; a message that is given is the only one."""
        if message is not None:
            self.half_closed = True
            if not self._fits(message):
                return
            self._sent = [frame(message, self._encoding)]
        self._balancer.begin(self)

    def cancel(self, details: str) -> bool:
        """Gives the call up; returns whether there was something to give up."""
        if self.status is not None:
            return False
        self.cancelled_here = True
        self._messages.clear()
        self.end(Status(CANCELLED, details), ErrorCode.CANCEL)
        return True

    def fail(self, status: Status) -> None:
        """Ends for what is wrong on this side, even if the peer had found nothing wrong."""
        if self.status is not None and self.status.code == OK:
            self.status = status
        self.end(status, ErrorCode.CANCEL)

    async def send(self, message: bytes) -> None:
        """Sends a message, and waits until one more may be sent, or the call has ended."""
        while self._transport is None and self.status is None:
            await self._until(self._writing)
        if self.status is not None or not self._fits(message):
            return
        data = frame(message, self._encoding)
        self._keep(data)
        assert self._transport is not None  # noqa: S101 - for the type checker
        self._blocked = self._transport.send_data(self._id, data)
        while self._blocked and self.status is None:
            await self._until(self._writing)

    def half_close(self) -> None:
        """Says that there are no more messages."""
        if self.half_closed:
            return
        self.half_closed = True
        if self._transport is not None:
            self._transport.send_data(self._id, b"", end_stream=True)

    async def begun(self) -> None:
        """Waits until the call has a connection, or has ended."""
        while self._transport is None and self.status is None:
            await self._until(self._writing)

    async def answered(self) -> None:
        """Waits for the head of the answer, or the end."""
        while self.initial is None and self.status is None:
            await self._until(self._reading)

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

    @property
    def has_message(self) -> bool:
        """Whether a message has come that was not taken."""
        return bool(self._messages)

    async def receive(self) -> bytes | None:
        """Waits for a message; None if there are no more."""
        while not self._messages:
            if self.status is not None:
                return None
            if self._reader is not None and self._reader.missing and self._transport is not None:
                self._transport.expect(self._id, self._reader.missing)
            await self._until(self._reading)
        return self.take()

    def take(self) -> bytes:
        """Returns the message that came first; the peer may send as much again."""
        message, size = self._messages.popleft()
        if size and self._transport is not None:
            self._transport.consumed(self._id, size)
        return message

    # What the balancer does.

    def begin(self, transport: Transport, address: Address) -> None:
        """Begins on a connection that has room."""
        headers = self._headers
        if self.deadline is not None:
            left = max(self.deadline - self.loop.time(), 0.0)
            headers = (*headers, (b"grpc-timeout", print_timeout(left)))
        self._transport = transport
        self._address = address
        self._opened_at = transport.writes
        self._id = transport.open(self, headers)
        self._blocked = False
        data = b"".join(self._sent or ())
        if data or self.half_closed:
            self._blocked = transport.send_data(self._id, data, end_stream=self.half_closed)
        if self._writing:
            _wake(self._writing)

    def unavailable(self, reason: str) -> None:
        """Ends: there is no connection."""
        self.end(Status(UNAVAILABLE, reason))

    # What the connection does.

    def headers_received(self, event: HeadersReceived) -> None:
        """Takes the head of the answer, or the trailers."""
        if event.trailers:
            self._trailers(event.headers)
            return
        wrong = grpc_status.from_answer(event.headers)
        if wrong is not None:
            self.end(wrong, ErrorCode.CANCEL)
        elif event.end_stream:
            self._trailers(event.headers)
        else:
            self._head(event.headers)

    def data_received(self, event: DataReceived) -> None:
        """Takes bytes of messages."""
        if self._reader is None:
            self.end(Status(INTERNAL, "data came before the head of the answer"), ErrorCode.CANCEL)
            return
        try:
            messages = self._reader.feed(event.data)
        except MessageFault as fault:
            self.end(Status(fault.code, f"CLIENT: {fault.reason}"), ErrorCode.CANCEL)
            return
        self._unread += len(event.data)
        if messages:
            self._messages.extend([(message, 0) for message in messages[:-1]])
            self._messages.append((messages[-1], self._unread))
            self._unread = 0
        if self._reader.missing and (self._reading or self.method.one_response):
            assert self._transport is not None  # noqa: S101 - for the type checker
            self._transport.expect(self._id, self._reader.missing)
        if self._reading and messages:
            _wake(self._reading)
        if self.method.one_response and len(self._messages) > 1:
            self.end(Status(UNIMPLEMENTED, "more than one response came"), ErrorCode.CANCEL)
        elif event.end_stream:
            self._trailers(())

    def drained(self) -> None:
        """Lets who waits send more."""
        self._blocked = False
        _wake(self._writing)

    def reset(self, event: StreamReset) -> None:
        """Ends, or is tried again: the peer has given it up, or has broken a rule."""
        self._transport = None
        if event.code == ErrorCode.REFUSED_STREAM and not self._refused:
            self._refused = True
            if self._again():
                return
        late = self.deadline is not None and self.loop.time() >= self.deadline
        if event.code == ErrorCode.CANCEL and late:
            self.end(Status(DEADLINE_EXCEEDED, "Deadline Exceeded"))
        else:
            self.end(grpc_status.from_reset(event.code, event.reason))

    def lost(self, reason: str) -> None:
        """Ends, or is tried again: the connection has ended."""
        transport, self._transport = self._transport, None
        if transport is not None and transport.writes == self._opened_at and self._again():
            return
        self.end(Status(UNAVAILABLE, f"the connection to {self._address} has ended: {reason}"))

    # How it is done.

    def end(self, status: Status, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Ends, if it has not; what is left of the stream is given up."""
        if self.status is not None:
            return
        self.status = status
        if self._timer is not None:
            self._timer.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.reset(self._id, code)
        for futures in (self._ending, self._reading, self._writing):
            if futures:
                _wake(futures)
        self._balancer.ended(self)
        callbacks, self.ended = self.ended, []
        for callback in callbacks:
            self._tell(callback)

    def _tell(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as error:
            told = {"message": "a callback of a call has failed", "exception": error}
            self.loop.call_exception_handler(told)

    def _head(self, headers: Headers) -> None:
        self.initial = headers
        self._sent = None
        encoding = dict(headers).get(b"grpc-encoding", b"").decode("latin-1") or IDENTITY
        if encoding not in ENCODINGS:
            reason = f"the answer has a grpc-encoding that is not known: {encoding!r}"
            self.end(Status(INTERNAL, reason), ErrorCode.CANCEL)
            return
        self._reader = MessageReader(self.method.max_receive, encoding)
        if self._reading:
            _wake(self._reading)

    def _trailers(self, headers: Headers) -> None:
        status = grpc_status.from_trailers(headers)
        if status.code == OK:
            if self._reader is not None and self._reader.partial:
                status = Status(INTERNAL, "the last message is not whole", status.trailing)
            elif self.method.one_response and not self._messages:
                status = Status(UNIMPLEMENTED, "no response came", status.trailing)
        self.end(status)

    def _fits(self, message: bytes) -> bool:
        limit = self.method.max_send
        if 0 <= limit < len(message):
            reason = f"CLIENT: Sent message larger than max ({len(message)} vs. {limit})"
            self.end(Status(RESOURCE_EXHAUSTED, reason), ErrorCode.CANCEL)
            return False
        return True

    def _keep(self, data: bytes) -> None:
        if self._sent is None:
            return
        self._sent_size += len(data)
        self._sent.append(data)
        if self._sent_size > REPLAY_BYTES:
            self._sent = None

    def _again(self) -> bool:
        if self._sent is None or self.status is not None:
            return False
        self._balancer.begin(self)
        return True

    def _expired(self) -> None:
        self.end(Status(DEADLINE_EXCEEDED, "Deadline Exceeded"), ErrorCode.CANCEL)

    async def _until(self, futures: list[asyncio.Future[None]]) -> None:
        future = self.loop.create_future()
        futures.append(future)
        try:
            await future
        finally:
            if future in futures:
                futures.remove(future)


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
    futures.clear()
