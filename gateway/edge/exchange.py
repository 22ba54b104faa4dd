"""What the transports share: one request, matched and with its head read, and the edge's limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.edge.answer import Answer
from gateway.edge.client import Attendance, Interruption
from gateway.edge.compression import Compression
from gateway.edge.types import Receive
from gateway.feeds.feeds import Feeds, StreamRequest
from gateway.feeds.source import Encode, Source
from gateway.transcoding.codec import JsonOptions, is_long
from gateway.transcoding.deadline import Deadline
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.metadata import MetadataFilter
from gateway.transcoding.negotiation import json_options
from gateway.transcoding.request_head import RequestHead
from gateway.transcoding.status import UNAVAILABLE, StatusError
from gateway.transcoding.transcoder import Transcoder
from gateway.upstream.port import Call, Requests, Upstream


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


@dataclass(slots=True)
class Exchange:
    """One request that has found its endpoint."""

    edge: Edge
    endpoint: Endpoint
    captures: tuple[str, ...]
    query: bytes
    head: RequestHead
    receive: Receive
    answer: Answer
    deadline: Deadline
    client: str = ""
    """Address of the client; empty where the server does not know it."""

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
            content_type=self.head.content_type,
            step=step,
            last_event_id=last_event_id,
        )
        return await self._run(decode, body)

    async def _run(self, decode: Callable[[], bytes], json: bytes) -> bytes:
        if self.endpoint.has_raw_request or not is_long(json):
            return decode()
        return await asyncio.get_running_loop().run_in_executor(self.edge.decoding, decode)

    async def messages(self, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yields the messages of a client's frames, as they arrive; path and query speak in the first.

        Where no frame comes there is no message, but path and query are checked.

        Raises:
            StatusError: a frame is wrong; the violations' paths begin with its number.
        """
        number = 0
        async for frame in frames:
            step = f"[{number}]"
            if number == 0:
                yield await self.decode(frame, step=step)
            else:
                yield await self._run(partial(self.endpoint.decode_frame, frame, step=step), frame)
            number += 1
        if number == 0:  # path and query are checked all the same
            self.endpoint.decode_request(self.captures, self.query, b"")

    def encoder(self, media_type: str) -> Encode:
        """Returns what makes the JSON of an answer of this media type, printed as the caller asks."""
        options = json_options(self.head.accept, media_type, self.edge.json_options)
        return self.endpoint.encoder(options)

    def open(self, requests: Requests) -> AbstractAsyncContextManager[Call]:
        """Opens the call upstream, with the metadata and the time left of this exchange."""
        return self.edge.upstream.open(
            self.endpoint.method,
            requests,
            metadata=tuple(self.head.metadata),
            timeout=self._remaining(),
        )

    def source(
        self, requests: Requests, *, resumable: bool = False
    ) -> AbstractAsyncContextManager[Source]:
        """Opens what the answer to a stream is read from; `resumable` if its reader is given ids."""
        return self.edge.feeds.open(
            StreamRequest(
                method=self.endpoint.method,
                stream_spec=self.endpoint.stream_spec,
                requests=requests,
                metadata=tuple(self.head.metadata),
                timeout=self._remaining(),
                last_event_id=self.head.last_event_id,
                resumable=resumable,
                client=self.client,
            )
        )

    def _remaining(self) -> float | None:
        return self.deadline.remaining(asyncio.get_running_loop().time())
