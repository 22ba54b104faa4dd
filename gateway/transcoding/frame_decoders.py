"""Message boundaries in what a client streams: NDJSON, a JSON text sequence or array, or raw data.

A decoder is fed bytes as they come and gives back the frames that are complete; it never waits, its work is
linear in what it is fed, and however that is cut, the same frames come before the same fault.

Sources: ndjson-spec 1.0; RFC 7464; RFC 8259.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar, Final, Protocol

_SPACE: Final = b" \t\r\n"
_RECORD_SEPARATOR: Final = b"\x1e"


class FrameError(ValueError):
    """Bytes that are no sequence of frames; `number` counts frames from 0."""

    def __init__(self, problem: str, number: int) -> None:
        self.number = number
        super().__init__(problem)


class FrameTooLarge(FrameError):
    """A frame longer than the limit for one message."""


class FrameDecoder(Protocol):
    """What finds the frames in the bytes of one body."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes the next bytes; yields the frames that they complete, and has to be read to its end."""
        ...

    def close(self) -> list[bytes]:
        """Says that the body has ended; returns a last frame that needed no terminator."""
        ...


class _SeparatedDecoder:
    """Frames with a separator between them; empty ones are skipped, and the last one needs no end."""

    _SEPARATOR: ClassVar[bytes]

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._count = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes the next bytes; yields the frames that they complete."""
        *frames, rest = data.split(self._SEPARATOR)
        if frames:
            frames[0] = b"".join((*self._rest, frames[0]))
            self._rest, self._rest_size = [], 0
        self._rest.append(rest)
        self._rest_size += len(rest)
        for frame in frames:
            if frame and frame.strip(_SPACE):
                yield self._frame(frame)
        if self._rest_size > self._max_frame:
            raise self._too_large()

    def close(self) -> list[bytes]:
        """Returns the last frame, if it had no end."""
        last = b"".join(self._rest)
        return [self._frame(last)] if last.strip(_SPACE) else []

    def _frame(self, frame: bytes) -> bytes:
        if len(frame) > self._max_frame:
            raise self._too_large()
        self._count += 1
        return frame

    def _too_large(self) -> FrameTooLarge:
        return FrameTooLarge(f"longer than {self._max_frame} bytes", self._count)


class NdjsonDecoder(_SeparatedDecoder):
    """One JSON text a line."""

    _SEPARATOR: ClassVar = b"\n"


class JsonSeqDecoder(_SeparatedDecoder):
    """JSON texts, each after a record separator; that it is whole, the parser of objects sees."""

    _SEPARATOR: ClassVar = _RECORD_SEPARATOR

    def __init__(self, max_frame: int) -> None:
        super().__init__(max_frame)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes the next bytes; yields the texts that they complete."""
        if not self._begun:
            data = data.lstrip(_SPACE)
            if data and not data.startswith(_RECORD_SEPARATOR):
                raise FrameError("expected a record separator, 0x1E", 0)
            self._begun = bool(data)
        yield from super().feed(data)


class JsonArrayDecoder:
    """The elements of one JSON array. Finds where each ends; whether it is JSON is the parser's to say."""

    _IN_STRING: ClassVar = re.compile(rb'["\\]')
    _OUTSIDE: ClassVar = re.compile(rb'["\[\]{},]')

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._at = 0
        self._depth = 0
        self._in_string = False
        self._ended = False
        self._count = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes the next bytes; yields the elements that they complete."""
        self._buffer += data
        if self._depth == 0 and not self._ended:
            self._open()
        while self._depth:
            frame = self._next()
            if frame is None:
                break
            if frame:
                yield frame
        if self._depth == 0:
            self._skip_space()
        if self._ended and self._buffer:
            raise FrameError("there is more after the array", self._count)
        if len(self._buffer) > self._max_frame:
            raise self._too_large()

    def close(self) -> list[bytes]:
        """Checks that the array was closed."""
        if not self._ended:
            raise FrameError("the body ends before the array does", self._count)
        return []

    def _open(self) -> None:
        self._skip_space()
        if self._buffer:
            if self._buffer[0] != ord("["):
                raise FrameError("expected a JSON array", 0)
            del self._buffer[0]
            self._depth = 1

    def _skip_space(self) -> None:
        del self._buffer[: len(self._buffer) - len(self._buffer.lstrip(_SPACE))]

    def _next(self) -> bytes | None:
        """Goes on to the end of an element; None means that more bytes are needed."""
        while True:
            pattern = self._IN_STRING if self._in_string else self._OUTSIDE
            match = pattern.search(self._buffer, self._at)
            if match is None:
                self._at = max(self._at, len(self._buffer))
                return None
            self._at = match.end()
            mark = match.group()
            if mark == b"\\":
                self._at += 1
            elif mark == b'"':
                self._in_string = not self._in_string
            elif mark in b"[{":
                self._depth += 1
            elif mark in b"]}":
                self._depth -= 1
                if self._depth == 0:
                    return self._last(mark)
            elif self._depth == 1:
                return self._element("before the comma")

    def _element(self, where: str) -> bytes:
        element = bytes(self._buffer[: self._at - 1]).strip(_SPACE)
        del self._buffer[: self._at]
        self._at = 0
        if not element:
            raise FrameError(f"an element is missing {where}", self._count)
        if len(element) > self._max_frame:
            raise self._too_large()
        self._count += 1
        return element

    def _last(self, mark: bytes) -> bytes:
        if mark != b"]":
            raise FrameError("'}' closes what is no object", self._count)
        self._ended = True
        if self._count == 0 and not self._buffer[: self._at - 1].strip(_SPACE):
            del self._buffer[: self._at]
            return b""
        return self._element("before the bracket")

    def _too_large(self) -> FrameTooLarge:
        return FrameTooLarge(f"longer than {self._max_frame} bytes", self._count)


class SniffingDecoder:
    """For a body whose media type says nothing: its first character decides, and most often it is lines.

    `curl -d` calls everything a form, and a stream of lines is the commonest thing that is none.
    """

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self._decoder: FrameDecoder | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes the next bytes; yields the frames that they complete."""
        if self._decoder is None:
            data = data.lstrip(_SPACE)
            if not data:
                return iter(())
            decoder = _BY_FIRST.get(data[:1], NdjsonDecoder)
            self._decoder = decoder(self._max_frame)
        return self._decoder.feed(data)

    def close(self) -> list[bytes]:
        """Says that the body has ended; an empty one has no frames."""
        return self._decoder.close() if self._decoder else []


_BY_FIRST: Final[dict[bytes, Callable[[int], FrameDecoder]]] = {
    b"[": JsonArrayDecoder,
    _RECORD_SEPARATOR: JsonSeqDecoder,
}


class RawDecoder:
    """For a body that is data, not JSON: whatever arrives at a time is a frame, cut at the limit."""

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the bytes as they are."""
        for at in range(0, len(data), self._max_frame):
            yield data[at : at + self._max_frame]

    def close(self) -> list[bytes]:
        """Returns nothing: a body may end anywhere."""
        return []
