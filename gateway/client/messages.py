"""The messages of one method, from JSON and to JSON, and where their texts come from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message_factory import GetMessageClass

from gateway.contract.descriptors import Contract
from gateway.contract.method import Method
from gateway.transcoding.codec import JsonCodec, JsonOptions, parse_json, print_json
from gateway.transcoding.decoding import serialize
from gateway.transcoding.frame_decoders import FrameError, SniffingDecoder
from gateway.transcoding.violations import items_of

STDIN: Final = "-"
"""The word for requests that are read from stdin."""
_CHUNK: Final = 65536


class RequestError(Exception):
    """A request is no message of the method; the text says which, and why."""


class MethodMessages:
    """Reads requests of a method, and prints its responses."""

    def __init__(self, contract: Contract, method: Method, options: JsonOptions) -> None:
        codec = JsonCodec(contract.pool, options)
        self._read = codec.decoder.reader(method.input)
        # what goes over HTTP is the specification's own JSON, whatever is printed
        self._write_request = codec.encoder(JsonOptions()).writer(method.input)
        self._write = codec.encoder().writer(method.output)
        self._request: Any = GetMessageClass(method.input)
        self._response: Any = GetMessageClass(method.output)
        self._streams = method.stream_type.client

    def request(self, text: bytes, number: int) -> bytes:
        """Returns the serialized message of a JSON text.

        Raises:
            RequestError: the text is no such message; all that is wrong is named.
        """
        message = self._request()
        try:
            self._read(message, parse_json(text), 0)
            return serialize(message)
        except ValueError as error:
            parts = [f"{path}: {text}" if path else text for path, text in items_of(error)]
            where = f"request {number}: " if self._streams else ""
            raise RequestError(f"{where}{'; '.join(parts)}") from error

    def request_value(self, data: bytes) -> Any:
        """Returns the JSON value of a serialized request."""
        return self._write_request(self._request.FromString(data))

    def response(self, data: bytes) -> bytes:
        """Returns the line of a serialized response.

        Raises:
            ValueError, DecodeError: it does not fit the contract, or has no JSON.
        """
        return print_json(self._write(self._response.FromString(data)))


def request_texts(given: str | None, *, streams: bool, max_bytes: int) -> Iterator[bytes]:
    """Yields the JSON texts of the requests; of stdin as they come.

    Args:
        given: the texts, or `STDIN`. None: stdin for a client that streams, `{}` for another one.
        streams: whether the client streams: lines or an array, each a message. Otherwise it is one text.
        max_bytes: maximum of a text.

    Raises:
        RequestError: a text is too large, or an array is not closed.
    """
    given = given if given is not None else STDIN if streams else "{}"
    chunks = _stdin() if given == STDIN else iter((given.encode(),))
    if not streams:
        yield b"".join(chunks) or b"{}"
        return
    decoder = SniffingDecoder(max_bytes)
    try:
        for chunk in chunks:
            yield from decoder.feed(chunk)
        yield from decoder.close()
    except FrameError as error:
        raise RequestError(f"request {error.number}: {error}") from error


def _stdin() -> Iterator[bytes]:
    """Yields what stdin has, without waiting for more than that."""
    while chunk := os.read(sys.stdin.fileno(), _CHUNK):
        yield chunk
