"""HTTP headers <-> gRPC metadata."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.settings import Settings
from gateway.transcoding.metadata import (
    DEFAULT_REQUEST_HEADERS,
    DEFAULT_RESPONSE_HEADERS,
    MetadataFilter,
    metadata_value,
)

DEFAULT = MetadataFilter(DEFAULT_REQUEST_HEADERS, DEFAULT_RESPONSE_HEADERS)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"authorization", "authorization"),
        (b"traceparent", "traceparent"),
        (b"x-request-id", "x-request-id"),
        (b"cookie", None),
        (b"host", None),
        (b"content-type", None),
        (b"grpc-timeout", None),
        (b"x-anything", None),
        (b"grpc-metadata-x-anything", "x-anything"),
        (b"grpc-metadata-trace-bin", "trace-bin"),
        (b"grpc-metadata-a_b.c-1", "a_b.c-1"),
    ],
)
def test_which_headers_pass(header: bytes, key: str | None) -> None:
    """The allow-list passes, and what asks to pass by its prefix; nothing else does."""
    assert DEFAULT.metadata_key(header) == key


@pytest.mark.parametrize(
    "header",
    [
        b"grpc-metadata-",
        b"grpc-metadata-grpc-timeout",
        b"grpc-metadata-grpc-status-details-bin",
        b"grpc-metadata-a b",
        b"grpc-metadata-:path",
        b"grpc-metadata-\xe9",
        b"grpc-metadata-A",
        b"grpc-metadata-host",
        b"grpc-metadata-connection",
    ],
)
def test_no_header_passes_under_a_name_that_metadata_cannot_have(header: bytes) -> None:
    """GRPC's own names, HTTP's, and those that are none, are refused and not passed over."""
    with pytest.raises(ValueError, match=r"cannot be a metadata key"):
        DEFAULT.metadata_key(header)


@pytest.mark.parametrize("name", ["Host", "grpc-timeout", "upgrade"])
def test_the_allow_list_has_no_name_that_metadata_cannot_have(name: str) -> None:
    """It is refused at the start, for upstream would refuse each call."""
    with pytest.raises(ValidationError, match="cannot be a metadata key"):
        Settings(descriptor_set=Path("contract.binpb"), request_headers=(name,))


def test_the_allow_list_is_the_operators() -> None:
    """The names of a list match in any case."""
    own = MetadataFilter(["X-Tenant"], ["X-Cost"])

    assert own.metadata_key(b"x-tenant") == "x-tenant"
    assert own.metadata_key(b"authorization") is None
    assert own.headers((("x-cost", "5"), ("etag", "e"))) == ((b"x-cost", b"5"),)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("a", b" b c  ", "b c"),
        ("a", b"   ", ""),
        ("authorization", b"Bearer x", "Bearer x"),
        ("empty", b"", ""),
        ("trace-bin", b"AQI=", b"\x01\x02"),
        ("trace-bin", b"AQI", b"\x01\x02"),
        ("trace-bin", b"-_8", b"\xfb\xff"),
        ("trace-bin", b"", b""),
    ],
)
def test_values(key: str, value: bytes, expected: str | bytes) -> None:
    """A value is printable ASCII, or base64 where the key ends in -bin."""
    assert metadata_value(key, value) == expected


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("authorization", b"\xe9", "expected printable ASCII"),
        ("authorization", b"a\tb", "expected printable ASCII"),
        ("authorization", b"a\x00", "expected printable ASCII"),
        ("trace-bin", b"!", "expected base64 text"),
        ("trace-bin", b"AQI=x", "expected base64 text"),
    ],
)
def test_no_values(key: str, value: bytes, words: str) -> None:
    """What gRPC would not carry is refused."""
    with pytest.raises(ValueError, match=words):
        metadata_value(key, value)


METADATA = (
    ("etag", '"1"'),
    ("x-secret", "s"),
    ("grpc-status", "0"),
    ("trace-bin", b"\x01\x02"),
    ("location", "/a\r\nset-cookie: b"),
    ("cache-control", "é→"),
)


def test_which_metadata_becomes_headers() -> None:
    """Initial metadata passes by the allow-list, and no value can make a header of its own."""
    assert DEFAULT.headers(METADATA) == (
        (b"etag", b'"1"'),
        (b"location", b"/a  set-cookie: b"),
        (b"cache-control", b"\xe9?"),
    )


def test_a_prefix_lets_all_but_grpcs_own_pass() -> None:
    """Behind a prefix all metadata is told, bytes in base64, and gRPC's own is not."""
    names = [name for name, _ in DEFAULT.headers(METADATA, "grpc-metadata-")]
    values = dict(DEFAULT.headers(METADATA, "grpc-metadata-"))

    assert b"grpc-metadata-x-secret" in names
    assert b"grpc-metadata-grpc-status" not in names
    assert values[b"grpc-metadata-trace-bin"] == b"AQI="
