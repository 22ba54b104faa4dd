"""Messages of gRPC in the bytes of a stream, and their compression.

Source: gRPC over HTTP/2, "Length-Prefixed-Message" and "Message-Encoding"; gRPC's compression.md.
"""

from __future__ import annotations

import zlib
from io import BytesIO
from struct import Struct
from typing import Final

from grpc_wire.codes import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED

IDENTITY: Final = "identity"
GZIP: Final = "gzip"
DEFLATE: Final = "deflate"
ENCODINGS: Final = (IDENTITY, DEFLATE, GZIP)
"""What can be read."""
ACCEPTED: Final = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())
"""How it is said; gRPC's grammar has no spaces there, and grpc-js takes none off."""

_HEAD: Final = Struct(">BL")
_COMPRESSED: Final = 1
_LARGE: Final = 64 * 1024
_WINDOW_BITS: Final = {GZIP: 31, DEFLATE: 15}
"""What zlib calls the two formats: gzip (RFC 1952), and zlib (RFC 1950), which HTTP calls deflate."""


class MessageFault(Exception):
    """A message is not what it should be; `code` is gRPC's status for that."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


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
    if len(message) >= _LARGE and encoding == IDENTITY:
        return _HEAD.pack(0, len(message)), message
    return (frame(message, encoding),)


class MessageReader:
    """Takes the bytes of a stream, gives the messages in them."""

    def __init__(self, limit: int, encoding: str = IDENTITY) -> None:
        """Makes a reader.

        Args:
            limit: bytes of the largest message, as it comes and decompressed; -1 is no limit.
            encoding: `grpc-encoding` of the stream.
        """
        self._limit = limit
        self._encoding = encoding
        self._head = b""
        """Of a prefix that is not whole."""
        self._flag = 0
        self._body: BytesIO | None = None
        """Of a message that is not whole."""
        self.missing = 0
        """How many bytes of the message that has begun are still to come; 0 between messages."""

    def feed(self, data: bytes) -> list[bytes]:
        """Takes bytes; returns the messages that are whole now.

        Raises:
            MessageFault: RESOURCE_EXHAUSTED, a message is too large, which is told as soon as it is known;
                INTERNAL, it is compressed and should not be, or is broken; UNIMPLEMENTED, it is compressed
                in a way that is not known here.
        """
        messages: list[bytes] = []
        if self._body is None and not self._head and len(data) >= _HEAD.size:
            flag, size = _HEAD.unpack_from(data)
            if size == len(data) - _HEAD.size:  # one message and nothing else, as it is most often
                self._check(flag, size)
                return [self._plain(flag, data[_HEAD.size :])]
        if self._body is not None:
            size = len(data)
            if size < self.missing:
                self._body.write(data)
                self.missing -= size
                return messages
            self._body.write(data[: self.missing])
            data = data[self.missing :]
            messages.append(self._plain(self._flag, self._body.getvalue()))
            self._body, self.missing = None, 0
        elif self._head:
            data = self._head + data
        at, last = 0, len(data)
        while last - at >= _HEAD.size:
            flag, size = _HEAD.unpack_from(data, at)
            self._check(flag, size)
            begin = at + _HEAD.size
            end = begin + size
            if end > last:
                self._head, self._flag, self._body = b"", flag, BytesIO()
                self._body.write(data[begin:])
                self.missing = end - last
                return messages
            messages.append(self._plain(flag, data[begin:end]))
            at = end
        self._head = data[at:]
        return messages

    @property
    def partial(self) -> bool:
        """Whether a message has begun that is not whole."""
        return bool(self._head) or self._body is not None

    def _check(self, flag: int, size: int) -> None:
        if flag > _COMPRESSED:
            raise MessageFault(INTERNAL, f"a message has the flags {flag:#04x}")
        if 0 <= self._limit < size:
            raise self._too_large(size)
        if flag and self._encoding == IDENTITY:
            raise MessageFault(INTERNAL, "a message is compressed, and grpc-encoding says nothing")
        if flag and self._encoding not in ENCODINGS:
            raise MessageFault(UNIMPLEMENTED, f"grpc-encoding {self._encoding!r} is not known")

    def _plain(self, flag: int, data: bytes) -> bytes:
        """Returns a message, decompressed if its flag says so, no further than the limit goes."""
        if not flag:
            return data
        decompressor = zlib.decompressobj(wbits=_WINDOW_BITS[self._encoding])
        most = 0 if self._limit < 0 else self._limit + 1
        try:
            message = decompressor.decompress(data, most)
        except zlib.error as error:
            raise MessageFault(INTERNAL, f"a message cannot be decompressed: {error}") from error
        if most and len(message) == most:
            raise self._too_large(most)
        if not decompressor.eof:
            raise MessageFault(INTERNAL, "a message cannot be decompressed: its end is missing")
        if decompressor.unused_data:
            raise MessageFault(INTERNAL, "a message cannot be decompressed: more follows its end")
        return message

    def _too_large(self, size: int) -> MessageFault:
        return MessageFault(
            RESOURCE_EXHAUSTED, f"Received message larger than max ({size} vs. {self._limit})"
        )
