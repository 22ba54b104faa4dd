"""What all wires of RPC have in common: a codec of a call's messages, and of its end.

Sources: gRPC over HTTP/2; gRPC-Web (PROTOCOL-WEB.md); the Connect protocol.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.status import INVALID_ARGUMENT, StatusError
from grpc_wire.call.message import MessageFault, MessageReader

NO_TRAILERS: Final[Headers] = ()


class Failure(NamedTuple):
    """A whole HTTP response that is an error."""

    status: int
    content_type: str
    body: bytes
    headers: Headers
    trailers: Headers = ()


class MessagesReader(Protocol):
    """Reads the messages in the bytes of a request's body."""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Returns the messages that are complete.

        Raises:
            StatusError: the bytes are none of the wire, or a message is larger than the limit.
        """
        ...

    def close(self) -> Iterable[bytes]:
        """Returns what is left at the end of the body.

        Raises:
            StatusError: the last message is incomplete.
        """
        ...


class RpcWire(ABC):
    """One call's codec.

    Attributes:
        name: of the wire, in logs and metrics.
        content_type: of a response that has not failed.
        needs_trailers: whether a call ends in the trailers of HTTP.
        is_whole: whether the response is one HTTP body without frames, whose headers have the trailers.
        is_json: whether messages travel as JSON, which `read` and `message` translate.
    """

    __slots__ = ("content_type", "is_json")

    name = ""
    needs_trailers = False
    is_whole = False

    def __init__(self, content_type: str, *, is_json: bool = False) -> None:
        """Takes the content type of the response, and whether messages travel as JSON."""
        self.content_type = content_type
        self.is_json = is_json

    def bind(self, endpoint: Endpoint) -> None:
        """Takes what translates the messages, where the wire has them in JSON."""
        del endpoint

    @abstractmethod
    def reader(self, limit: int) -> MessagesReader:
        """Returns what reads the request's messages, each of at most so many bytes.

        Raises:
            StatusError: UNIMPLEMENTED, the body has a coding that is not known here.
        """

    def single(self, body: bytes, limit: int) -> bytes | None:
        """Returns the message of a body that has come whole; None: it is for `reader`, or more than one."""
        del body, limit
        return None

    def read(self, message: bytes) -> bytes:
        """Returns the serialized message that one of a client's is, as `reader` or `single` has it.

        Raises:
            StatusError: it is wrong.
        """
        return message

    @abstractmethod
    def head(self, initial: Metadata) -> Headers:
        """Returns the headers of a response that has not failed, without its content type."""

    @abstractmethod
    def message(self, message: bytes) -> bytes:
        """Returns a message as it travels.

        Raises:
            StatusError: INTERNAL, it cannot be written as JSON.
        """

    @abstractmethod
    def end(self, error: StatusError | None, trailing: Metadata) -> tuple[bytes, Headers]:
        """Returns the last bytes of a stream, and the trailers behind them.

        Args:
            error: with which the call ended; None: OK.
            trailing: metadata at the end of a call that went well; an error has its own.
        """

    @abstractmethod
    def failure(self, error: StatusError) -> Failure:
        """Returns the whole response of a call that failed before its response began."""


class FramedReader:
    """Reads length-prefixed messages, which gRPC, gRPC-Web and the streams of Connect share."""

    __slots__ = ("_reader",)

    def __init__(self, limit: int, encoding: str) -> None:
        """Takes the limit of a message in bytes, and the encoding of those whose flag says so."""
        self._reader = MessageReader(limit, encoding)

    def feed(self, data: bytes) -> Iterable[bytes]:
        """See `MessagesReader`."""
        reader = self._reader
        try:
            for message in reader.feed(data):
                yield reader.decompress(message)
        except MessageFault as fault:
            raise _status_error(fault) from None
        if reader.fault is not None:
            raise _status_error(reader.fault)

    def close(self) -> Iterable[bytes]:
        """See `MessagesReader`."""
        if self._reader.has_partial:
            raise _status_error(MessageFault(INVALID_ARGUMENT, "the body ends within a message"))
        return ()


def _status_error(fault: MessageFault) -> StatusError:
    return StatusError.of(fault.code, fault.reason)
