"""Messages of gRPC in the bytes of a stream, and their compression.

Source: gRPC over HTTP/2, "Length-Prefixed-Message"; "Compression".
"""

from __future__ import annotations

from collections.abc import Iterator

IDENTITY = "identity"
GZIP = "gzip"


class MessageFault(Exception):
    """A message is not what it should be; `code` is gRPC's status for it (an int of google.rpc.Code)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


def frame(message: bytes, encoding: str = IDENTITY) -> bytes:
    """Returns a message with its prefix; compressed, if it has an encoding and is not empty."""
    raise NotImplementedError


class MessageReader:
    """Takes the bytes of a stream, gives the messages in them."""

    def __init__(self, limit: int, encoding: str = IDENTITY) -> None:
        """Makes a reader.

        Args:
            limit: bytes of the largest message, decompressed; -1 is no limit.
            encoding: `grpc-encoding` of the stream.
        """

    def feed(self, data: bytes) -> Iterator[bytes] | list[bytes]:
        """Takes bytes; returns the messages that are whole now.

        Raises:
            MessageFault: RESOURCE_EXHAUSTED (too large, also after decompression: told as soon as it is
                known), INTERNAL (a flag or compression that was not agreed upon; gzip that is broken).
        """
        raise NotImplementedError

    @property
    def missing(self) -> int:
        """How many bytes of the message that has begun are still to come; 0 between messages."""
        raise NotImplementedError
