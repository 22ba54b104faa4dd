"""Metadata and headers: what gRPC allows goes both ways; the rest is said, or left out."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_wire.call.metadata import Metadata, from_headers, to_headers
from grpc_wire.headers.section import Headers

KEYS = st.text("0123456789abcxyz_.-", min_size=1, max_size=20).filter(
    lambda key: not key.startswith("grpc-") and key not in {"te", "host", "upgrade", "connection"}
)
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(
    lambda text: text.strip(" ")
)
PAIRS = st.one_of(
    st.tuples(KEYS.filter(lambda key: not key.endswith("-bin")), TEXT),
    st.tuples(KEYS.map(lambda key: key + "-bin"), st.binary(max_size=30)),
)


@given(st.lists(PAIRS, max_size=6).map(tuple))
def test_metadata_go_there_and_back(metadata: Metadata) -> None:
    """Keys, values, their order, and several values of one key."""
    headers = to_headers(metadata)

    assert from_headers(headers) == metadata
    assert all(isinstance(part, bytes) for pair in headers for part in pair)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.booleans())
def test_binary_values(values: list[bytes], padded: bool) -> None:
    """With padding or without; several in one header, joined by commas, are several."""
    encoded = [b64encode(value) if padded else b64encode(value).rstrip(b"=") for value in values]

    assert from_headers(((b"x-bin", b",".join(encoded)),)) == tuple(("x-bin", v) for v in values)
    assert to_headers([("x-bin", values[0])]) == ((b"x-bin", b64encode(values[0]).rstrip(b"=")),)


def test_binary_values_that_a_proxy_has_joined() -> None:
    """By a comma and a space, as RFC 9110 (5.3) has it."""
    assert from_headers(((b"x-bin", b"AAE, Ag==,\tAw"),)) == (
        ("x-bin", b"\0\x01"),
        ("x-bin", b"\x02"),
        ("x-bin", b"\x03"),
    )


@pytest.mark.parametrize("value", [b"AAAAA", b"*", b"AA=A", b"A A", b"\xff", b"AA-_", b"AA==="])
def test_what_is_no_base64_is_left_out_and_hurts_nobody(value: bytes) -> None:
    """No other header goes with it, and nothing is raised."""
    headers: Headers = ((b"x-bin", value), (b"y", b"1"))

    assert ("y", "1") in from_headers(headers)
    assert all(isinstance(v, bytes) == k.endswith("-bin") for k, v in from_headers(headers))


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=12), st.binary(max_size=12))))
def test_any_headers_are_read(pairs: list[tuple[bytes, bytes]]) -> None:
    """Whatever a peer sends."""
    for key, value in from_headers(tuple((name.lower(), value) for name, value in pairs)):
        assert isinstance(value, bytes) == key.endswith("-bin")


def test_what_is_not_metadata() -> None:
    """Pseudo-headers, HTTP's own and gRPC's own are not; user-agent and gRPC's traces are."""
    headers: Headers = (
        (b":path", b"/a/b"),
        (b":authority", b"here"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"grpc-timeout", b"1S"),
        (b"grpc-encoding", b"gzip"),
        (b"grpc-accept-encoding", b"gzip"),
        (b"grpc-status", b"0"),
        (b"grpc-message", b""),
        (b"user-agent", b"me"),
        (b"x", b"1"),
        (b"grpc-trace-bin", b"AAE"),
        (b"grpc-tags-bin", b"AAE"),
    )
    assert from_headers(headers) == (
        ("user-agent", "me"),
        ("x", "1"),
        ("grpc-trace-bin", b"\0\x01"),
        ("grpc-tags-bin", b"\0\x01"),
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", "1"),
        ("X", "1"),
        ("x y", "1"),
        ("x:y", "1"),
        (":path", "1"),
        ("é", "1"),
        ("x\n", "1"),
        ("grpc-status", "1"),
        ("grpc-anything", "1"),
        ("x", "a\nb"),
        ("x", "a\0"),
        ("x", "\x1f"),
        ("x", "\x7f"),
        ("x", "é"),
        ("x", "a\tb"),
        ("x", b"\x1f"),
        ("x", b"\xff"),
        ("x-bin", "text"),
        ("x", 1),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("host", "elsewhere"),
    ],
)
def test_what_grpc_does_not_allow(key: Any, value: Any) -> None:
    """Is the caller's fault, and names the key, also where the pairs can be read once only."""
    with pytest.raises(ValueError, match=f"metadata {re.escape(repr(key))}"):
        to_headers([("good", "1"), (key, value)])
    with pytest.raises(ValueError, match=f"metadata {re.escape(repr(key))}"):
        to_headers(iter([("good", "1"), (key, value), ("better", "2")]))


def test_what_retries_tell_is_metadata() -> None:
    """How many attempts were before, and when the server wants another one: reserved, but metadata (A6)."""
    told = (("grpc-previous-rpc-attempts", "2"), ("grpc-retry-pushback-ms", "100"))

    assert from_headers(to_headers(told)) == told


def test_no_metadata_can_be_headers_of_http() -> None:
    """te, content-type and their like would make the message another one: grpc leaves them out."""
    for key in ("te", "content-type", "content-length", "accept-encoding"):
        assert to_headers([("x", "1"), (key, "2")]) == ((b"x", b"1"),)


def test_values_of_bytes_are_text() -> None:
    """grpc.aio lets either be given; spaces around a value do not survive HTTP/2 (8.2.1)."""
    assert to_headers([("x", b"abc"), ("y", " a b ")]) == ((b"x", b"abc"), (b"y", b"a b"))
