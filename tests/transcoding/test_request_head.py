"""What the headers of a request say."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2

from gateway.transcoding.metadata import DEFAULT_REQUEST_HEADERS, MetadataFilter
from gateway.transcoding.request_head import RequestHead, read_head
from gateway.transcoding.status import StatusError

ALLOWED = MetadataFilter(DEFAULT_REQUEST_HEADERS, ())


def read(headers: list[tuple[bytes, bytes]]) -> RequestHead:
    """Returns what some headers say."""
    head = RequestHead()
    read_head(headers, ALLOWED, head)
    return head


def test_reads_headers_in_one_pass() -> None:
    """The edge's own headers and the metadata for upstream are told apart, and repeats are kept."""
    head = read(
        [
            (b"accept", b"text/event-stream"),
            (b"accept", b"*/*;q=0.1"),
            (b"content-length", b"12"),
            (b"origin", b"https://a.example"),
            (b"host", b"b.example"),
            (b"authorization", b"Bearer x"),
            (b"cookie", b"secret"),
            (b"grpc-metadata-a", b"1"),
            (b"grpc-metadata-a", b"2"),
            (b"grpc-metadata-b-bin", b"AQ"),
        ]
    )

    assert head.accept == "text/event-stream, */*;q=0.1"
    assert (head.content_length, head.origin, head.host) == (12, "https://a.example", "b.example")
    assert head.metadata == [
        ("authorization", "Bearer x"),
        ("a", "1"),
        ("a", "2"),
        ("b-bin", b"\x01"),
    ]


@pytest.mark.parametrize(
    ("headers", "timeout"),
    [
        ([], None),
        ([(b"grpc-timeout", b"2S")], 2),
        ([(b"x-server-timeout", b"1.5")], 1.5),
        ([(b"grpc-timeout", b"2S"), (b"x-server-timeout", b"3")], 2),
        ([(b"x-server-timeout", b"3"), (b"grpc-timeout", b"2S")], 2),
        ([(b"grpc-timeout", b"9S"), (b"x-server-timeout", b"3")], 3),
    ],
)
def test_the_shorter_timeout_counts(
    headers: list[tuple[bytes, bytes]], timeout: float | None
) -> None:
    """Of two timeouts the shorter counts, in whatever order they come."""
    assert read(headers).timeout == timeout


def test_a_request_has_one_host() -> None:
    """RFC 9112, 3.2: which of two is meant nobody knows, and the origin of a page is compared with it."""
    with pytest.raises(StatusError, match="host: given more than once"):
        read([(b"host", b"a.example"), (b"host", b"b.example")])


def test_tells_all_that_makes_no_sense() -> None:
    """Every header that makes no sense is named at once."""
    headers = [
        (b"content-length", b"x"),
        (b"grpc-timeout", b"soon"),
        (b"authorization", b"\xff"),
        (b"grpc-metadata-a-bin", b"!"),
        (b"grpc-metadata-grpc-x", b"1"),
        (b"x-server-timeout", b"1"),
    ]

    with pytest.raises(StatusError) as caught:
        read(headers)

    detail = error_details_pb2.BadRequest()
    assert caught.value.status.details[0].Unpack(detail)
    assert [violation.field for violation in detail.field_violations] == [
        "content-length",
        "grpc-timeout",
        "authorization",
        "grpc-metadata-a-bin",
        "grpc-metadata-grpc-x",
    ]


def test_what_makes_sense_is_read_though_other_headers_do_not() -> None:
    """A bad header does not keep back how the caller wants its errors, and what its request is called."""
    head = RequestHead()
    headers = [(b"grpc-timeout", b"soon"), (b"accept", b"*/*"), (b"x-request-id", b"mine")]
    with pytest.raises(StatusError):
        read_head(headers, ALLOWED, head)

    assert (head.accept, head.request_id) == ("*/*", "mine")


def test_a_header_that_would_be_kept_is_not_long() -> None:
    """What a caller's Accept means is kept for the next request, so it must not fill the memory."""
    with pytest.raises(StatusError, match="longer than 1024"):
        read([(b"accept", b"a" * 1025)])
