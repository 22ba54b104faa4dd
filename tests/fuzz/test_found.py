"""What fuzzing has found, made small: what is mended stays so, and what is not is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status

from tests.fuzz.drive import Exchanged, FuzzedEdge
from tests.fuzz.requests import HttpRequest, UpstreamAnswer, WebSocketSession


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[FuzzedEdge]:
    """The edge over the tests' own contract."""
    with FuzzedEdge(tmp_path) as edge:
        yield edge


def asked(edge: FuzzedEdge, method: str, path: bytes) -> Exchanged:
    """Makes a request without headers and body."""
    return edge.http(HttpRequest(method, path, b"", [], [b""], leaves=False))


def headers(exchanged: Exchanged) -> dict[bytes, Any]:
    """Returns the headers of an answer."""
    return dict(exchanged.sent[0]["headers"])


@pytest.mark.parametrize("origin", [b"http://[", b"null", b"https://", b"edge.example"])
@pytest.mark.parametrize("host", [b"edge.example", b""])
def test_an_origin_that_names_no_host_is_refused(
    edge: FuzzedEdge, origin: bytes, host: bytes
) -> None:
    """It is no reason to fail, and no way in for a request that names no host either."""
    given = [(b"origin", origin), (b"host", host)]
    exchanged = edge.websocket(
        WebSocketSession(b"/v1/bidi", b"", given, [], [], half_closes=True, can_refuse_in_json=True)
    )

    assert exchanged.sent[0]["status"] == 403
    assert exchanged.problems == []


def test_metadata_puts_no_controls_into_headers(edge: FuzzedEdge) -> None:
    """A header's value has neither a line's end nor NUL (RFC 9110, 5.5)."""
    odd = (("etag", "a\r\nb: c\0d"),)
    exchanged = edge.answered(UpstreamAnswer(b"/v1/echo", [b""], odd, odd, None))

    assert headers(exchanged)[b"etag"] == b"a  b: c d"
    assert headers(exchanged)[b"grpc-trailer-etag"] == b"a  b: c d"


@pytest.mark.parametrize(
    ("said", "written"), [("a/b\r\nset-cookie: c", b"a/b  set-cookie: c"), ("é/€", b"\xe9/?")]
)
def test_a_server_cannot_write_headers_by_a_content_type(
    edge: FuzzedEdge, said: str, written: bytes
) -> None:
    """What an HttpBody says of itself is one header, whatever is in it."""
    message = HttpBody(content_type=said, data=b"x").SerializeToString()
    exchanged = edge.answered(UpstreamAnswer(b"/v1/raw:download", [message], (), (), None))

    assert headers(exchanged)[b"content-type"] == written
    assert exchanged.problems == []


def test_head_of_nothing_has_no_body(edge: FuzzedEdge) -> None:
    """An answer to HEAD has none, though it is 404."""
    exchanged = asked(edge, "HEAD", b"/nowhere")

    assert exchanged.sent[0]["status"] == 404
    assert not any(event.get("body") for event in exchanged.sent)


def test_a_method_that_healthz_does_not_take_is_a_status(edge: FuzzedEdge) -> None:
    """Every error over HTTP is the JSON of `google.rpc.Status` (docs/reference/wires.md)."""
    exchanged = asked(edge, "PUT", b"/healthz")

    assert exchanged.sent[0]["status"] == 405
    assert b'"code":' in exchanged.sent[1]["body"]


def test_a_corrupt_detail_does_not_hide_the_status(edge: FuzzedEdge) -> None:
    """Whatever the bytes of a RetryInfo are, the caller gets the status that they came with."""
    detail = AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff")
    status = Status(code=14, message="later", details=[detail])
    exchanged = edge.answered(UpstreamAnswer(b"/v1/echo", [], (), (), status))

    assert exchanged.error is None
    assert exchanged.sent[0]["status"] == 503


def test_head_of_raw_data_says_no_empty_content_type(edge: FuzzedEdge) -> None:
    """What is not known is left out, or is `application/octet-stream`; empty, it is no media type."""
    assert headers(asked(edge, "HEAD", b"/v1/raw:download")).get(b"content-type") != b""
