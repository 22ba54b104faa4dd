"""Messages of gRPC in the bytes of a stream, and their compression.

Source: gRPC over HTTP/2, "Length-Prefixed-Message" and "Message-Encoding"; gRPC's compression.md.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO
from struct import Struct
from typing import Final

from grpc_wire.call.status import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED

IDENTITY: Final = "identity"
GZIP: Final = "gzip"
DEFLATE: Final = "deflate"
ENCODINGS: Final = (IDENTITY, DEFLATE, GZIP)
"""What can be read."""
ACCEPTED: Final = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())
"""How it is said; gRPC's grammar has no spaces there, and grpc-js takes none off."""

MESSAGE_COST: Final = 1024
"""Bytes that a message counts for in a turn of the event loop, beside its own (`Limits.turn_bytes`)."""
INFLATION: Final = 200
"""Largest ratio of a message's size to its compressed size; above `INFLATION_FREE`."""
INFLATION_FREE: Final = 512 * 1024
"""Bytes that a message may have whatever its compressed size; see `max_inflated`."""

_HEAD: Final = Struct(">BL")
_COMPRESSED: Final = 1
_LARGE: Final = 64 * 1024
_UNLIMITED: Final = 2**32
"""More than a prefix can say."""
_WINDOW_BITS: Final = {GZIP: 31, DEFLATE: 15}
"""What zlib calls the two formats: gzip (RFC 1952), and zlib (RFC 1950), which HTTP calls deflate."""


class MessageFault(Exception):
    """A message is not what it should be; `code` is gRPC's status for that."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


def max_inflated(size: int) -> int:
    """Returns how many bytes `size` compressed bytes may decompress to."""
    return max(INFLATION_FREE, INFLATION * size)


def frame(message: bytes, encoding: str = IDENTITY) -> bytes:
    """Returns a message with its prefix; compressed, if it has an encoding and becomes smaller."""
    if encoding != IDENTITY:
        compressor = zlib.compressobj(wbits=_WINDOW_BITS[encoding])
        compressed = compressor.compress(message) + compressor.flush()
        if len(compressed) < len(message):
            return _HEAD.pack(_COMPRESSED, len(compressed)) + compressed
    return _HEAD.pack(0, len(message)) + message


def pieces(message: bytes, encoding: str = IDENTITY) -> tuple[bytes, ...]:
    """Returns a message with its prefix, in the pieces in which it is sent: a large one is not copied."""
    if encoding != IDENTITY:
        return (frame(message, encoding),)
    head = _HEAD.pack(0, len(message))
    return (head, message) if len(message) >= _LARGE else (head + message,)


def only(data: bytes, limit: int) -> bytes | None:
    """Returns the message that some bytes are, one and nothing else, as it is most often; else None.

    It is None too for what is compressed, or longer than the limit; -1 is no limit.
    """
    if len(data) >= _HEAD.size:
        flag, size = _HEAD.unpack_from(data)
        if not flag and size == len(data) - _HEAD.size and (size <= limit or limit < 0):
            return data[_HEAD.size :]
    return None


@dataclass(slots=True)
class Compressed:
    """A message as it came, which `MessageReader.plain` decompresses."""

    data: bytes


class MessageReader:
    """Takes the bytes of a stream, gives the messages in them.

    They are given as they came: who takes one decompresses it. Else what is small on its way could be large
    here, many times over, with nobody who reads it.

    Attributes:
        missing: how many bytes of the message that has begun are still to come; 0 between messages.
        fault: what is wrong behind the messages that were given, if something is; then there are no more.
    """

    def __init__(self, limit: int, encoding: str = IDENTITY) -> None:
        """Makes a reader.

        Args:
            limit: bytes of the largest message, as it comes and decompressed; -1 is no limit.
            encoding: `grpc-encoding` of the stream.
        """
        self.missing = 0
        self.fault: MessageFault | None = None
        self._limit = limit if limit >= 0 else _UNLIMITED
        self._encoding = encoding
        self._head = b""
        """Of a prefix that is not whole."""
        self._flag = 0
        self._body: BytesIO | None = None
        """Of a message that is not whole."""

    def feed(self, data: bytes) -> list[bytes | Compressed]:
        """Takes bytes; returns the messages that are whole now, up to what may be wrong.

        `fault` is RESOURCE_EXHAUSTED for a message that is too large, which is told as soon as it is known;
        INTERNAL if it is compressed and should not be; UNIMPLEMENTED if that is in a way not known here.
        """
        if self._body is None and not self._head:
            message = only(data, self._limit)
            if message is not None:
                return [message]
        messages: list[bytes | Compressed] = []
        try:
            self._cut(self._completed(data, messages), messages)
        except MessageFault as fault:
            self.fault = fault
        return messages

    def _completed(self, data: bytes, messages: list[bytes | Compressed]) -> bytes:
        """Completes what has begun, as far as it goes; returns what begins behind it."""
        if self._body is None:
            return self._head + data if self._head else data
        size = len(data)
        if size < self.missing:
            self._body.write(data)
            self.missing -= size
            return b""
        self._body.write(data[: self.missing])
        rest = data[self.missing :]
        message = self._body.getvalue()
        messages.append(Compressed(message) if self._flag else message)
        self._body, self.missing = None, 0
        return rest

    def _cut(self, data: bytes, messages: list[bytes | Compressed]) -> None:
        at, last = 0, len(data)
        while last - at >= _HEAD.size:
            flag, size = _HEAD.unpack_from(data, at)
            if flag or size > self._limit:
                self._check(flag, size)
            begin = at + _HEAD.size
            end = begin + size
            if end > last:
                self._head, self._flag, self._body = b"", flag, BytesIO()
                self._body.write(data[begin:])
                self.missing = end - last
                return
            messages.append(Compressed(data[begin:end]) if flag else data[begin:end])
            at = end
        self._head = data[at:]

    @property
    def partial(self) -> bool:
        """Whether a message has begun that is not whole."""
        return bool(self._head) or self._body is not None

    def _check(self, flag: int, size: int) -> None:
        if flag > _COMPRESSED:
            raise MessageFault(INTERNAL, f"a message has the flags {flag:#04x}")
        if size > self._limit:
            raise self._too_large(size)
        if flag and self._encoding == IDENTITY:
            raise MessageFault(INTERNAL, "a message is compressed, and grpc-encoding says nothing")
        if flag and self._encoding not in ENCODINGS:
            raise MessageFault(UNIMPLEMENTED, f"grpc-encoding {self._encoding!r} is not known")

    def plain(self, message: bytes | Compressed) -> bytes:
        """Returns a message that `feed` has given, decompressed no further than the limits go.

        Raises:
            MessageFault: RESOURCE_EXHAUSTED, it is larger, or larger than its size allows (`max_inflated`);
                INTERNAL, it is broken.
        """
        if not isinstance(message, Compressed):
            return message
        decompressor = zlib.decompressobj(wbits=_WINDOW_BITS[self._encoding])
        inflated = max_inflated(len(message.data))
        most = min(self._limit, inflated) + 1
        try:
            decompressed = decompressor.decompress(message.data, most)
        except zlib.error as error:
            raise MessageFault(INTERNAL, f"a message cannot be decompressed: {error}") from error
        if len(decompressed) == most:
            if most <= inflated:
                raise self._too_large(most)
            size = f"{len(message.data)} bytes are more than {inflated} decompressed"
            raise MessageFault(RESOURCE_EXHAUSTED, f"Received message inflates too much ({size})")
        if not decompressor.eof:
            raise MessageFault(INTERNAL, "a message cannot be decompressed: its end is missing")
        if decompressor.unused_data:
            raise MessageFault(INTERNAL, "a message cannot be decompressed: more follows its end")
        return decompressed

    def _too_large(self, size: int) -> MessageFault:
        return MessageFault(
            RESOURCE_EXHAUSTED, f"Received message larger than max ({size} vs. {self._limit})"
        )
