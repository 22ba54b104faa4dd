"""One request and its state, and what all requests of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.contract.route_table import RouteMatch
from gateway.exchange.attendance import Attendance, Interruption
from gateway.exchange.compression import Compression
from gateway.exchange.inline import TASK, Run
from gateway.exchange.policy import EndedBy, Observation, Policy, RequestInfo, Wire
from gateway.exchange.ports import RequestBody, WebSocket
from gateway.exchange.request import Request
from gateway.exchange.response import HttpResponse
from gateway.exchange.writer import ResponseWriter
from gateway.feeds.feeds import Feeds, StreamRequest
from gateway.feeds.source import Encode, Source
from gateway.transcoding.codec import JsonOptions, is_long
from gateway.transcoding.deadline import shortest
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.metadata import Headers, Metadata, MetadataFilter
from gateway.transcoding.metadata_size import check_metadata
from gateway.transcoding.negotiation import json_options
from gateway.transcoding.status import UNAVAILABLE, StatusError
from gateway.transcoding.transcoder import Transcoder
from gateway.upstream.port import Call, Outcome, RequestMessages, Upstream


@dataclass(frozen=True, slots=True)
class Limits:
    """What the edge lets a caller do, and for how long; sizes in bytes, times in seconds."""

    max_message: int
    """One message, in JSON or in protobuf; so the whole body of a unary request too."""
    max_metadata: int
    """Metadata that a request forwards, as `metadata_size` counts it."""
    timeout: float | None
    """The longest that a unary call may take, whatever its caller allows; None: no end."""
    heartbeat: float
    """After so long without a message a stream shows that it lives."""
    retry: float
    """After so long a reader of events that was cut should come back; after an error up to twice as long."""
    websocket_idle: float | None
    """After so long without a message either way a WebSocket is closed; None: never."""
    origins: frozenset[str]
    """The origins from which a browser may open a WebSocket beside its own, serialized; `*` is any."""


@dataclass(slots=True, eq=False)
class Edge:
    """What one process serves: the translation, the way upstream, and the limits."""

    transcoder: Transcoder
    upstream: Upstream
    feeds: Feeds
    metadata: MetadataFilter
    limits: Limits
    json_options: JsonOptions
    compression: Compression
    policies: tuple[Policy, ...] = ()
    """Asked in this order."""
    observation: Observation | None = None
    attendances: set[Attendance] = field(default_factory=set)

    warnings: set[tuple[str, str]] = field(default_factory=set)
    """Method and reason of each HTTP status of a server that was ignored, so that each is logged once."""

    decoding: ThreadPoolExecutor = field(
        default_factory=partial(ThreadPoolExecutor, 1, thread_name_prefix="decoding")
    )
    """Decodes JSON that takes longer than a turn of the loop should (`is_long`), one text at a time."""

    closing: bool = False
    """Whether the edge shuts down: a stream that would begin now is told so instead."""

    def attend_stream(self, gone: Callable[[], Awaitable[None]]) -> Attendance:
        """Returns the block in which a stream is answered, which a shutdown ends.

        Raises:
            StatusError: UNAVAILABLE, the edge is shutting down already.
        """
        if self.closing:
            raise StatusError.of(UNAVAILABLE, Interruption.SHUTDOWN.value)
        return Attendance(gone, self.attendances)

    def interrupt_streams(self) -> set[asyncio.Task[Any]]:
        """Ends all streams, as the edge shuts down; returns the tasks that are saying so."""
        self.closing = True
        ending = {attendance.task for attendance in self.attendances}
        for attendance in tuple(self.attendances):
            attendance.interrupt(Interruption.SHUTDOWN)
        return ending


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
        info: what policies and observers see; None where there are none.
        deadline: time of the loop at which the call ends; None: never.
        failure: the error with which it ended; None for OK.
        ended_by: set where the client or a shutdown ended it.
    """

    __slots__ = (
        *("edge", "request", "request_id", "headers", "metadata", "body", "writer", "websocket"),
        *("run", "client", "info", "failure", "ended_by", "deadline", "endpoint", "captures"),
        "last_event_id",
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
        self.info: RequestInfo | None = None
        self.failure: StatusError | None = None
        self.ended_by: EndedBy | None = None
        self.last_event_id = request.head.last_event_id
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
        )
        return info

    def take_route(self, route: RouteMatch[Endpoint]) -> None:
        """Takes the endpoint, and starts the deadline.

        Raises:
            StatusError: 431, the metadata are too large.
        """
        limits, timeout = self.edge.limits, self.request.head.timeout
        check_metadata(self.metadata, limits.max_metadata)
        self.endpoint, self.captures = route.target, route.captures
        if not self.endpoint.method.stream_type.value:
            timeout = shortest(timeout, limits.timeout)
        self.start_deadline(timeout)

    def start_deadline(self, timeout: float | None) -> None:
        """Sets the deadline to so many seconds from now; None: there is none."""
        now = asyncio.get_running_loop().time()
        self.deadline = None if timeout is None else now + timeout

    def replace_metadata(self, later: Metadata = ()) -> None:
        """Adds metadata; a key that is given again replaces what it had.

        Those of the policies are added last, whatever a client sends and when.
        """
        fixed = () if self.info is None else self.info.metadata
        for pairs in (later, [(key.lower(), value) for key, value in fixed]):
            keys = {key for key, _ in pairs}
            self.metadata = (*(pair for pair in self.metadata if pair[0] not in keys), *pairs)

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
            self.captures, request.query, body, content_type=request.head.content_type
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
            self.request.query,
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
            self.endpoint.decode_request(self.captures, self.request.query, b"")

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
