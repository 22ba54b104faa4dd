"""The error type of the edge, `StatusError`, and the HTTP status of each gRPC status code.

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
UNAUTHENTICATED: Final = code_pb2.UNAUTHENTICATED

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
_RETRYABLE: Final = (429, 503)

if HTTP_STATUS.keys() != set(code_pb2.Code.values()):
    raise AssertionError("HTTP_STATUS must be total over google.rpc.Code")


class StatusError(Exception):
    """An RPC, or an HTTP request for one, failed with a status other than OK."""

    def __init__(
        self,
        status: Status,
        *,
        http_status: int | None = None,
        headers: Headers = (),
        initial: Metadata = (),
        trailing: Metadata = (),
        by_upstream: bool = False,
    ) -> None:
        """Makes the error.

        Args:
            status: the status for the caller.
            http_status: an HTTP status more specific than that of the code: 405, 413, …
            headers: response headers that this HTTP status requires: `allow`, `accept-post`, …
            initial: initial metadata of the failed call; empty if the edge itself made the error.
            trailing: trailing metadata of that call.
            by_upstream: whether the call ended so upstream; False if the edge made the error.
        """
        self.status = status
        self.http_status = http_status or HTTP_STATUS.get(status.code, 500)
        self.headers = headers
        self.initial = initial
        self.trailing = trailing
        self.by_upstream = by_upstream
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
        """Makes an error from a code, a message, and details.

        Args:
            code: a `google.rpc.Code`.
            message: for developers.
            details: messages such as those of google/rpc/error_details.proto.
            http_status: see `__init__`.
            headers: see `__init__`.
        """
        status = Status(code=code, message=message)
        for detail in details:
            status.details.add().Pack(detail)
        return cls(status, http_status=http_status, headers=headers)

    @property
    def code(self) -> int:
        """The `google.rpc.Code`."""
        return int(self.status.code)

    @property
    def retry_seconds(self) -> float | None:
        """The server's retry delay in seconds; None: it gives none."""
        return retry_seconds(self.status, (*self.initial, *self.trailing))


def is_retryable(error: StatusError) -> bool:
    """Whether a retry of the request may succeed: 429, 503, or an error with a retry delay.

    A request that is too large (413) is not retryable, although its code is RESOURCE_EXHAUSTED.
    """
    return error.http_status in _RETRYABLE or error.retry_seconds is not None


def code_name(code: int) -> str:
    """Returns the name of a code; the number if `google.rpc.Code` lacks it."""
    value = code_pb2.Code.DESCRIPTOR.values_by_number.get(code)
    return value.name if value else str(code)


def bad_request(violations: Iterable[tuple[str, str]]) -> StatusError:
    """Makes an INVALID_ARGUMENT with `google.rpc.BadRequest`, within the limits of `bounded`.

    Args:
        violations: pairs of field path (empty: the whole request) and description; at least one.
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
