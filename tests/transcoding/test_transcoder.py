"""The facade: routing, misses, and statuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from gateway.contract.descriptors import load
from gateway.contract.errors import ContractError
from gateway.contract.route_table import NoRoute, RouteMatch
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.status import INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, StatusError
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import compile_text, echo_contract

TRANSCODER = Transcoder(echo_contract(), JsonOptions())


@pytest.mark.parametrize(
    ("http_method", "path", "method", "captures"),
    [
        ("POST", "/v1/echo", "Unary", ()),
        ("GET", "/v1/echo/a%2Fb", "Unary", ("a/b",)),
        ("GET", "/v1/files/a/b", "Unary", ("a/b",)),
        ("REPORT", "/v1/reports", "Unary", ()),
        ("GET", "/v1/stream/x", "ServerStream", ("x",)),
        (None, "/v1/bidi", "Bidi", ()),
        (None, "/v1/upload", "ClientStream", ()),
        (None, "/v1/stream/x", "ServerStream", ("x",)),
    ],
)
def test_finds(http_method: str | None, path: str, method: str, captures: tuple[str, ...]) -> None:
    """A request, or a handshake (None), reaches the method that its path is bound to."""
    found = TRANSCODER.match(http_method, path) if http_method else TRANSCODER.match_handshake(path)

    assert isinstance(found, RouteMatch)
    assert found.target.method.descriptor.name == method
    assert found.captures == captures


@pytest.mark.parametrize(
    ("http_method", "path", "code", "http_status", "headers"),
    [
        ("GET", "/v2", NOT_FOUND, 404, ()),
        ("GET", "/v1/echo/", NOT_FOUND, 404, ()),
        ("GET", "/echo.v1.Echo/Unbound", NOT_FOUND, 404, ()),
        ("PATCH", "/v1/echo", UNIMPLEMENTED, 405, ((b"allow", b"GET, HEAD, OPTIONS, POST"),)),
        ("POST", "/v1/stream/x", UNIMPLEMENTED, 405, ((b"allow", b"GET, HEAD, OPTIONS"),)),
        ("WEBSOCKET", "/v1/bidi", UNIMPLEMENTED, 405, ((b"allow", b"OPTIONS, POST"),)),
    ],
)
def test_misses(
    http_method: str, path: str, code: int, http_status: int, headers: tuple[Any, ...]
) -> None:
    """A miss is 404, or 405 with the methods that the path takes."""
    found = TRANSCODER.match(http_method, path)

    assert isinstance(found, NoRoute)
    error = TRANSCODER.no_route(found, http_method, path)
    assert (error.code, error.http_status, error.headers) == (code, http_status, headers)


_NO_METHOD = "no method of the contract is bound to this path"
_NO_STREAM = "no streaming method is bound to this path"


@pytest.mark.parametrize(
    ("http_method", "path", "says"),
    [
        ("GET", "/nowhere", _NO_METHOD),
        ("GET", "/v1/eco/1", f"{_NO_METHOD}; did you mean /v1/echo/{{string_field}}?"),
        ("GET", "/v1/echo/", f"{_NO_METHOD}, which has a trailing slash; did you mean /v1/echo?"),
        ("PATCH", "/v1/echo", "this path takes the HTTP methods GET, HEAD, OPTIONS and POST, not PATCH"),
        ("GET", "/v1/upload", "this path takes the HTTP methods OPTIONS and POST, not GET"),
        (None, "/nowhere", _NO_STREAM),
        (None, "/v1/bidy", f"{_NO_STREAM}; did you mean /v1/bidi?"),
        (None, "/v1/echo", f"{_NO_STREAM}: echo.v1.Echo.Unary is unary"),
        (None, "/v1/raw:upload", f"{_NO_STREAM}: echo.v1.Echo.RawUpload carries raw data"),
    ],
)  # fmt: skip
def test_a_miss_says_what_was_perhaps_meant(http_method: str | None, path: str, says: str) -> None:
    """For requests, and for handshakes (None)."""
    if http_method is None:
        error = TRANSCODER.no_handshake(path)
    else:
        found = TRANSCODER.match(http_method, path)
        assert isinstance(found, NoRoute)
        error = TRANSCODER.no_route(found, http_method, path)

    assert error.status.message == says


def test_a_handshake_needs_a_stream() -> None:
    """A path of unary methods alone takes no handshake, though a rule of kind `*` takes every method."""
    text = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
message M { string name = 1; }
service S {
  rpc Any(M) returns (M) { option (google.api.http) = {custom: {kind: "*" path: "/x"}}; }
}
"""
    transcoder = Transcoder(load(compile_text(text)), JsonOptions())

    assert isinstance(transcoder.match("GET", "/x"), RouteMatch)
    assert transcoder.match_handshake("/x") == NoRoute(frozenset())


def test_a_capture_that_is_no_utf_8_is_the_callers_fault() -> None:
    """A path that no string can hold is INVALID_ARGUMENT."""
    with pytest.raises(StatusError, match=r"the path is not UTF-8") as caught:
        TRANSCODER.match("GET", "/v1/echo/%FF")

    assert caught.value.code == INVALID_ARGUMENT


def test_a_contract_without_rules_is_refused() -> None:
    """A gateway that would serve nothing does not start."""
    contract = load(
        compile_text('syntax = "proto3"; message M {} service S { rpc A(M) returns (M); }')
    )

    with pytest.raises(ContractError, match=r"HTTP rule|google\.api\.http rule"):
        Transcoder(contract, JsonOptions())


def test_a_handshake_prefers_the_client_that_streams() -> None:
    """Of two streaming methods on one path, a handshake reaches the one whose client streams."""
    text = """syntax = "proto3";
import "google/api/annotations.proto";
message M {}
service S {
  rpc Watch(M) returns (stream M) { option (google.api.http) = {get: "/x"}; }
  rpc Live(stream M) returns (stream M) { option (google.api.http) = {post: "/x" body: "*"}; }
}
"""
    found = Transcoder(load(compile_text(text)), JsonOptions()).match_handshake("/x")

    assert isinstance(found, RouteMatch)
    assert found.target.method.descriptor.name == "Live"


def status(*details: Any) -> Status:
    """Makes a status with these details."""
    made = Status(code=5, message="gone")
    for detail in details:
        made.details.add().Pack(detail)
    return made


def test_writes_a_status() -> None:
    """A status is written as the JSON of google.rpc.Status, with the details that the contract knows."""
    detail = error_details_pb2.RetryInfo()
    detail.retry_delay.seconds = 2

    assert json.loads(TRANSCODER.errors.status(status(detail))) == {
        "code": 5,
        "message": "gone",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}],
    }


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        (
            any_pb2.Any(type_url="type.googleapis.com/unknown.Type", value=b"\x01"),
            {"@type": "type.googleapis.com/unknown.Type", "value": "AQ=="},
        ),
        (
            any_pb2.Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff"),
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "value": "/w=="},
        ),
    ],
)
def test_a_detail_that_cannot_be_read_is_its_bytes(
    detail: any_pb2.Any, expected: dict[str, str]
) -> None:
    """A detail of an unknown type, or one that does not parse, stands as its bytes."""
    made = Status(code=5, message="gone", details=[detail])

    assert json.loads(TRANSCODER.errors.status(made))["details"] == [expected]


def test_a_detail_without_json_keeps_nothing_back() -> None:
    """A detail that has no JSON, as a duration out of range, is left out; the rest is written."""
    wrong, right = error_details_pb2.RetryInfo(), error_details_pb2.ErrorInfo(reason="WHY")
    wrong.retry_delay.seconds = 10**15

    written = json.loads(TRANSCODER.errors.status(status(wrong, right)))

    assert [detail["@type"].rpartition(".")[2] for detail in written["details"]] == ["ErrorInfo"]
    assert written["message"] == "gone"
