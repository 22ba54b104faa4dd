"""Origins are compared as RFC 6454 means, not as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcoding.origin import is_same_origin, serialized_origin


@pytest.mark.parametrize(
    ("text", "serialized"),
    [
        ("https://edge.example", "https://edge.example"),
        ("HTTPS://Edge.Example", "https://edge.example"),
        ("https://edge.example:443", "https://edge.example"),
        ("https://edge.example:0443", "https://edge.example"),
        ("http://edge.example:80", "http://edge.example"),
        ("http://edge.example:443", "http://edge.example:443"),
        ("https://edge.example:8443", "https://edge.example:8443"),
        ("https://edge.example:", "https://edge.example"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://[2001:DB8:0:0::1]:8080", "http://[2001:db8::1]:8080"),
        ("wss://edge.example:443", "https://edge.example"),
        ("ws://edge.example:8080", "http://edge.example:8080"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_serialized_in_one_way(text: str, serialized: str) -> None:
    """In lower case, without a port that is the scheme's own (RFC 6454, 4 and 6.2)."""
    assert serialized_origin(text) == serialized
    assert serialized_origin(serialized) == serialized


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "*", "edge.example", "//edge.example", "https:edge.example", "https://"),
        *("https://edge.example/", "https://edge.example/path", "https://edge.example?q"),
        *("https://user@edge.example", "https://*.example", "https://a.example https://b.example"),
        *("https://edge.example:65536", "https://edge.example:x", "https://edge.example:-1"),
        *("https://[::1", "https://[::g]", "https://[]", "https://::1", "http://[", "://a"),
        *("https://bücher.example", "https://edge.example\n", " https://edge.example"),
        *("https://edge.example#", "https://edge.example\0", "https://edge.example\\a", "1://a"),
    ],
)
def test_what_is_no_origin_is_said(text: str) -> None:
    """With the text in it, as it was written."""
    with pytest.raises(ValueError, match="is not an origin: ") as caught:
        serialized_origin(text)
    assert str(caught.value).startswith(repr(text))


@given(st.text())
def test_any_text_is_an_origin_or_is_not(text: str) -> None:
    """Nothing else comes of it, and what is one has one form."""
    try:
        serialized = serialized_origin(text)
    except ValueError:
        return
    assert serialized_origin(serialized) == serialized


@pytest.mark.parametrize(
    ("origin", "host", "plain", "secure"),
    [
        ("https://edge.example", "edge.example", True, True),
        ("https://edge.example", "edge.example:443", True, True),
        ("https://edge.example", "Edge.Example", True, True),
        ("https://edge.example", "edge.example:", True, True),
        ("https://edge.example", "edge.example:80", False, False),
        ("https://edge.example", "edge.example:8443", False, False),
        ("https://edge.example:8443", "edge.example:8443", True, True),
        ("https://edge.example:8443", "edge.example", False, False),
        ("http://edge.example", "edge.example", True, False),
        ("http://edge.example", "edge.example:80", True, False),
        ("http://edge.example", "edge.example:443", False, False),
        ("http://edge.example:443", "edge.example:443", True, False),
        ("http://[::1]:8080", "[0:0:0:0:0:0:0:1]:8080", True, False),
        ("https://[::1]", "[::1]:443", True, True),
        ("https://edge.example", "evil.example", False, False),
        ("https://edge.example", "edge.example.", False, False),
        ("https://edge.example", "", False, False),
        ("https://edge.example", "edge.example/", False, False),
        ("https://edge.example", "x@edge.example", False, False),
        ("ftp://edge.example", "edge.example", False, False),
        ("chrome-extension://edge.example", "edge.example", False, False),
    ],
)
def test_an_origin_is_the_edges_own(origin: str, host: str, plain: bool, secure: bool) -> None:
    """If scheme, host and port are those of the URL; without TLS the scheme may be that of a proxy."""
    assert is_same_origin(origin, host, secure=False) is plain
    assert is_same_origin(origin, host, secure=True) is secure
