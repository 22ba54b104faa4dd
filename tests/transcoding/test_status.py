"""The one error type, and its tables."""

from __future__ import annotations

import pytest
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from gateway.transcoding.status import (
    HTTP_STATUS,
    INVALID_ARGUMENT,
    StatusError,
    bad_request,
    code_name,
)

# the HTTP mapping in the comments of google/rpc/code.proto
MAPPING = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}


def test_each_code_has_its_http_status() -> None:
    """The table is total, and says what google/rpc/code.proto says."""
    assert {code_name(code): status for code, status in HTTP_STATUS.items()} == MAPPING
    assert set(MAPPING) == set(code_pb2.Code.keys())


@pytest.mark.parametrize(
    ("error", "code", "http_status", "text"),
    [
        (StatusError.of(code_pb2.NOT_FOUND, "gone"), 5, 404, "NOT_FOUND: gone"),
        (
            StatusError.of(code_pb2.UNIMPLEMENTED, "no", http_status=405),
            12,
            405,
            "UNIMPLEMENTED: no",
        ),
        (StatusError(Status(code=99, message="odd")), 99, 500, "99: odd"),
        (StatusError(Status(code=-1)), -1, 500, "-1: "),
    ],
)
def test_an_error_knows_what_it_is(
    error: StatusError, code: int, http_status: int, text: str
) -> None:
    """An error has its code, its HTTP status, and a text that names both code and message."""
    assert (error.code, error.http_status, str(error)) == (code, http_status, text)


def test_an_error_carries_details_and_headers() -> None:
    """Details are packed in their order, and headers stay as they were given."""
    detail = error_details_pb2.ErrorInfo(reason="WHY")

    error = StatusError.of(code_pb2.ABORTED, "x", detail, headers=((b"a", b"b"),))

    unpacked = error_details_pb2.ErrorInfo()
    assert error.status.details[0].Unpack(unpacked)
    assert unpacked == detail
    assert error.headers == ((b"a", b"b"),)


@pytest.mark.parametrize(
    ("violations", "message"),
    [
        ([("a.b", "is wrong")], "a.b: is wrong"),
        ([("", "is wrong")], "is wrong"),
        ([("a", "x"), ("b", "y")], "a: x (and 1 more)"),
        ([("", "x"), ("b", "y"), ("c", "z")], "x (and 2 more)"),
    ],
)
def test_a_bad_request_lists_all(violations: list[tuple[str, str]], message: str) -> None:
    """All violations are in the details, and the first in the message."""
    error = bad_request(violations)

    detail = error_details_pb2.BadRequest()
    assert error.status.details[0].Unpack(detail)
    assert error.code == INVALID_ARGUMENT
    assert error.status.message == message
    assert [(v.field, v.description) for v in detail.field_violations] == violations
