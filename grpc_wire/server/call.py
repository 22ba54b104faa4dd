"""One call on a server, below anything that grpc's API knows: messages in, messages out, and one end.

Rules:
- A call ends once for the peer (`finish`, a reset, the loss of the connection) and once for its handler (the
  task returns, or is cancelled); whichever is first makes the other follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, NoReturn

from grpc_wire.call.message import MESSAGE_COST, MessageFault, pieces
from grpc_wire.call.request import OPENING, Request, head_fault, within_limit
from grpc_wire.call.request_messages import Received
from grpc_wire.call.status import (
    DEADLINE_EXCEEDED,
    DONE,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    Status,
    to_trailers,
)
from grpc_wire.headers.section import Headers
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import DataReceived, HeadersReceived, StreamReset
from grpc_wire.transport.deadlines import Deadlines
from grpc_wire.transport.transport import Transport


class ServerCall:
    """A call, from its request's head to its end.

    Attributes:
        request: what the head of the request says to gRPC.
        headers: all of it.
        transport: the connection.
        received: what has come of the request's body.
        deadline: when it is over, in the loop's time; None is never.
        opened: whether the head of the answer was sent.
        ended: whether nothing more can be sent: the status was, or the call is lost.
    """

    __slots__ = (
        "_arrived",
        "_deadlines",
        "_due",
        "_room",
        "_send_limit",
        "_stream_id",
        "_task",
        "_unread",
        "deadline",
        "ended",
        "headers",
        "opened",
        "received",
        "request",
        "transport",
    )

    def __init__(
        self,
        transport: Transport,
        event: HeadersReceived,
        request: Request,
        limits: tuple[int, int],
        deadlines: Deadlines,
    ) -> None:
        """Begins a call; `limits` are bytes of the largest message, in and out, and -1 is no limit."""
        self.transport = transport
        self.request = request
        self.headers = event.headers
        self.opened = self.ended = self._unread = False
        self._stream_id = event.stream_id
        limit, self._send_limit = limits
        self.received = Received(limit, request.encoding, event.data, half_closed=event.end_stream)
        self._arrived: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.deadline: float | None = None
        if request.timeout is not None:
            self.deadline = transport.heard + request.timeout
            self._deadlines = deadlines
            self._due = deadlines.add(self.deadline, self._expire)

    def handle(self, handler: Coroutine[Any, Any, None]) -> None:
        """Lets a coroutine handle the call; it calls `start` first, and `over` last."""
        self._task = self.transport.loop.create_task(handler)

    def start(self) -> bool:
        """Begins to be handled; returns whether there is still somebody to answer."""
        if self.deadline is not None and self.deadline <= self.transport.loop.time():
            self._expire()
        return not self.ended

    @property
    def begun(self) -> bool:
        """Whether the handler has begun."""
        handler: Any = self._task.get_coro()
        return getcoroutinestate(handler) != CORO_CREATED

    def over(self) -> None:
        """Has no deadline any more, unless what was answered still waits for the client to read it."""
        if not self._unread:
            self._drop_deadline()

    # What comes in.

    def take(self) -> bytes | None:
        """Returns the next message, or None if none is there; raises as `fail` does if it cannot be one."""
        received = self.received
        try:
            message = received.take()
        except MessageFault as fault:
            if not self.ended:
                self.fail(fault)
            received.close()
            return None
        if message is not None:
            self.transport.turn.left -= MESSAGE_COST + len(message)
        if received.read and not received.half_closed:
            self.transport.consumed(self._stream_id, received.read)
            received.read = 0
        return message

    async def receive(self) -> bytes | None:
        """Waits for the next message, and takes it; None if there are no more.

        It also waits where this connection has had its share of this turn of the loop.
        """
        turn = self.transport.turn
        while True:
            if turn.left <= 0:
                await turn.begun()
            if (message := self.take()) is not None or self.received.half_closed:
                return message
            await self._arrival()

    async def receive_only(self) -> bytes:
        """Returns the one message of a request.

        Raises:
            asyncio.CancelledError: there is none, or another; the call has ended with the reason.
        """
        message = await self.receive()
        if message is None or await self.receive() is not None:
            self.fail(MessageFault(UNIMPLEMENTED, "the method takes exactly one request message"))
        return message

    async def _arrival(self) -> None:
        if self._arrived is not None:
            raise RuntimeError("two tasks read one call at once")
        if self.received.missing:
            self.transport.expect(self._stream_id, self.received.missing)
        self._arrived = self.transport.loop.create_future()
        try:
            await self._arrived
        finally:
            self._arrived = None

    # What goes out.

    def open(self, head: Headers) -> None:
        """Sends the head of an answer, which begins as `OPENING`; raises as `fail` if it is too large."""
        fault = head_fault(head, self.transport.connection.peer_max_header_list)
        if fault is not None:
            self.fail(fault)
        self.opened = True
        self.transport.send_headers(self._stream_id, head)

    def send(self, message: bytes, encoding: str) -> bool:
        """Sends a message; returns whether to wait for `room` before the next.

        Raises:
            asyncio.CancelledError: it is too large; the call has ended with the reason.
        """
        if 0 <= self._send_limit < len(message):
            self._refuse(message)
        wait = False
        for piece in pieces(message, encoding):
            wait = self.transport.send_data(self._stream_id, piece)
        return wait

    def answer(self, head: Headers, message: bytes, encoding: str) -> None:
        """Sends all of an answer that is OK, and ends the call, of which nothing was sent yet.

        Raises:
            asyncio.CancelledError: the message is too large; the call has ended with the reason.
        """
        if 0 <= self._send_limit < len(message):
            self._refuse(message)
        self.opened = self.ended = True
        data = pieces(message, encoding)
        self._unread = self.transport.answer(self._stream_id, head, data, DONE)
        if self._arrived is not None or self._room is not None:
            self._release()

    def _refuse(self, message: bytes) -> NoReturn:
        text = f"Sent message larger than max ({len(message)} vs. {self._send_limit})"
        self.fail(MessageFault(RESOURCE_EXHAUSTED, text))

    async def room(self) -> None:
        """Waits until there is room for more, or the call has ended."""
        if self._room is not None:
            raise RuntimeError("two tasks write to one call at once")
        self._room = self.transport.loop.create_future()
        try:
            await self._room
        finally:
            self._room = None

    def finish(self, status: Status) -> None:
        """Ends the call with a status, unless it has ended.

        Raises:
            ValueError: the trailing metadata are not what gRPC allows.
        """
        if self.ended:
            return
        trailers = to_trailers(status)
        if len(trailers) > 1:
            trailers = within_limit(trailers, self.transport.connection.peer_max_header_list)
        self.ended = True
        if not self.opened:
            trailers = OPENING + trailers
        self.transport.send_headers(self._stream_id, trailers, end_stream=True)
        self._leave()

    def _leave(self) -> None:
        """Has ended; what is queued still waits for the client to read it."""
        self._unread = self.transport.queued(self._stream_id) > 0
        if self._arrived is not None or self._room is not None:
            self._release()
        if not self._unread:
            self.transport.forget(self._stream_id)

    def fail(self, fault: MessageFault) -> NoReturn:
        """Ends the call for what was wrong with a message, and raises CancelledError in who asked for it."""
        self.finish(Status(fault.code, fault.reason))
        if asyncio.current_task() is not self._task:
            self._task.cancel()
        raise asyncio.CancelledError(fault.reason)

    def cut(self) -> bool:
        """Ends the call because the server stops; returns whether it is still being handled."""
        self._give_up(Status(UNAVAILABLE, "Cancelling all calls"))
        return not self._task.done()

    # What the connection says.

    def headers_received(self, event: HeadersReceived) -> None:
        """Takes trailers: a request has none in gRPC, but may end with them."""
        self.received.half_closed |= event.end_stream
        _wake(self._arrived)

    def data_received(self, event: DataReceived) -> None:
        """Takes a part of a message."""
        self.received.append(event.data, half_closed=event.end_stream)
        _wake(self._arrived)

    def drained(self) -> None:
        """Lets the next message be sent; a call that has ended is done with."""
        _wake(self._room)
        if self.ended:
            self._leave()
            self.over()

    def reset(self, _event: StreamReset) -> None:
        """Cancels the handler: the client has given the call up, or broken a rule."""
        self._vanish()

    def lost(self, _reason: str) -> None:
        """Cancels the handler: the connection has ended."""
        self._vanish()

    # How it ends.

    def _vanish(self) -> None:
        self._drop_deadline()
        if not self.ended:
            self.ended = True
            self._cancel()

    def _expire(self) -> None:
        self._give_up(Status(DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def _give_up(self, status: Status) -> None:
        """Ends the call with a status, or with a reset if the client does not read."""
        if self.transport.queued(self._stream_id):
            self.ended, self._unread = True, False
            self.transport.reset(self._stream_id, ErrorCode.CANCEL)
        self.finish(status)
        self._cancel()

    def _cancel(self) -> None:
        """Cancels the handler; one that has not begun looks by itself (`start`)."""
        self._release()
        if self.begun:
            self._task.cancel()

    def _release(self) -> None:
        """Lets whoever waits to read or to write go on, and find that it is over."""
        self.received.close()
        _wake(self._arrived)
        _wake(self._room)

    def _drop_deadline(self) -> None:
        if self.deadline is not None:
            self._deadlines.drop(self._due)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
