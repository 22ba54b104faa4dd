"""One request and its state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from time import time

from gateway.contract.route_table import RouteMatch
from gateway.exchange.attendance import Attendance, Interruption
from gateway.exchange.client_certificate import ClientCertificate
from gateway.exchange.edge import Edge
from gateway.exchange.inline import TASK, Run
from gateway.exchange.policy import EndedBy, RequestInfo, Wire
from gateway.exchange.ports import RequestBody, WebSocket
from gateway.exchange.request import Request
from gateway.exchange.response import HttpResponse
from gateway.exchange.routing import allowed_methods
from gateway.exchange.writer import ResponseWriter
from gateway.feeds.feeds import StreamRequest
from gateway.feeds.source import Encode, Source
from gateway.transcoding.codec import is_long
from gateway.transcoding.deadline import shortest
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.negotiation import json_options
from gateway.transcoding.status import UNAVAILABLE, StatusError
from gateway.upstream.port import Call, Outcome, RequestMessages


class Exchange:
    """One request while it is answered; `gateway.exchange.serve` has the order of its steps.

    Attributes:
        edge: what the process serves.
        request: what the door has read.
        request_id: the caller's, or a new one.
        headers: returns all headers, for policies and observers.
        metadata: that go upstream.
        body: of the request.
        writer: of the response.
        websocket: None for a request over HTTP.
        run: how the exchange waits.
        client: IP address of the client; a door whose requests are cached sets it.
        secure: whether the request came over TLS; the same.
        certificate: the client's; a door sets it.
        info: what policies and observers see; None where there are none.
        deadline: time of the loop at which the call ends; None: never.
        failure: the error with which it ended; None for OK.
        ended_by: set where the client or a shutdown ended it.
        query: of the request, without what policies have taken out.
        pass_on: has the framework answer a request that is not the contract's; None where it was asked.
    """

    __slots__ = (
        *("edge", "request", "request_id", "headers", "metadata", "body", "writer", "websocket"),
        *("run", "client", "info", "failure", "ended_by", "deadline", "endpoint", "captures"),
        *("certificate", "last_event_id", "pass_on", "query", "secure"),
    )

    def __init__(
        self,
        edge: Edge,
        request: Request,
        body: RequestBody,
        writer: ResponseWriter,
        *,
        request_id: str,
        metadata: Metadata,
        headers: Callable[[], Headers],
        websocket: WebSocket | None = None,
        run: Run = TASK,
    ) -> None:
        self.edge = edge
        self.request = request
        self.request_id = writer.request_id = request_id
        self.headers = headers
        self.metadata = metadata
        self.body = body
        self.writer = writer
        writer.accept_encoding = request.head.accept_encoding
        self.websocket = websocket
        self.run = run
        self.client = request.client
        self.secure = request.secure
        self.certificate: ClientCertificate | None = None
        self.info: RequestInfo | None = None
        self.failure: StatusError | None = None
        self.ended_by: EndedBy | None = None
        self.last_event_id = request.head.last_event_id
        self.query = request.query
        self.pass_on: Callable[[], Awaitable[None]] | None = None
        self.deadline: float | None
        self.endpoint: Endpoint
        self.captures: tuple[str, ...]

    def inform(self) -> RequestInfo:
        """Makes what policies and observers see."""
        request, route = self.request, self.request.route
        self.info = info = RequestInfo(
            Wire.HTTP if self.websocket is None else Wire.WEBSOCKET,
            request.http_method,
            request.path,
            self.headers,
            route.target.method if isinstance(route, RouteMatch) else None,
            self.client,
            self.request_id,
            self.query,
            allowed_methods(route),
            "https" if self.secure else "http",
            certificate=self.certificate,
        )
        return info

    async def admit(self) -> None:
        """Asks the policies.

        Raises:
            StatusError: one refuses the request.
            Answer: one answers it.
        """
        info, writer = self.info or self.inform(), self.writer
        writer.policy_headers = info.response_headers
        for policy in self.edge.policies:
            if (decision := policy.admit(info)) is not None:
                await self.run.in_task()
                await decision
        self.client, self.query = info.client, info.query
        self.last_event_id = self.last_event_id or info.last_event_id
        if info.metadata or info.removed_metadata:
            self.replace_metadata()

    def take_route(self, route: RouteMatch[Endpoint]) -> None:
        """Takes the endpoint, and starts the deadline."""
        limits, timeout = self.edge.limits, self.request.head.timeout
        self.endpoint, self.captures = route.target, route.captures
        if not self.endpoint.method.stream_type.value:
            timeout = shortest(timeout, limits.timeout)
        self.start_deadline(timeout)

    def attend_stream(self, gone: Callable[[], Awaitable[None]]) -> Attendance:
        """Returns the block in which a stream is answered; a shutdown ends it, and the end of credentials.

        Raises:
            StatusError: UNAVAILABLE, the edge is shutting down already.
        """
        if self.edge.closing:
            raise StatusError.of(UNAVAILABLE, Interruption.SHUTDOWN.value)
        expires_at = None if self.info is None else self.info.expires_at
        seconds = None if expires_at is None else max(0.0, expires_at - time())
        attendance = Attendance(gone, self.edge.attendances, seconds=seconds)
        if self.info is not None:
            self.info.on_revoke = attendance.revoke
        return attendance

    def start_deadline(self, timeout: float | None) -> None:
        """Sets the deadline to so many seconds from now; None: there is none."""
        now = asyncio.get_running_loop().time()
        self.deadline = None if timeout is None else now + timeout

    def replace_metadata(self, later: Metadata = ()) -> None:
        """Adds metadata; a key that is given again replaces what it had.

        Those of the policies are added last, whatever a client sends and when, and what they have removed
        stays away.
        """
        info = self.info
        fixed = [] if info is None else [(key.lower(), value) for key, value in info.metadata]
        kept = {key for key, _ in fixed}
        if info is not None:
            kept |= info.removed_metadata
        later = tuple(pair for pair in later if pair[0] not in kept)
        kept.update(key for key, _ in later)
        self.metadata = (*(pair for pair in self.metadata if pair[0] not in kept), *later, *fixed)

    def call(self, message: bytes, on_outcome: Callable[[Outcome], None]) -> Callable[[], object]:
        """Calls a method that takes one message and answers with one; returns what cancels the call.

        Args:
            message: of the request.
            on_outcome: called once with the outcome, perhaps before this returns.
        """
        return self.edge.upstream.start_unary(
            self.endpoint.method,
            message,
            on_outcome,
            metadata=self.metadata,
            timeout=self._remaining(),
        )

    def decode_now(self, body: bytes) -> bytes:
        """Returns the message of a request with this body, which is not long; see `decode`."""
        request = self.request
        return self.endpoint.decode_request(
            self.captures, self.query, body, content_type=request.head.content_type
        )

    async def decode(self, body: bytes, *, step: str = "", last_event_id: str = "") -> bytes:
        """Returns the message of a request with this body, which may be the first frame of many.

        Long JSON is decoded in a thread, so that others have their turns of the loop meanwhile.

        Args:
            body: as it came, or the frame.
            step: what the violations' paths begin with.
            last_event_id: the id behind which a stream of events goes on.

        Raises:
            StatusError: path, query or body is wrong.
        """
        decode = partial(
            self.endpoint.decode_request,
            self.captures,
            self.query,
            body,
            content_type=self.request.head.content_type,
            step=step,
            last_event_id=last_event_id,
        )
        return await self._decode_off_loop(decode, body)

    async def _decode_off_loop(self, decode: Callable[[], bytes], json: bytes) -> bytes:
        if self.endpoint.has_raw_request or not is_long(json):
            return decode()
        await self.run.in_task()
        return await asyncio.get_running_loop().run_in_executor(self.edge.decoding, decode)

    async def messages(
        self,
        frames: AsyncIterator[bytes],
        explain: Callable[[StatusError], StatusError] = lambda error: error,
    ) -> AsyncIterator[bytes]:
        """Yields the messages of a client's frames, as they arrive; path and query speak in the first.

        Without a frame, path and query are checked all the same. `explain` completes the error of a frame.

        Raises:
            StatusError: a frame is wrong; the violations' paths begin with its number.
        """
        number = 0
        async for frame in frames:
            step = f"[{number}]"
            try:
                if number == 0:
                    message = await self.decode(frame, step=step)
                else:
                    decode = partial(self.endpoint.decode_frame, frame, step=step)
                    message = await self._decode_off_loop(decode, frame)
            except StatusError as error:
                raise explain(error) from None
            if self.info is not None:
                self.received(len(message))
            yield message
            number += 1
        if number == 0:  # path and query are checked all the same
            self.endpoint.decode_request(self.captures, self.query, b"")

    def encoder(self, media_type: str) -> Encode:
        """Returns what makes the JSON of an answer of this media type, printed as the caller asks."""
        options = json_options(self.request.head.accept, media_type, self.edge.json_options)
        return self.endpoint.encoder(options)

    def open(self, requests: RequestMessages) -> AbstractAsyncContextManager[Call]:
        """Opens the call upstream, with the metadata and the time left of this exchange."""
        return self.edge.upstream.open(
            self.endpoint.method,
            requests,
            metadata=self.metadata,
            timeout=self._remaining(),
        )

    def source(
        self, requests: RequestMessages, *, resumable: bool = False
    ) -> AbstractAsyncContextManager[Source]:
        """Opens what the answer to a stream is read from; `resumable` if its reader is given ids."""
        return self.edge.feeds.open(
            StreamRequest(
                method=self.endpoint.method,
                stream_spec=self.endpoint.stream_spec,
                requests=requests,
                metadata=self.metadata,
                timeout=self._remaining(),
                last_event_id=self.last_event_id,
                resumable=resumable,
                client=self.client,
            )
        )

    async def refuse(self, response: HttpResponse) -> None:
        """Answers the handshake of a WebSocket with an error."""
        assert self.websocket is not None  # noqa: S101 - it is one
        response.request_id = self.request_id
        response.headers += tuple(self.writer.policy_headers)
        self.writer.mark_started(response.status)
        await self.websocket.refuse(response)

    def received(self, size: int) -> None:
        """Tells policies and observers of a message from the client, in bytes.

        Raises:
            StatusError: a policy refuses it.
        """
        info, observation = self.info, self.edge.observation
        if info is not None:
            for check in info.message_checks:
                check(size)
            if observation is not None and (tell := observation.message_received):
                tell(info, size)

    def sent(self, size: int) -> None:
        """Tells observers of a message to the client, in bytes."""
        info, observation = self.info, self.edge.observation
        if info is not None and observation is not None and (tell := observation.message_sent):
            tell(info, size)

    def dropped(self, count: int) -> None:
        """Tells observers of messages that were lost for the client."""
        info, observation = self.info, self.edge.observation
        if info is not None and observation is not None and (tell := observation.messages_dropped):
            tell(info, count)

    def _remaining(self) -> float | None:
        """Returns the seconds left until the deadline; None: there is none."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - asyncio.get_running_loop().time())
