"""What makes a response message's JSON, and what tells whether two of them make the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from google.protobuf.message import DecodeError, Message

from gateway.contract.method import Method
from gateway.transcoding.codec import JsonPrintError, print_json
from gateway.transcoding.status import INTERNAL, StatusError
from gateway.transcoding.well_known import Write


class FormEncoder:
    """Makes the JSON of a serialized response message.

    Attributes:
        form: what of the message is printed, and how. Encoders of one type with equal forms print the same.
    """

    __slots__ = ("_method", "_parse", "_write", "form")

    def __init__(
        self, method: Method, parse: Callable[[bytes], Message], write: Write, form: Hashable
    ) -> None:
        self._method = method
        self._parse = parse
        self._write = write
        self.form = form

    def __call__(self, data: bytes) -> bytes:
        """Returns the JSON.

        Raises:
            StatusError: INTERNAL, the message does not fit the contract or has no JSON.
        """
        try:
            return print_json(self._write(self._parse(data)))
        except (DecodeError, ValueError, JsonPrintError) as error:
            raise invalid_response(self._method, error) from error


def invalid_response(method: Method, error: Exception) -> StatusError:
    """Returns the error for a response message that cannot be written."""
    text = f"the answer of {method.full_name} cannot be written as JSON: {error}"
    return StatusError.of(INTERNAL, text)
