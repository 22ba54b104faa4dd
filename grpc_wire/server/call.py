"""One call of a server, below grpc's API: messages in, messages out, and one end.

Rule: a call ends once for the client (`finish`, a reset, the loss of the connection) and once for its handler
(the task returns, or is cancelled). Whichever is first causes the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, NoReturn

from grpc_wire.call.message import MESSAGE_COST, MessageFault, frame_pieces
from grpc_wire.call.request import RESPONSE_HEADERS, Request, limit_trailers, response_headers_fault
from grpc_wire.call.request_messages import RequestMessages
from grpc_wire.call.status import (
    DEADLINE_EXCEEDED,
    OK_TRAILERS,
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
    """A call, from its request's headers to its end.

    Attributes:
        request: what the request's headers say to gRPC.
        headers: of the request.
        transport: the connection.
        received: messages of the request.
        deadline: in the loop's time; None: no deadline.
        headers_sent: whether the response's headers were sent.
        ended: whether nothing more can be sent: the status was, or the stream is gone.
    """

    __slots__ = (
        "_arrived",
        "_deadlines",
        "_due",
        "_output_queued",
        "_room",
        "_send_limit",
        "_stream_id",
        "_task",
        "deadline",
        "ended",
        "headers",
        "headers_sent",
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
        """Starts a call; `limits` are maximum bytes of a request and a response message; -1 is no limit."""
        self.transport = transport
        self.request = request
        self.headers = event.headers
        self.headers_sent = self.ended = self._output_queued = False
        self._stream_id = event.stream_id
        limit, self._send_limit = limits
        self.received = RequestMessages(
            limit, request.encoding, event.data, half_closed=event.end_stream
        )
        self._arrived: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.deadline: float | None = None
        if request.timeout is not None:
            self.deadline = transport.last_received + request.timeout
            self._deadlines = deadlines
            self._due = deadlines.add(self.deadline, self._expire)

    def handle(self, handler: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine as the call's handler; it calls `start` first, and `handler_returned` last."""
        self._task = self.transport.loop.create_task(handler)

    def start(self) -> bool:
        """Starts to be handled; returns False if the call has ended already."""
        if self.deadline is not None and self.deadline <= self.transport.loop.time():
            self._expire()
        return not self.ended

    @property
    def handler_started(self) -> bool:
        """Whether the handler's coroutine has started."""
        handler: Any = self._task.get_coro()
        return getcoroutinestate(handler) != CORO_CREATED

    def handler_returned(self) -> None:
        """Drops the deadline, unless responses still wait for the client to read."""
        if not self._output_queued:
            self._drop_deadline()

    # Requests.

    def take_message(self) -> bytes | None:
        """Returns the next message, or None if it has not come; raises as `fail` does if it is invalid."""
        received = self.received
        try:
            message = received.take()
        except MessageFault as fault:
            if not self.ended:
                self.fail(fault)
            received.close()
            return None
        if message is not None:
            self.transport.turn.bytes_left -= MESSAGE_COST + len(message)
        if received.bytes_consumed and not received.half_closed:
            self.transport.consumed(self._stream_id, received.bytes_consumed)
            received.bytes_consumed = 0
        return message

    async def receive(self) -> bytes | None:
        """Waits for the next message; None if there are no more.

        It also waits for the next turn of the loop if the connection's share of this one is used up.
        """
        turn = self.transport.turn
        while True:
            if turn.bytes_left <= 0:
                await turn.wait()
            if (message := self.take_message()) is not None or self.received.half_closed:
                return message
            await self._wait_for_data()

    async def receive_single(self) -> bytes:
        """Returns the one message of a request.

        Raises:
            asyncio.CancelledError: there is none, or another; the call has ended with UNIMPLEMENTED.
        """
        message = await self.receive()
        if message is None or await self.receive() is not None:
            self.fail(MessageFault(UNIMPLEMENTED, "the method takes exactly one request message"))
        return message

    async def _wait_for_data(self) -> None:
        if self._arrived is not None:
            raise RuntimeError("two tasks read one call at once")
        if self.received.missing:
            self.transport.expect(self._stream_id, self.received.missing)
        self._arrived = self.transport.loop.create_future()
        try:
            await self._arrived
        finally:
            self._arrived = None

    # Responses.

    def send_headers(self, head: Headers) -> None:
        """Sends the response's headers, `RESPONSE_HEADERS` first; raises as `fail` if they are too large."""
        fault = response_headers_fault(head, self.transport.connection.peer.max_header_list)
        if fault is not None:
            self.fail(fault)
        self.headers_sent = True
        self.transport.send_headers(self._stream_id, head)

    def send_message(self, message: bytes, encoding: str) -> bool:
        """Sends a message; returns whether to call `wait_for_room` before the next.

        Raises:
            asyncio.CancelledError: it is too large; the call has ended with RESOURCE_EXHAUSTED.
        """
        if 0 <= self._send_limit < len(message):
            self._refuse(message)
        wait = False
        for piece in frame_pieces(message, encoding):
            wait = self.transport.send_data(self._stream_id, piece)
        return wait

    def respond(self, head: Headers, message: bytes, encoding: str) -> None:
        """Sends a complete OK response, and ends the call. Nothing of it may have been sent before.

        Raises:
            asyncio.CancelledError: the message is too large; the call has ended with RESOURCE_EXHAUSTED.
        """
        if 0 <= self._send_limit < len(message):
            self._refuse(message)
        self.headers_sent = self.ended = True
        data = frame_pieces(message, encoding)
        self._output_queued = self.transport.send_response(self._stream_id, head, data, OK_TRAILERS)
        if self._arrived is not None or self._room is not None:
            self._release()

    def _refuse(self, message: bytes) -> NoReturn:
        text = f"Sent message larger than max ({len(message)} vs. {self._send_limit})"
        self.fail(MessageFault(RESOURCE_EXHAUSTED, text))

    async def wait_for_room(self) -> None:
        """Waits until another message may be sent, or the call has ended."""
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
            ValueError: the trailing metadata are not allowed.
        """
        if self.ended:
            return
        trailers = to_trailers(status)
        if len(trailers) > 1:
            trailers = limit_trailers(trailers, self.transport.connection.peer.max_header_list)
        self.ended = True
        if not self.headers_sent:
            trailers = RESPONSE_HEADERS + trailers
        self.transport.send_headers(self._stream_id, trailers, end_stream=True)
        self._end_stream()

    def _end_stream(self) -> None:
        """Leaves the stream, once the client has read what is queued."""
        self._output_queued = self.transport.queued(self._stream_id) > 0
        if self._arrived is not None or self._room is not None:
            self._release()
        if not self._output_queued:
            self.transport.forget(self._stream_id)

    def fail(self, fault: MessageFault) -> NoReturn:
        """Ends the call with the error of a message, and raises CancelledError in the caller."""
        self.finish(Status(fault.code, fault.reason))
        if asyncio.current_task() is not self._task:
            self._task.cancel()
        raise asyncio.CancelledError(fault.reason)

    def abort(self) -> bool:
        """Ends the call because the server stops; returns whether its handler still runs."""
        self._give_up(Status(UNAVAILABLE, "Cancelling all calls"))
        return not self._task.done()

    # For the connection.

    def headers_received(self, event: HeadersReceived) -> None:
        """Reads trailers: requests of gRPC have none, but may end with them."""
        self.received.half_closed |= event.end_stream
        _wake(self._arrived)

    def data_received(self, event: DataReceived) -> None:
        """Adds received bytes."""
        self.received.append(event.data, half_closed=event.end_stream)
        _wake(self._arrived)

    def drained(self) -> None:
        """Lets the next message be sent; leaves the stream if the call has ended."""
        _wake(self._room)
        if self.ended:
            self._end_stream()
            self.handler_returned()

    def reset(self, _event: StreamReset) -> None:
        """Cancels the handler: the stream was reset."""
        self._end_without_status()

    def lost(self, _reason: str) -> None:
        """Cancels the handler: the connection has ended."""
        self._end_without_status()

    # The end.

    def _end_without_status(self) -> None:
        self._drop_deadline()
        if not self.ended:
            self.ended = True
            self._cancel()

    def _expire(self) -> None:
        self._give_up(Status(DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def _give_up(self, status: Status) -> None:
        """Ends the call with a status; by a reset if the client does not read."""
        if self.transport.queued(self._stream_id):
            self.ended, self._output_queued = True, False
            self.transport.reset(self._stream_id, ErrorCode.CANCEL)
        self.finish(status)
        self._cancel()

    def _cancel(self) -> None:
        """Cancels the handler; one that has not started finds out by `start`."""
        self._release()
        if self.handler_started:
            self._task.cancel()

    def _release(self) -> None:
        """Wakes readers and writers, which find the call ended."""
        self.received.close()
        _wake(self._arrived)
        _wake(self._room)

    def _drop_deadline(self) -> None:
        if self.deadline is not None:
            self._deadlines.drop(self._due)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
