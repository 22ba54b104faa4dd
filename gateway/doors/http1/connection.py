"""One connection of HTTP/1.1, without I/O: bytes in, requests out, and what the responses do to it.

Requests come out in order, one at a time: the next one when the response to the one before is complete. What
is received beyond the limits is kept unparsed, and `wants_data` says to read no more of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.doors.http.limits import (
    MAX_DISCARDED_BYTES,
    MAX_PIPELINED,
    MAX_PROMISED_BYTES,
    READ_AHEAD_BYTES,
    Limits,
)
from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Headers, Request
from gateway.doors.http.response import Response
from gateway.doors.http1.request_parser import HEAD_PIECE, RequestParser

_FIRST_ERROR: Final = 400


class Connection:
    """One connection, from the server's side.

    Attributes:
        closing: whether the connection is to end behind the response that is under way.
        responding: whether a request is being answered.
        eof: whether the client has ended its side.
    """

    __slots__ = (
        "_first_piece",
        "_held",
        "_parser",
        "_request",
        "_response",
        "closing",
        "eof",
        "responding",
    )

    def __init__(self, limits: Limits) -> None:
        self._parser = RequestParser(limits)
        self._first_piece = min(limits.max_head, HEAD_PIECE)
        self._held = b""
        self._request: Request | None = None
        self._response: Response | None = None
        self.closing = False
        self.responding = False
        self.eof = False

    # What came.

    @property
    def is_drained(self) -> bool:
        """Whether nothing was received behind the request that is answered, or the last one that was."""
        parser = self._parser
        return not (parser.in_message or parser.requests or self._held or parser.stopped)

    @property
    def idle(self) -> bool:
        """Whether everything that was received was answered, to the end of a request."""
        return self.is_drained and not self.responding and not self.closing

    @property
    def in_head(self) -> bool:
        """Whether a head has begun to arrive."""
        return self._parser.in_head

    def new_head(self) -> bool:
        """Returns whether another head has begun to arrive since the last call."""
        parser = self._parser
        new, parser.new_head = parser.new_head, False
        return new and parser.in_head

    @property
    def incomplete(self) -> Request | None:
        """The request whose body is arriving."""
        return self._parser.current

    @property
    def has_requests(self) -> bool:
        """Whether requests wait to be answered."""
        return bool(self._parser.requests or self._held)

    @property
    def rejected(self) -> bool:
        """Whether something is wrong behind the last request."""
        return self._parser.rejection is not None

    @property
    def body_broken(self) -> bool:
        """Whether something is wrong in the body that is arriving."""
        return self._parser.rejection is not None and self._parser.current is not None

    def rejection(self) -> Rejection:
        """Returns what is wrong, as `next_request` does behind all responses."""
        assert self._parser.rejection is not None  # noqa: S101 - it was looked at
        self.closing = True
        return self._parser.rejection

    @property
    def known_headers(self) -> Headers:
        """Headers of the request that is arriving, as far as they are known."""
        return self._parser.known_headers

    @property
    def held(self) -> bool:
        """Whether something was received that is not parsed."""
        return bool(self._held)

    @property
    def wants_data(self) -> bool:
        """Whether more may be received."""
        return not self._held and not self._is_full()

    @property
    def discards_too_much(self) -> bool:
        """Whether more of a body came after its response than is to be read."""
        current = self._parser.current
        return current is not None and current.discarded > MAX_PROMISED_BYTES

    def receive(self, data: bytes) -> None:
        """Parses what was received, up to where the limits say to stop; `b""` goes on with what was kept."""
        parser = self._parser
        if len(data) <= self._first_piece and self.is_drained:
            data = parser.feed(data, may_upgrade=not self.responding)
            if not data:
                return
        if self._held:
            data, self._held = self._held + data, b""
        while data:
            if parser.stopped:
                self._held = data if parser.handshake is not None else b""
                return
            if parser.requests and self._is_full():
                self._held = data
                return
            size = parser.piece_size
            if len(data) <= size:
                data = parser.feed(data, may_upgrade=not self.responding)
            else:
                rest = parser.feed(data[:size], may_upgrade=not self.responding)
                data = rest + data[size:] if rest else data[size:]
            if parser.current is not None and parser.current.buffered > READ_AHEAD_BYTES:
                self._held = data
                return

    def _is_full(self) -> bool:
        parser = self._parser
        current = parser.current
        return len(parser.requests) > MAX_PIPELINED or (
            current is not None and current.buffered > READ_AHEAD_BYTES
        )

    def handshake(self) -> tuple[Request, bytes] | None:
        """Returns the WebSocket handshake with which HTTP ends, and what came behind it."""
        request = self._parser.handshake
        if request is None or self.responding:
            return None
        held, self._held = self._held, b""
        return request, held

    def close(self) -> None:
        """Parts what holds each other; nothing can be received any more."""
        self._parser.close()
        self._parser.finished = self._parser.stopped = True
        self._held = b""

    # What is answered.

    def next_request(self) -> Request | Rejection | None:
        """Returns the next request that is to be answered now, or what is wrong behind the last one."""
        parser = self._parser
        if self.responding or self.closing:
            return None
        if not parser.requests and self._held:
            self.receive(b"")
        if parser.requests:
            self.responding = True
            self._request = request = parser.requests.popleft()
            return self.rejection() if request is parser.current and self.rejected else request
        if parser.rejection is None:
            return None
        self.closing = True
        # what is wrong in a body behind its response is nobody's to answer
        return None if parser.current is not None else parser.rejection

    def end_response(self) -> bool:
        """Ends the response; returns whether the connection goes on."""
        request, response = self._request, self._response
        self.responding = False
        if request is not None:
            self._request = self._response = None
            if not self._goes_on(request):
                self.closing = True
            if response is not None and not response.keep_alive:
                self.closing = True
        if self.eof and not self.has_requests and self._parser.rejection is None:
            self.closing = True
        return not self.closing

    def _goes_on(self, request: Request) -> bool:
        if request.complete:
            return request.keep_alive
        request.discard()
        much = self._discards_much(request, MAX_PROMISED_BYTES)
        return request.keep_alive and not self.eof and not much

    def response(self) -> Response:
        """Returns the response to the request that is answered."""
        assert self._request is not None  # noqa: S101 - it was returned by `next_request`
        response = self._response = Response(self._request)
        return response

    def start_response(
        self,
        response: Response,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        defaults: Iterable[tuple[bytes, bytes]],
    ) -> bytes:
        """Returns the head of a response, which says whether the connection goes on.

        Raises:
            ValueError: the status or a header is none.
        """
        return response.start(status, headers, defaults, keep_alive=self.keeps_alive(status))

    def keeps_alive(self, status: int) -> bool:
        """Whether the connection may go on behind a response of this status.

        Behind an error that does not wait for the end of a long body it may not.
        """
        if self.closing or (self.eof and not self.has_requests):
            return False
        request = self._request
        if request is None or request.complete or status < _FIRST_ERROR:
            return request is None or request.keep_alive
        return request.keep_alive and not self._discards_much(request, MAX_DISCARDED_BYTES)

    @staticmethod
    def _discards_much(request: Request, limit: int) -> bool:
        """Whether the client would have to send more of a body that nobody reads than is read."""
        length = request.length
        return (
            length is not None and length > limit and not request.complete
        ) or request.expects_continue
