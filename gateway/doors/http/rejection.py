"""Requests that are refused by the rules of HTTP itself, before anybody is asked what they mean."""

from __future__ import annotations

from typing import Final

import orjson

INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14

_CODES: Final = {
    408: DEADLINE_EXCEEDED,
    413: RESOURCE_EXHAUSTED,
    414: RESOURCE_EXHAUSTED,
    429: RESOURCE_EXHAUSTED,
    431: RESOURCE_EXHAUSTED,
    500: INTERNAL,
    501: UNIMPLEMENTED,
    503: UNAVAILABLE,
    505: UNIMPLEMENTED,
}
"""The `google.rpc.Code` of each HTTP status; INVALID_ARGUMENT where there is none."""


class Rejection(Exception):
    """A response that ends the connection.

    Attributes:
        status: HTTP status.
        message: what is wrong; it repeats nothing of the request.
        headers: headers of the response besides those of its body.
    """

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers

    @property
    def code(self) -> int:
        """The `google.rpc.Code` that the HTTP status stands for."""
        return _CODES.get(self.status, INVALID_ARGUMENT)

    def body(self) -> bytes:
        """Returns the JSON of a `google.rpc.Status`."""
        return orjson.dumps({"code": self.code, "message": self.message})
