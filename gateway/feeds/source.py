"""What the answer to a stream is read from, and its simplest kind: a call of the reader's own."""

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
"""Message -> JSON; equal where it prints alike, so that what it has made can be kept."""

_ID_BYTES: Final = 8


class Event:
    """One message of a stream."""

    __slots__ = ("id", "message")

    def __init__(self, event_id: bytes, message: bytes) -> None:
        """Takes a message and its id; no bytes are no id."""
        self.id = event_id
        self.message = message

    def json(self, encode: Encode) -> bytes:
        """Returns the JSON of the message."""
        return encode(self.message)


@dataclass(frozen=True, slots=True)
class Gap:
    """Stands where messages are missing: `gateway.v1.Gap`."""

    missed: int = 0
    """How many; 0 where nobody knows."""
    restarted: bool = False
    """Whether the stream has begun anew."""
    id: bytes = field(default=b"", compare=False)
    """The id of the message before it: whoever has seen no more is told again. Empty where nobody knows."""

    def after(self, gap: Gap | None) -> Gap:
        """Returns this gap and one right before it as one."""
        if gap is None:
            return self
        return Gap(self.missed + gap.missed, restarted=self.restarted or gap.restarted, id=gap.id)

    def json(self) -> bytes:
        """Returns its JSON."""
        missed = {"missed": self.missed} if self.missed else {}
        return orjson.dumps(missed | ({"restarted": True} if self.restarted else {}))


Item: TypeAlias = Event | Gap
Take: TypeAlias = Callable[[Sequence[Item]], bool]
"""Takes all items that it is offered, and returns True; or returns False, and has taken none."""


class Source(Protocol):
    """An iterator over the items of a stream, as many at a time as there are.

    Iteration raises StatusError where the stream ends with another status than OK.
    """

    def __aiter__(self) -> Source:
        """Returns itself."""
        ...

    async def __anext__(self) -> Sequence[Item]:
        """Waits for the next items."""
        ...

    def begin(self) -> None:
        """Says that the answer has begun: its reader can be told of no failure by an HTTP status now."""
        ...

    def offer_to(self, take: Take) -> None:
        """Offers what comes to `take` first, if it can; only what that refuses is left to the iteration."""
        ...

    async def initial_metadata(self) -> Metadata:
        """Returns what the server says before its first message, once that or the end was read."""
        ...

    async def trailing_metadata(self) -> Metadata:
        """Returns what the server says after its last message, once the end was read."""
        ...


class CallSource:
    """A call of the reader's own."""

    def __init__(
        self, call: Call, *, read_id: ReadId | None = None, resumed_without: bool = False
    ) -> None:
        """Takes the call.

        Args:
            call: where the messages come from.
            read_id: reads the ids that the server gives; without it they are numbered.
            resumed_without: the reader comes back to a stream of which nothing was kept, and is told so.
        """
        self._call = call
        self._read_id = read_id
        self._gaps = [Gap(restarted=True)] if resumed_without else []
        self._stream_id = new_stream_id()
        self._count = 0

    def __aiter__(self) -> CallSource:
        return self

    async def __anext__(self) -> Sequence[Item]:
        message = await anext(self._call, None)
        if message is None:
            return self._end()
        self._count += 1
        if self._read_id is not None:
            event_id = self._read_id(message)
        else:
            event_id = b"%b-%d" % (self._stream_id, self._count)
        gaps, self._gaps = self._gaps, []
        return [*gaps, Event(event_id, message)]

    def _end(self) -> Sequence[Item]:
        """Tells of the gap, if there was no message before which it could be told."""
        gaps, self._gaps = self._gaps, []
        if not gaps:
            raise StopAsyncIteration
        return gaps

    def begin(self) -> None:
        """Does nothing: a call of one's own fails for its one reader."""

    def offer_to(self, _take: Take) -> None:
        """Does nothing: a message that is read for one reader wakes one task anyhow."""

    async def initial_metadata(self) -> Metadata:
        """Returns what the server said before its first message."""
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Metadata:
        """Returns what the server said after its last message."""
        return await self._call.trailing_metadata()


def new_stream_id() -> bytes:
    """Returns what the ids of one stream begin with; nobody can guess it."""
    return token_hex(_ID_BYTES).encode()
