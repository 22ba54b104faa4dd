"""One request and its state: who asks, what is asked, and the response on its way to the door."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from time import monotonic, time

from gateway.contract.http_rule import Binding
from gateway.contract.method import Method
from gateway.contract.route_table import RouteMatch
from gateway.exchange.attendance import Attendance, Interruption
from gateway.exchange.call_metadata import replaced, with_decisions
from gateway.exchange.client_certificate import ClientCertificate
from gateway.exchange.edge import Edge
from gateway.exchange.inline import InlineRun
from gateway.exchange.observation import Observation, log_fault, tell_each
from gateway.exchange.observer import EndedBy
from gateway.exchange.policy import Policy
from gateway.exchange.ports import ClientGone, RequestBody, Sink, WebSocket, until_sent
from gateway.exchange.request import Request
from gateway.exchange.request_info import RequestHeaders, RequestInfo, Wire
from gateway.exchange.response import NO_SNIFFING, HttpResponse
from gateway.exchange.routing import allowed_methods
from gateway.exchange.tally import Tally
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.status import UNAVAILABLE, StatusError

_CLIENT_CLOSED_REQUEST = 499
"""nginx's status of a request whose client left; only middleware and logs see it."""
_HTTP, _WEBSOCKET = Wire.HTTP, Wire.WEBSOCKET


class Exchange:
    """One request while it is answered; `gateway.exchange.serve` has the order of its steps.

    Attributes:
        edge: what the process serves.
        request: what the door has read.
        request_id: the caller's, or a new one.
        headers: of the request, for policies and observers.
        metadata: that go upstream.
        body: of the request.
        is_head: whether the response has no body, because the request is a HEAD.
        websocket: None for a request over HTTP.
        run: steps the exchange as long as it has no task; None where it has one.
        client: IP address of the client; a door whose requests are cached sets it.
        certificate: the client's; a door sets it.
        info: what policies and observers see; None where there are none.
        observation: tells observers of events with the `info`; None where nobody wants any.
        timeout: seconds that the call may take; None: no end.
        deadline: time of the loop at which it ends; None until time has passed, or where there is no end.
        failure: the error with which it ended; None for OK.
        ended_by: set where the client or a shutdown ended it.
        query: of the request, without what policies have taken out.
        pass_on: has the framework answer a request that is not the contract's; None where it was asked.
        status: the HTTP status that was sent; 0 before the head of the response is.
        bytes_in: bytes of the body, or of the messages of a WebSocket, that have come.
        bytes_out: the same that were sent.
        tally: what a stream or a page has carried; None where nobody asks.
        attendance: the block in which a stream is answered, if its door tells it that the client has left.
    """

    __slots__ = (
        *("edge", "request", "request_id", "headers", "metadata", "body", "is_head", "websocket"),
        *("run", "client", "info", "failure", "ended_by", "timeout", "deadline", "endpoint"),
        *("captures", "last_event_id", "pass_on", "query", "status", "bytes_in", "bytes_out"),
        *("tally", "_sink", "attendance", "certificate", "observation"),
    )

    def __init__(
        self,
        edge: Edge,
        request: Request,
        body: RequestBody,
        sink: Sink,
        request_id: str,
        metadata: Metadata,
        query: bytes,
        headers: RequestHeaders,
        run: InlineRun | None = None,
        websocket: WebSocket | None = None,
    ) -> None:
        head = request.head
        self.edge = edge
        self.request = request
        self.request_id = request_id
        self.headers = headers
        self.metadata = metadata
        self.body = body
        self._sink = sink
        self.is_head = request.http_method == "HEAD"
        self.websocket = websocket
        self.run = run
        self.client = request.client
        self.certificate: ClientCertificate | None = None
        self.info: RequestInfo | None = None
        self.observation: Observation | None = None
        self.timeout = head.timeout
        self.deadline: float | None = None
        self.failure: StatusError | None = None
        self.ended_by: EndedBy | None = None
        self.last_event_id = head.last_event_id
        self.query = query
        self.pass_on: Callable[[], Awaitable[None]] | None = None
        self.status = self.bytes_in = self.bytes_out = 0
        self.tally: Tally | None = None
        self.attendance: Attendance | None = None
        self.endpoint: Endpoint
        self.captures: tuple[str, ...]
        route, limit = request.route, edge.limits.timeout
        if isinstance(route, RouteMatch):
            self.endpoint = route.target
            self.captures = route.captures
            if limit is not None and not route.target.method.streams:
                self.timeout = limit if head.timeout is None else min(head.timeout, limit)

    # The request.

    def inform(self) -> RequestInfo:
        """Makes what policies and observers see."""
        request, route = self.request, self.request.route
        binding: Binding | None = None
        method: Method | None = None
        others: tuple[str, ...] = ()
        if isinstance(route, RouteMatch):
            binding = route.target.binding
            method = binding.method
        else:
            others = allowed_methods(route)
        self.info = info = RequestInfo(
            _HTTP if self.websocket is None else _WEBSOCKET,
            request.http_method,
            request.path,
            self.headers,
            method,
            self.client,
            self.request_id,
            self.query,
            others,
            "https" if request.secure else "http",
            request.head.origin,
            binding,
        )
        info.certificate = self.certificate
        return info

    def admit(self) -> Awaitable[None] | None:
        """Asks the policies.

        Returns:
            None if they have decided; else what asks on where one has to wait.

        Raises:
            StatusError: one refuses the request. The awaitable may raise it too.
            Answer: one answers it. The awaitable may raise it too.
        """
        info = self.info or self.inform()
        policy: Policy | None = None
        policies = iter(self.request.served.policies)
        try:
            for policy in policies:
                if (decision := policy.admit(info)) is not None:
                    return self._wait(policy, decision, info, policies)
        except StatusError as error:
            self._tell_of_refusal(policy, error)
            raise
        self._take_decisions(info)
        return None

    async def _wait(
        self,
        policy: Policy,
        decision: Awaitable[None],
        info: RequestInfo,
        others: Iterator[Policy],
    ) -> None:
        """Waits for the decision of a policy, then asks the others."""
        await self.in_task()
        try:
            await decision
            for policy in others:
                if (later := policy.admit(info)) is not None:
                    await later
        except StatusError as error:
            self._tell_of_refusal(policy, error)
            raise
        self._take_decisions(info)

    def _tell_of_refusal(self, policy: Policy | None, error: StatusError) -> None:
        observation = self.edge.observation
        if policy is not None and observation is not None:
            tell_each(observation.policy_refused, type(policy).__name__, error.code)

    def _take_decisions(self, info: RequestInfo) -> None:
        self.client, self.query = info.client, info.query
        self.last_event_id = self.last_event_id or info.last_event_id
        if info.metadata or info.removed_metadata:
            self.metadata = with_decisions(self.metadata, info, self.edge.metadata.withheld)

    async def in_task(self) -> None:
        """Returns in a task; behind it the exchange may wait, so the deadline stands from here on."""
        if self.deadline is None and self.timeout is not None:
            self.start_deadline(self.timeout)
        if (run := self.run) is not None:
            await run.in_task()
            self.run = None

    def start_deadline(self, timeout: float) -> None:
        """Sets the deadline to so many seconds from now."""
        self.timeout = timeout
        self.deadline = asyncio.get_running_loop().time() + timeout

    def remaining(self) -> float | None:
        """Returns the seconds left until the deadline; None: there is none."""
        if self.deadline is None:  # no time has passed
            return self.timeout
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    def attend_stream(self, gone: Callable[[], Awaitable[None]] | None, wire: str) -> Attendance:
        """Returns the block in which a stream is answered; a shutdown ends it, and the end of credentials.

        Args:
            gone: returns when the client has left; None for a request whose whole body was there: its door
                tells.
            wire: how messages are framed, for metrics.

        Raises:
            StatusError: UNAVAILABLE, the edge is shutting down already.
        """
        if self.edge.closing:
            raise StatusError.of(UNAVAILABLE, Interruption.SHUTDOWN.value)
        expires_at = None if self.info is None else self.info.expires_at
        seconds = None if expires_at is None else max(0.0, expires_at - time())
        attendance = Attendance(gone, self.edge.attendances, seconds=seconds, wire=wire)
        if gone is None:
            self.attendance = attendance
        if self.info is not None:
            self.info.on_revoke = attendance.revoke
        return attendance

    def replace_metadata(self, later: Metadata = ()) -> None:
        """Adds metadata that came later; see `call_metadata.replaced`."""
        self.metadata = replaced(self.metadata, self.info, later)

    # The response. Each method raises ClientGone if nobody reads it.

    @property
    def write_now(self) -> Callable[[bytes], bool] | None:
        """See `Sink.write_now`."""
        return self._sink.write_now

    def mark_started(self, status: int) -> None:
        """Remembers the HTTP status, and that a head was sent; tells observers."""
        self.status = status
        if self.tally is not None and not self.tally.first_byte:
            self.tally.first_byte = monotonic()
        info, observation = self.info, self.observation
        if info is not None and observation is not None:
            for tell in observation.response_started:
                try:
                    tell(info, status)
                except Exception:
                    log_fault(tell)

    def respond(self, response: HttpResponse) -> Awaitable[None] | None:
        """Sends a whole response, compressed where its caller asks and it pays.

        A response to HEAD has no body: it would be read as the next response (RFC 9110, section 9.3.2).

        Returns:
            None if it was sent; else what sends it.
        """
        self.status = response.status
        response.request_id = self.request_id
        info = self.info
        if self.tally is not None or (info is not None and self.observation):
            self.mark_started(response.status)
        if info is not None and info.response_headers:
            response.headers += tuple(info.response_headers)
        accept_encoding, compression = self.request.head.accept_encoding, self.edge.compression
        if accept_encoding or len(response.body) >= compression.min_bytes:
            response.compress(compression, accept_encoding)
        if not self.is_head:
            self.bytes_out = len(response.body)
        return self._sink.whole(response, head=self.is_head)

    async def start(self, status: int, headers: Headers) -> None:
        """Sends the head of a response whose body follows in parts."""
        self.mark_started(status)
        of_policies = () if self.info is None else self.info.response_headers
        request_id = (b"x-request-id", self.request_id.encode())
        await self._sink.start(status, (*headers, NO_SNIFFING, *of_policies, request_id))

    async def write(self, data: bytes) -> None:
        """Sends a part of the body."""
        if not self.is_head:
            self.bytes_out += len(data)
            await self._sink.write(data)

    async def end(self, data: bytes = b"", trailers: Headers = ()) -> None:
        """Sends the last part of the body, and trailers where the door can."""
        if self.is_head:
            data = b""
        self.bytes_out += len(data)
        await self._sink.end(data, trailers)

    async def refuse(self, response: HttpResponse) -> None:
        """Answers the handshake of a WebSocket with an error."""
        assert self.websocket is not None  # noqa: S101 - it is one
        response.request_id = self.request_id
        if self.info is not None:
            response.headers += tuple(self.info.response_headers)
        self.mark_started(response.status)
        self.bytes_out = len(response.body)
        await self.websocket.refuse(response)

    async def give_up(self) -> None:
        """Ends a response that nobody waits for; middleware still sees what became of the request."""
        if not self.status:
            with suppress(ClientGone):
                await until_sent(self.respond(HttpResponse(_CLIENT_CLOSED_REQUEST)))

    def abort(self, error: Exception) -> None:
        """Cuts a response that has started."""
        self._sink.abort(error)

    # For policies and observers.

    def count_received(self, size: int) -> None:
        """Counts bytes of the body."""
        self.bytes_in += size

    def received(self, size: int) -> None:
        """Tells policies and observers of a message from the client, in bytes.

        Raises:
            StatusError: a policy refuses it.
        """
        info, observation = self.info, self.observation
        if info is not None:
            for check in info.message_checks:
                check(size)
            if observation is not None:
                for tell in observation.message_received:
                    try:
                        tell(info, size)
                    except Exception:
                        log_fault(tell)
        if self.tally is not None:
            self.tally.messages_in += 1

    def sent(self, size: int) -> None:
        """Tells policies and observers of a message to the client, in bytes.

        Raises:
            StatusError: a policy refuses it.
        """
        info, observation = self.info, self.observation
        if info is not None:
            for check in info.sent_checks:
                check(size)
            if observation is not None:
                for tell in observation.message_sent:
                    try:
                        tell(info, size)
                    except Exception:
                        log_fault(tell)
        if self.tally is not None:
            self.tally.messages_out += 1

    def dropped(self, count: int) -> None:
        """Tells observers of messages that were lost for the client."""
        info, observation = self.info, self.observation
        if info is not None and observation is not None:
            tell_each(observation.messages_dropped, info, count)
        if self.tally is not None:
            self.tally.dropped(count)
