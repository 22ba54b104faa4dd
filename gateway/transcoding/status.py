"""The one error type of the edge, and the tables that say what it is on each wire.

Sources: google/rpc/code.proto (the HTTP status beside each code), google/rpc/status.proto,
google/rpc/error_details.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.retry import retry_seconds
from gateway.transcoding.violations import bounded

OK: Final = code_pb2.OK
CANCELLED: Final = code_pb2.CANCELLED
UNKNOWN: Final = code_pb2.UNKNOWN
INVALID_ARGUMENT: Final = code_pb2.INVALID_ARGUMENT
DEADLINE_EXCEEDED: Final = code_pb2.DEADLINE_EXCEEDED
NOT_FOUND: Final = code_pb2.NOT_FOUND
PERMISSION_DENIED: Final = code_pb2.PERMISSION_DENIED
RESOURCE_EXHAUSTED: Final = code_pb2.RESOURCE_EXHAUSTED
UNIMPLEMENTED: Final = code_pb2.UNIMPLEMENTED
INTERNAL: Final = code_pb2.INTERNAL
UNAVAILABLE: Final = code_pb2.UNAVAILABLE

HTTP_STATUS: Final[Mapping[int, int]] = MappingProxyType(
    {
        code_pb2.OK: 200,
        code_pb2.CANCELLED: 499,
        code_pb2.UNKNOWN: 500,
        code_pb2.INVALID_ARGUMENT: 400,
        code_pb2.DEADLINE_EXCEEDED: 504,
        code_pb2.NOT_FOUND: 404,
        code_pb2.ALREADY_EXISTS: 409,
        code_pb2.PERMISSION_DENIED: 403,
        code_pb2.UNAUTHENTICATED: 401,
        code_pb2.RESOURCE_EXHAUSTED: 429,
        code_pb2.FAILED_PRECONDITION: 400,
        code_pb2.ABORTED: 409,
        code_pb2.OUT_OF_RANGE: 400,
        code_pb2.UNIMPLEMENTED: 501,
        code_pb2.INTERNAL: 500,
        code_pb2.UNAVAILABLE: 503,
        code_pb2.DATA_LOSS: 500,
    }
)
_MAY_PASS: Final = (429, 503)

if HTTP_STATUS.keys() != set(code_pb2.Code.values()):
    raise AssertionError("HTTP_STATUS must be total over google.rpc.Code")


class StatusError(Exception):
    """An RPC, or a request for one, that ended with a status other than OK."""

    def __init__(
        self,
        status: Status,
        *,
        http_status: int | None = None,
        headers: Headers = (),
        initial: Metadata = (),
        trailing: Metadata = (),
    ) -> None:
        """Makes the error.

        Args:
            status: what is written to the caller.
            http_status: where HTTP has a more exact word than the table has for the code: 405, 413, …
            headers: what HTTP wants said beside that word: `allow`, `accept-post`, …
            initial: initial metadata of the call that ended so; empty if the edge made the error.
            trailing: trailing metadata of that call.
        """
        self.status = status
        self.http_status = http_status or HTTP_STATUS.get(status.code, 500)
        self.headers = headers
        self.initial = initial
        self.trailing = trailing
        super().__init__(f"{code_name(status.code)}: {status.message}")

    @classmethod
    def of(
        cls,
        code: int,
        message: str,
        *details: Message,
        http_status: int | None = None,
        headers: Headers = (),
    ) -> StatusError:
        """Makes an error from a code, a message for people, and details for programs."""
        status = Status(code=code, message=message)
        for detail in details:
            status.details.add().Pack(detail)
        return cls(status, http_status=http_status, headers=headers)

    @property
    def code(self) -> int:
        """The number of the code in `google.rpc.Code`."""
        return int(self.status.code)

    @property
    def retry_seconds(self) -> float | None:
        """Seconds after which to come back, as the server says it; None: it does not."""
        return retry_seconds(self.status, (*self.initial, *self.trailing))


def is_retryable(error: StatusError) -> bool:
    """Whether the same request may well fare better later; what is too large (413) will not.

    So it may where the server says when to come back, whatever its code.
    """
    return error.http_status in _MAY_PASS or error.retry_seconds is not None


def code_name(code: int) -> str:
    """Returns the name of a code, or its number where `google.rpc.Code` has none for it."""
    value = code_pb2.Code.DESCRIPTOR.values_by_number.get(code)
    return value.name if value else str(code)


def bad_request(violations: Iterable[tuple[str, str]]) -> StatusError:
    """Makes the INVALID_ARGUMENT that lists what is wrong with a request, as far as `bounded` goes.

    Args:
        violations: pairs of field path (`""` for the request as a whole) and what is wrong there.
    """
    kept, left_out = bounded(violations)
    detail = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=path, description=text)
            for path, text in kept
        ]
    )
    first = detail.field_violations[0]
    more = len(kept) - 1 + left_out
    message = f"{first.field}: {first.description}" if first.field else first.description
    if more:
        message += f" (and {more} more)"
    return StatusError.of(INVALID_ARGUMENT, message, detail)
