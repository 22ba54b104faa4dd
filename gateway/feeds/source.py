"""The source of a stream's messages, and its simplest kind: a call with one reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Final, Protocol, TypeAlias

import orjson

from gateway.transcoding.event_fields import ReadId
from gateway.transcoding.metadata import Metadata
from gateway.upstream.port import Call

Encode: TypeAlias = Callable[[bytes], bytes]
"""Message -> JSON. The same object for the same JSON options, so that it can be a cache key."""

_ID_BYTES: Final = 8


class StreamEvent:
    """One message of a stream, with its id."""

    __slots__ = ("id", "message")

    def __init__(self, event_id: bytes, message: bytes) -> None:
        """Creates an event; an empty id is no id."""
        self.id = event_id
        self.message = message

    def json(self, encode: Encode) -> bytes:
        """Returns the JSON of the message."""
        return encode(self.message)


@dataclass(frozen=True, slots=True)
class Gap:
    """Marks missing messages: `gateway.v1.Gap`."""

    missed: int = 0
    """Number of missing messages; 0: unknown."""
    restarted: bool = False
    """Whether the stream started over, so that messages may repeat."""
    id: bytes = field(default=b"", compare=False)
    """Id of the message before the gap: a reader that resumes there gets the gap again. Empty: none."""

    def merge(self, earlier: Gap | None) -> Gap:
        """Returns this gap and the one directly before it as one."""
        if earlier is None:
            return self
        return Gap(
            self.missed + earlier.missed,
            restarted=self.restarted or earlier.restarted,
            id=earlier.id,
        )

    def json(self) -> bytes:
        """Returns the JSON of the `gateway.v1.Gap`."""
        missed = {"missed": self.missed} if self.missed else {}
        return orjson.dumps(missed | ({"restarted": True} if self.restarted else {}))


Item: TypeAlias = StreamEvent | Gap
TryWrite: TypeAlias = Callable[[Sequence[Item]], bool]
"""Writes all items and returns True, or writes none and returns False."""


class Source(Protocol):
    """An iterator over the items of a stream; each step yields all that are available.

    Iteration raises StatusError if the stream ends with a status other than OK.
    """

    def __aiter__(self) -> Source:
        """Returns itself."""
        ...

    async def __anext__(self) -> Sequence[Item]:
        """Waits for the next items."""
        ...

    def mark_started(self) -> None:
        """Records that the response has started, so that a failure can no longer be an HTTP status."""
        ...

    def set_direct_writer(self, try_write: TryWrite) -> None:
        """Passes new items to `try_write` first; items that it refuses are left to the iteration."""
        ...

    def shared_encoder(self, encode: Encode) -> Encode:
        """Returns the encoder for a reader's form of JSON, the same for all readers of the source."""
        ...

    async def initial_metadata(self) -> Metadata:
        """Returns the initial metadata, after the first item or the end was read."""
        ...

    async def trailing_metadata(self) -> Metadata:
        """Returns the trailing metadata, after the end was read."""
        ...


class CallSource:
    """A call with one reader."""

    __slots__ = ("_call", "_gaps", "_new_event", "_take")

    _gaps: tuple[Gap, ...]

    def __init__(
        self,
        call: Call,
        *,
        read_id: ReadId | None = None,
        with_ids: bool = True,
        resume_failed: bool = False,
    ) -> None:
        """Wraps a call.

        Args:
            call: the call to read.
            read_id: reads the server's id of a message; None: the messages are numbered.
            with_ids: whether the reader's framing has ids; if not, all are empty.
            resume_failed: whether the reader asked to resume a stream that was not kept; it gets a gap first.
        """
        self._call = call
        self._take: Callable[[], bytes | None] = getattr(call, "take_message", _none)
        self._new_event = _event_maker(read_id) if with_ids else _without_id
        self._gaps = (Gap(restarted=True),) if resume_failed else ()

    def __aiter__(self) -> CallSource:
        return self

    async def __anext__(self) -> Sequence[Item]:
        try:
            message = await self._call.__anext__()
        except StopAsyncIteration:
            return self._end()
        items: list[Item] = [self._new_event(message)]
        while (more := self._take()) is not None:
            items.append(self._new_event(more))
        if self._gaps:
            items[:0], self._gaps = self._gaps, ()
        return items

    def _end(self) -> Sequence[Item]:
        """Returns the gap of a stream without messages, once; then raises StopAsyncIteration."""
        gaps, self._gaps = self._gaps, ()
        if not gaps:
            raise StopAsyncIteration
        return gaps

    def mark_started(self) -> None:
        """Does nothing: a call with one reader is not retried."""

    def shared_encoder(self, encode: Encode) -> Encode:
        """Returns the reader's own."""
        return encode

    def set_direct_writer(self, _try_write: TryWrite) -> None:
        """Does nothing: reading a message wakes one task in any case."""

    async def initial_metadata(self) -> Metadata:
        """Returns the initial metadata of the call."""
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Metadata:
        """Returns the trailing metadata of the call."""
        return await self._call.trailing_metadata()


def _event_maker(read_id: ReadId | None) -> Callable[[bytes], StreamEvent]:
    """Returns what makes the event of the next message."""
    if read_id is not None:
        return lambda message: StreamEvent(read_id(message), message)
    return _Numbered().event


class _Numbered:
    """Numbers the messages of a stream."""

    __slots__ = ("_number", "_prefix")

    def __init__(self) -> None:
        self._prefix = new_stream_id()
        self._number = 0

    def event(self, message: bytes) -> StreamEvent:
        self._number += 1
        return StreamEvent(b"%b-%d" % (self._prefix, self._number), message)


def _without_id(message: bytes) -> StreamEvent:
    return StreamEvent(b"", message)


def _none() -> None:
    return None


def new_stream_id() -> bytes:
    """Returns the prefix of one stream's event ids; it cannot be guessed."""
    return token_hex(_ID_BYTES).encode()
