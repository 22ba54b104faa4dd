"""The HTTP body of an error: `google.rpc.Status` as JSON, or problem details (RFC 9457).

Sources: google/rpc/status.proto and google/rpc/error_details.proto; RFC 9457.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc.error_details_pb2 import DebugInfo
from google.rpc.status_pb2 import Status

from gateway.transcoding.codec import JsonOptions, JsonPrintError, print_json
from gateway.transcoding.encoding import JsonEncoder, type_name
from gateway.transcoding.status import StatusError

STATUS_JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
_OTHER_PHRASES: Final[Mapping[int, str]] = {499: "Client Closed Request"}


class ErrorBodies:
    """Makes the bodies of errors; omits `google.rpc.DebugInfo` unless the operator allows it."""

    def __init__(self, pool: DescriptorPool, options: JsonOptions, *, debug: bool) -> None:
        """Makes a printer.

        Args:
            pool: the types of the contract, for error details.
            options: options of the JSON.
            debug: whether `DebugInfo` is shown to callers.
        """
        self._hidden = frozenset() if debug else frozenset({DebugInfo.DESCRIPTOR.full_name})
        encoder = JsonEncoder(pool, options, self._hidden)
        self._write = encoder.writer(pool.FindMessageTypeByName(Status.DESCRIPTOR.full_name))

    def status(self, status: Status) -> bytes:
        """Returns the JSON of a status; details of unknown types stay base64."""
        return self._print(status, lambda value: value)

    def problem(self, error: StatusError) -> bytes:
        """Returns the problem details of an error; `code` and `details` are extension members."""
        problem = {
            "title": _phrase(error.http_status),
            "status": error.http_status,
            "detail": error.status.message,
            "code": error.code,
        }

        def to_problem(value: Any) -> Any:
            return problem | {key: value[key] for key in ("details",) if key in value}

        return self._print(error.status, to_problem)

    def _print(self, status: Status, convert: Callable[[Any], Any]) -> bytes:
        """Prints the converted JSON value of a status; details that have no JSON are left out."""
        visible = self._without_hidden(status)
        try:
            return print_json(convert(self._write(visible)))
        except (ValueError, JsonPrintError):
            details = [detail for detail in visible.details if self._has_json(detail)]
            rest = Status(code=visible.code, message=visible.message, details=details)
            return print_json(convert(self._write(rest)))

    def _has_json(self, detail: AnyMessage) -> bool:
        try:
            print_json(self._write(Status(details=[detail])))
        except (ValueError, JsonPrintError):
            return False
        return True

    def _without_hidden(self, status: Status) -> Status:
        details = [detail for detail in status.details if type_name(detail) not in self._hidden]
        if len(details) == len(status.details):
            return status
        return Status(code=status.code, message=status.message, details=details)


def _phrase(http_status: int) -> str:
    try:
        return HTTPStatus(http_status).phrase
    except ValueError:
        return _OTHER_PHRASES.get(http_status, "Error")
