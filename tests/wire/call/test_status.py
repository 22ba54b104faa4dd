"""Statuses in trailers, and what stands for them where there are none."""

from __future__ import annotations

import re

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_wire.call.status import (
    Status,
    from_reset,
    from_response,
    from_trailers,
    is_grpc,
    to_trailers,
)
from grpc_wire.headers.section import Headers
from grpc_wire.http2.errors import ErrorCode

CODES = {code.value[0]: code.name for code in grpc.StatusCode}
GRPC: tuple[bytes, bytes] = (b"content-type", b"application/grpc")


@given(st.integers(0, 16), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_status_goes_there_and_back(code: int, message: str) -> None:
    """Any text; on the wire it is printable ASCII that HTTP/2 lets through (RFC 9113, 8.2.1)."""
    trailers = to_trailers(Status(code, message, (("x-bin", b"\0"),)))

    assert from_trailers(trailers) == Status(code, message, (("x-bin", b"\0"),))
    for name, value in trailers:
        assert re.fullmatch(rb"[a-z-]+", name)
        assert re.fullmatch(rb"([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?", value)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"", ""),
        (b"plain", "plain"),
        (b"100%25", "100%"),
        (b"%E2%82%AC", "€"),
        (b"%e2%82%ac", "€"),
        (b"%0A%0d", "\n\r"),
        (b"100%", "100%"),
        (b"%2", "%2"),
        (b"%zz%41", "%zzA"),
        (b"%%41", "%A"),
        (b"a+b", "a+b"),
        (b"%FF", "\ufffd"),
        (b"\xe2\x82\xac", "€"),
    ],
)
def test_a_message_on_the_wire(wire: bytes, message: str) -> None:
    """gRPC: what is not valid is kept as it is, never an error, never nothing."""
    assert from_trailers(((b"grpc-status", b"5"), (b"grpc-message", wire))).message == message


def test_a_lone_surrogate_is_no_reason_to_fail() -> None:
    """A message may hold anything that a str can."""
    trailers = to_trailers(Status(13, "a\ud800b"))

    assert from_trailers(trailers).code == 13


@pytest.mark.parametrize(
    "text", [b"", b"x", b"-1", b"+5", b" 5", b"1.0", b"17", b"99999999999", b"0x5", b"5,5", b"\xb2"]
)
def test_a_status_that_cannot_be_read_is_unknown(text: bytes) -> None:
    """Also one that is no code of gRPC; the rest of the trailers is there all the same."""
    status = from_trailers(((b"grpc-status", text), (b"grpc-message", b"why"), (b"x", b"1")))

    assert (status.code, status.message, status.trailing) == (2, "why", (("x", "1"),))


def test_no_status_is_unknown() -> None:
    """And says what is missing."""
    assert from_trailers(()).code == 2
    assert "grpc-status" in from_trailers(()).message


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=15), st.binary(max_size=15))))
def test_any_trailers_are_read(pairs: list[tuple[bytes, bytes]]) -> None:
    """Whatever a peer sends."""
    assert from_trailers(tuple(pairs)).code in CODES


FROM_HTTP = {
    200: "UNKNOWN",
    204: "UNKNOWN",
    302: "UNKNOWN",
    400: "INTERNAL",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
    405: "UNKNOWN",
    413: "UNKNOWN",
    429: "UNAVAILABLE",
    500: "UNKNOWN",
    501: "UNKNOWN",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
    599: "UNKNOWN",
}


@pytest.mark.parametrize(("http", "name"), FROM_HTTP.items())
def test_an_answer_that_is_not_grpc(http: int, name: str) -> None:
    """http-grpc-status-mapping.md."""
    head: Headers = ((b":status", b"%d" % http), (b"content-type", b"text/html"))

    status = from_response(head)

    assert status is not None
    assert CODES[status.code] == name
    assert str(http) in status.message


@pytest.mark.parametrize("http", [401, 404, 503])
def test_a_grpc_status_beside_another_http_status_holds(http: int) -> None:
    """The mapping is for answers that have no status of gRPC."""
    head: Headers = ((b":status", b"%d" % http), GRPC, (b"grpc-status", b"5"))

    status = from_response(head)

    assert status is not None
    assert status.code == 5


@pytest.mark.parametrize(
    ("http", "kind"), [(503, b"text/html"), (503, GRPC[1]), (200, b"text/html")]
)
def test_an_answer_that_is_not_grpc_is_not_ok(http: int, kind: bytes) -> None:
    """Whatever it says of itself: there is no response in it."""
    head: Headers = ((b":status", b"%d" % http), (b"content-type", kind), (b"grpc-status", b"0"))

    status = from_response(head)

    assert status is not None
    assert CODES[status.code] == ("UNAVAILABLE" if http == 503 else "UNKNOWN")


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc+json", True),
        (b"application/grpc;charset=utf-8", True),
        (b"application/grpc-web", False),
        (b"application/grpc-web+proto", False),
        (b"application/grpcx", False),
        (b"application/json", False),
        (b"text/html", False),
        (b"", False),
    ],
)
def test_a_content_type(kind: bytes, good: bool) -> None:
    """application/grpc, with a format or parameters behind it."""
    assert is_grpc(kind) is good
    assert (from_response(((b":status", b"200"), (b"content-type", kind))) is None) is good


@given(st.binary(max_size=20), st.integers(100, 999))
def test_any_answer_is_read(kind: bytes, http: int) -> None:
    """Whatever a proxy says."""
    status = from_response(((b":status", b"%d" % http), (b"content-type", kind)))
    assert status is None or status.code in CODES


FROM_RESET = {
    ErrorCode.NO_ERROR: "INTERNAL",
    ErrorCode.PROTOCOL_ERROR: "INTERNAL",
    ErrorCode.INTERNAL_ERROR: "INTERNAL",
    ErrorCode.FLOW_CONTROL_ERROR: "INTERNAL",
    ErrorCode.SETTINGS_TIMEOUT: "INTERNAL",
    ErrorCode.FRAME_SIZE_ERROR: "INTERNAL",
    ErrorCode.REFUSED_STREAM: "UNAVAILABLE",
    ErrorCode.CANCEL: "CANCELLED",
    ErrorCode.COMPRESSION_ERROR: "INTERNAL",
    ErrorCode.CONNECT_ERROR: "INTERNAL",
    ErrorCode.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
    ErrorCode.INADEQUATE_SECURITY: "PERMISSION_DENIED",
}


@pytest.mark.parametrize(("code", "name"), FROM_RESET.items())
def test_a_reset(code: ErrorCode, name: str) -> None:
    """As gRPC over HTTP/2 says under "Errors"."""
    status = from_reset(code, "why")

    assert CODES[status.code] == name
    assert code.name in status.message
    assert "why" in status.message


@pytest.mark.parametrize(
    "code", [ErrorCode.STREAM_CLOSED, ErrorCode.HTTP_1_1_REQUIRED, 0xE, 2**32 - 1]
)
def test_a_reset_of_which_grpc_says_nothing(code: int) -> None:
    """Is a status that is an error, whichever."""
    assert CODES[from_reset(code).code] in {"INTERNAL", "UNKNOWN", "UNAVAILABLE"}
