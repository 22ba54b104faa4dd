"""Framing of client streams: NDJSON, a JSON text sequence, a JSON array, or raw data.

A decoder is fed bytes as they arrive, and yields the complete frames. Its work is linear in the number of
bytes. The frames, and the error, do not depend on how the bytes are split.

Sources: ndjson-spec 1.0; RFC 7464; RFC 8259.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar, Final, Protocol

_SPACE: Final = b" \t\r\n"
_RECORD_SEPARATOR: Final = b"\x1e"


class FrameError(ValueError):
    """Invalid framing; `number` is the index of the frame, from 0."""

    def __init__(self, problem: str, number: int) -> None:
        self.number = number
        super().__init__(problem)


class FrameTooLarge(FrameError):
    """A frame exceeds the maximum message size."""


class FrameDecoder(Protocol):
    """Splits one body into frames."""

    @property
    def is_ndjson(self) -> bool:
        """Whether each line is a frame."""
        ...

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Feeds the next bytes; yields the completed frames. Must be iterated to its end.

        Raises:
            FrameError: the bytes are not a sequence of frames, or a frame is too large.
        """
        ...

    def close(self) -> list[bytes]:
        """Ends the body; returns the last frame if it has no terminator.

        Raises:
            FrameError: the body is truncated, or the last frame is too large.
        """
        ...


class _SeparatedDecoder:
    """Frames between separators; empty frames are skipped, and the last one needs no separator."""

    _SEPARATOR: ClassVar[bytes]
    is_ndjson = False

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self._rest: list[bytes] = []
        """The incomplete frame, in pieces."""
        self._rest_size = 0
        self._count = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Feeds the next bytes; yields the completed frames."""
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
        """Returns the last frame, if it has no separator."""
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
    """One JSON text per line."""

    _SEPARATOR: ClassVar = b"\n"
    is_ndjson = True


class JsonSeqDecoder(_SeparatedDecoder):
    """JSON texts, each after a record separator; the JSON parser detects truncated ones."""

    _SEPARATOR: ClassVar = _RECORD_SEPARATOR

    def __init__(self, max_frame: int) -> None:
        super().__init__(max_frame)
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Feeds the next bytes; yields the completed texts."""
        if not self._started:
            data = data.lstrip(_SPACE)
            if data and not data.startswith(_RECORD_SEPARATOR):
                raise FrameError("expected a record separator, 0x1E", 0)
            self._started = bool(data)
        yield from super().feed(data)


class JsonArrayDecoder:
    """The elements of one JSON array. Finds the end of each element; the JSON parser checks its content."""

    is_ndjson = False
    _IN_STRING: ClassVar = re.compile(rb'["\\]')
    _OUTSIDE: ClassVar = re.compile(rb'["\[\]{},]')

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._offset = 0
        """Number of scanned bytes in the buffer."""
        self._depth = 0
        self._in_string = False
        self._ended = False
        self._count = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Feeds the next bytes; yields the completed elements."""
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
        """Checks that the array is closed."""
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
        """Scans to the end of an element; None: more bytes are needed."""
        while True:
            pattern = self._IN_STRING if self._in_string else self._OUTSIDE
            match = pattern.search(self._buffer, self._offset)
            if match is None:
                self._offset = max(self._offset, len(self._buffer))
                return None
            self._offset = match.end()
            token = match.group()
            if token == b"\\":
                self._offset += 1
            elif token == b'"':
                self._in_string = not self._in_string
            elif token in b"[{":
                self._depth += 1
            elif token in b"]}":
                self._depth -= 1
                if self._depth == 0:
                    return self._last(token)
            elif self._depth == 1:
                return self._element("before the comma")

    def _element(self, where: str) -> bytes:
        element = bytes(self._buffer[: self._offset - 1]).strip(_SPACE)
        del self._buffer[: self._offset]
        self._offset = 0
        if not element:
            raise FrameError(f"an element is missing {where}", self._count)
        if len(element) > self._max_frame:
            raise self._too_large()
        self._count += 1
        return element

    def _last(self, bracket: bytes) -> bytes:
        """Returns the last element; empty for an empty array."""
        if bracket != b"]":
            raise FrameError("'}' closes what is no object", self._count)
        self._ended = True
        if self._count == 0 and not self._buffer[: self._offset - 1].strip(_SPACE):
            del self._buffer[: self._offset]
            return b""
        return self._element("before the bracket")

    def _too_large(self) -> FrameTooLarge:
        return FrameTooLarge(f"longer than {self._max_frame} bytes", self._count)


class SniffingDecoder:
    """For a body without a meaningful media type: the first character decides, by default it is NDJSON.

    `curl -d` sends any body as `application/x-www-form-urlencoded`.
    """

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self._decoder: FrameDecoder | None = None

    @property
    def is_ndjson(self) -> bool:
        """Whether NDJSON was decided for."""
        return self._decoder is not None and self._decoder.is_ndjson

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Feeds the next bytes; yields the completed frames."""
        if self._decoder is None:
            data = data.lstrip(_SPACE)
            if not data:
                return iter(())
            decoder = _BY_FIRST_BYTE.get(data[:1], NdjsonDecoder)
            self._decoder = decoder(self._max_frame)
        return self._decoder.feed(data)

    def close(self) -> list[bytes]:
        """Ends the body; an empty one has no frames."""
        return self._decoder.close() if self._decoder else []


_BY_FIRST_BYTE: Final[dict[bytes, Callable[[int], FrameDecoder]]] = {
    b"[": JsonArrayDecoder,
    _RECORD_SEPARATOR: JsonSeqDecoder,
}


class RawDecoder:
    """For a body of raw data: each chunk that arrives is a frame, split at the maximum size."""

    is_ndjson = False

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the bytes, split at the maximum frame size."""
        for start in range(0, len(data), self._max_frame):
            yield data[start : start + self._max_frame]

    def close(self) -> list[bytes]:
        """Returns nothing: raw data may end anywhere."""
        return []
