"""Length-prefixed messages in the bytes of a stream, and their compression.

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
"""Values of `grpc-encoding` that can be read."""
ACCEPTED: Final = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())
"""The `grpc-accept-encoding` header. Without spaces: gRPC's grammar has none, and grpc-js does not strip
them."""

MESSAGE_COST: Final = 1024
"""Bytes that a message counts for in a turn of the event loop, beside its own (`Limits.turn_bytes`)."""
INFLATION: Final = 200
"""Largest ratio of a message's size to its compressed size; above `INFLATION_FREE`."""
INFLATION_FREE: Final = 512 * 1024
"""Bytes that a message may have whatever its compressed size; see `max_inflated`."""

_HEAD: Final = Struct(">BL")
_HEAD_SIZE: Final = 5
_COMMON_SIZES: Final = 512
"""Sizes of messages below this have their prefixes in a table."""
_PREFIXES: Final = tuple([b"\0" + size.to_bytes(4, "big") for size in range(_COMMON_SIZES)])
"""Prefixes of uncompressed messages."""
_COMPRESSED: Final = 1
_LARGE: Final = 64 * 1024
_UNLIMITED: Final = 2**32
"""More than a prefix can say."""
_WINDOW_BITS: Final = {GZIP: 31, DEFLATE: 15}
"""zlib's numbers for gzip (RFC 1952) and zlib (RFC 1950), which HTTP calls deflate."""


class MessageFault(Exception):
    """A message is invalid; `code` is the gRPC status for it."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


def max_inflated(size: int) -> int:
    """Returns how many bytes `size` compressed bytes may decompress to."""
    return max(INFLATION_FREE, INFLATION * size)


def frame(message: bytes, encoding: str = IDENTITY) -> bytes:
    """Returns a message with its prefix; compressed if it has an encoding and becomes smaller."""
    if encoding != IDENTITY:
        compressor = zlib.compressobj(wbits=_WINDOW_BITS[encoding])
        compressed = compressor.compress(message) + compressor.flush()
        if len(compressed) < len(message):
            return _HEAD.pack(_COMPRESSED, len(compressed)) + compressed
    return _prefix(len(message)) + message


def _prefix(size: int) -> bytes:
    """Returns the prefix of an uncompressed message of `size` bytes."""
    return _PREFIXES[size] if size < _COMMON_SIZES else b"\0" + size.to_bytes(4, "big")


def frame_pieces(message: bytes, encoding: str = IDENTITY) -> list[bytes]:
    """Returns a message with its prefix, in pieces to send in order: a large one is not copied."""
    if encoding != IDENTITY:
        return [frame(message, encoding)]
    head = _prefix(len(message))
    return [head, message] if len(message) >= _LARGE else [head + message]


def single_message(data: bytes, limit: int) -> bytes | None:
    """Returns the message, if `data` is exactly one uncompressed message within the limit; else None.

    The limit is in bytes; -1 is no limit.
    """
    size = len(data) - _HEAD_SIZE
    if size < 0 or (0 <= limit < size) or not data.startswith(_prefix(size)):
        return None
    return data[_HEAD_SIZE:]


@dataclass(slots=True)
class CompressedMessage:
    """A message as received; `MessageReader.decompress` decompresses it."""

    data: bytes


class MessageReader:
    """Reads messages from the bytes of a stream.

    Compressed messages are decompressed by whoever reads them, not before: unread messages take no more
    memory
    than they took on the wire.

    Attributes:
        missing: bytes still to come of the incomplete message; 0 between messages.
        fault: error behind the messages that were returned; then there are no more. None: no error.
    """

    def __init__(self, limit: int, encoding: str = IDENTITY) -> None:
        """Makes a reader.

        Args:
            limit: maximum bytes of a message, on the wire and decompressed; -1 is no limit.
            encoding: `grpc-encoding` of the stream.
        """
        self.missing = 0
        self.fault: MessageFault | None = None
        self._limit = limit if limit >= 0 else _UNLIMITED
        self._encoding = encoding
        self._head = b""
        """Start of an incomplete prefix."""
        self._flag = 0
        self._body: BytesIO | None = None
        """Start of an incomplete message."""

    def feed(self, data: bytes) -> list[bytes | CompressedMessage]:
        """Reads bytes; returns the messages that are complete, up to an invalid one.

        `fault` is RESOURCE_EXHAUSTED for a message above the limit, as soon as its prefix is there; INTERNAL
        for one
        that is compressed without `grpc-encoding`; UNIMPLEMENTED for an unknown encoding.
        """
        if self._body is None and not self._head:
            message = single_message(data, self._limit)
            if message is not None:
                return [message]
        messages: list[bytes | CompressedMessage] = []
        try:
            self._parse(self._completed(data, messages), messages)
        except MessageFault as fault:
            self.fault = fault
        return messages

    def _completed(self, data: bytes, messages: list[bytes | CompressedMessage]) -> bytes:
        """Completes the incomplete message, as far as data goes; returns the data behind it."""
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
        messages.append(CompressedMessage(message) if self._flag else message)
        self._body, self.missing = None, 0
        return rest

    def _parse(self, data: bytes, messages: list[bytes | CompressedMessage]) -> None:
        at, last = 0, len(data)
        while last - at >= _HEAD.size:
            flag, size = _HEAD.unpack_from(data, at)
            if flag or size > self._limit:
                self._check(flag, size)
            start = at + _HEAD.size
            end = start + size
            if end > last:
                self._head, self._flag, self._body = b"", flag, BytesIO()
                self._body.write(data[start:])
                self.missing = end - last
                return
            messages.append(CompressedMessage(data[start:end]) if flag else data[start:end])
            at = end
        self._head = data[at:]

    @property
    def has_partial(self) -> bool:
        """Whether a message is incomplete."""
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

    def decompress(self, message: bytes | CompressedMessage) -> bytes:
        """Returns a message that `feed` returned, decompressed if it was compressed.

        Raises:
            MessageFault: RESOURCE_EXHAUSTED, it is above the limit or `max_inflated`; INTERNAL, it is
                corrupt.
        """
        if not isinstance(message, CompressedMessage):
            return message
        decompressor = zlib.decompressobj(wbits=_WINDOW_BITS[self._encoding])
        inflated = max_inflated(len(message.data))
        max_size = min(self._limit, inflated) + 1
        try:
            decompressed = decompressor.decompress(message.data, max_size)
        except zlib.error as error:
            raise MessageFault(INTERNAL, f"a message cannot be decompressed: {error}") from error
        if len(decompressed) == max_size:
            if max_size <= inflated:
                raise self._too_large(max_size)
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
