"""What an error says over HTTP: `google.rpc.Status` as JSON, or RFC 9457's problem details.

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
_OUR_PHRASES: Final[Mapping[int, str]] = {499: "Client Closed Request"}


class ErrorBodies:
    """Writes errors; what only insiders should see is left out unless the operator lets it pass."""

    def __init__(self, pool: DescriptorPool, options: JsonOptions, *, debug: bool) -> None:
        """Takes the contract's types, and whether `DebugInfo` is shown to callers."""
        self._hidden = frozenset() if debug else frozenset({DebugInfo.DESCRIPTOR.full_name})
        encoder = JsonEncoder(pool, options, self._hidden)
        self._write = encoder.writer(pool.FindMessageTypeByName(Status.DESCRIPTOR.full_name))

    def status(self, status: Status) -> bytes:
        """Returns the JSON of a status, with its details decoded as far as their types are known."""
        return self._printed(status, lambda written: written)

    def problem(self, error: StatusError) -> bytes:
        """Returns an error as problem details; `code` and `details` are extension members."""
        problem = {
            "title": _phrase(error.http_status),
            "status": error.http_status,
            "detail": error.status.message,
            "code": error.code,
        }

        def form(written: Any) -> Any:
            return problem | {key: written[key] for key in ("details",) if key in written}

        return self._printed(error.status, form)

    def _printed(self, status: Status, form: Callable[[Any], Any]) -> bytes:
        """Returns the JSON of what `form` makes of a status; details that have no JSON are left out."""
        shown = self._shown(status)
        try:
            return print_json(form(self._write(shown)))
        except (ValueError, JsonPrintError):
            details = [detail for detail in shown.details if self._has_json(detail)]
            rest = Status(code=shown.code, message=shown.message, details=details)
            return print_json(form(self._write(rest)))

    def _has_json(self, detail: AnyMessage) -> bool:
        try:
            print_json(self._write(Status(details=[detail])))
        except (ValueError, JsonPrintError):
            return False
        return True

    def _shown(self, status: Status) -> Status:
        details = [detail for detail in status.details if type_name(detail) not in self._hidden]
        if len(details) == len(status.details):
            return status
        return Status(code=status.code, message=status.message, details=details)


def _phrase(http_status: int) -> str:
    try:
        return HTTPStatus(http_status).phrase
    except ValueError:
        return _OUR_PHRASES.get(http_status, "Error")
