"""What proxies' headers say, entry by entry, whoever has written them."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.forwarded import (
    MAX_HOPS,
    MAX_LINE,
    Element,
    address_of,
    elements,
    entries,
    entry_at,
    host_of,
    node_of,
    prefix_of,
    scheme_of,
)
from gateway.admission.networks import canonical_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("192.0.2.1:_port", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        *((text, None) for text in ("", "unknown", "_hidden", "localhost", "garbage", "-", "*")),
        *((text, None) for text in ("192.0.2.1:", "192.0.2.1:123456", "192.0.2.1:port", "192.0.2")),
        *((text, None) for text in ("192.0.2.256", "192.0.2.01", "0x7f.0.0.1", "2130706433")),
        *((text, None) for text in ("[192.0.2.1]", "[2001:db8::1", "2001:db8::1]", "[::1]x", "[]")),
        *(
            (text, None)
            for text in ("fe80::1%eth0", "[fe80::1%25eth0]", '"192.0.2.1"', "1.1.1.1 2")
        ),
        *((text, None) for text in ("192.0.2.0/24", "http://192.0.2.1", "\xff", "١٢٧.0.0.1")),
    ],
)
def test_an_entry_names_one_address(text: str, address: str | None) -> None:
    """In one spelling, without its port; what is written in any other way names none."""
    assert address_of(text) == address


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([b""], []),
        ([b"  "], []),
        ([b"a"], ["a"]),
        ([b"a, b ,\tc"], ["c", "b", "a"]),
        ([b"a", b"b, c"], ["c", "b", "a"]),
        ([b"a,,b,"], ["", "b", "", "a"]),
        ([b"\xff"], ["\xff"]),
    ],
)
def test_a_list_is_read_from_the_right(lines: list[bytes], found: list[str]) -> None:
    """Over all its lines; an empty entry is one, for a proxy may have written it."""
    assert entries(lines) == found


def test_a_list_of_any_length_costs_the_same() -> None:
    """No more than the last entries are read."""
    many = b",".join(b"%d" % number for number in range(100))

    assert entries([many]) == [str(number) for number in range(99, 99 - MAX_HOPS, -1)]
    assert (
        len(list(elements([b",".join(b"for=_%d" % number for number in range(100))]))) == MAX_HOPS
    )


@pytest.mark.parametrize(
    ("lines", "hops", "entry"),
    [
        ([b""], 1, None),
        ([b"https"], 1, "https"),
        ([b"https"], 3, "https"),
        ([b"https, http"], 1, "http"),
        ([b"https, http"], 2, "https"),
        ([b"evil", b"https, http"], 2, "https"),
    ],
)
def test_the_entry_of_a_proxy(lines: list[bytes], hops: int, entry: str | None) -> None:
    """Counted from the right, as the addresses are."""
    assert entry_at(lines, hops) == entry


A = Element("192.0.2.1", None, None)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([b"for=192.0.2.1"], [A]),
        (
            [b"For=192.0.2.1;PROTO=HTTPS;Host=a.example;by=x"],
            [Element("192.0.2.1", "https", "a.example")],
        ),
        ([b'for="[2001:db8::1]:80"; proto=http'], [Element("2001:db8::1", "http", None)]),
        ([b'for="192.0.2.1:80"'], [A]),
        ([b'for="192.0.2\\.1"'], [A]),
        ([b"for=unknown, for=_hidden"], [Element(None, None, None)] * 2),
        ([b"for=192.0.2.9, for=192.0.2.1"], [A, Element("192.0.2.9", None, None)]),
        ([b"for=192.0.2.9", b"for=192.0.2.1"], [A, Element("192.0.2.9", None, None)]),
        ([b"for=192.0.2.1,,"], [A]),
        ([b"proto=https"], [Element(None, "https", None)]),
        ([b'for=192.0.2.1;x="a, for=10.0.0.1"'], [A]),
        ([b'for=192.0.2.1;proto=ftp;host="a/b"'], [A]),
        ([b""], []),
    ],
)
def test_elements(lines: list[bytes], found: list[Element]) -> None:
    """RFC 7239, sections 4 to 6: case of names, quoted strings, and what a quoted comma is not."""
    assert list(elements(lines)) == found


@pytest.mark.parametrize(
    "line",
    [
        *(b"192.0.2.1", b"for", b"for=", b"for =192.0.2.1", b"=192.0.2.1", b"for=192.0.2.1 x"),
        *(
            b'for="192.0.2.1',
            b'for="a", "b"',
            b'for="a"b',
            b"for=[2001:db8::1]",
            b"for=2001:db8::1",
        ),
        *(b"for=192.0.2.1;for=192.0.2.2", b'for=", for=192.0.2.1', b"for=192.0.2.1;proto=a b"),
        *(b'for="a, for="[2001:db8::1]"', b"\xff=a", b"for=192.0.2.1;" + b"," * MAX_LINE),
    ],
)
def test_what_breaks_the_grammar(line: bytes) -> None:
    """Also a quote that a client has opened to swallow what the proxy appends."""
    with pytest.raises(ValueError):  # noqa: PT011 - its text is that of the error over HTTP
        list(elements([line]))


def test_a_clients_own_line_breaks_nothing() -> None:
    """What stands left of a proxy's line is read only if that proxy is trusted."""
    assert next(elements([b'for="', b"for=192.0.2.1"])) == A


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        *(("/", ""), ("/api", "/api"), ("/api/", "/api"), ("/a/b-c_d.e~1", "/a/b-c_d.e~1")),
        *(
            (text, None)
            for text in ("", "api", "//evil.example", "/a//b", "/..", "/a/./b", "/a%2fb")
        ),
        *((text, None) for text in ("/a b", '/"><script>', "/a?b", "/a:b", "http://x/", "/\xff")),
    ],
)
def test_prefixes(text: str, prefix: str | None) -> None:
    """Those alone that `root_path` can have."""
    assert prefix_of(text) == prefix


def test_schemes_hosts_and_nodes() -> None:
    """Each is what HTTP can have, or none."""
    assert [scheme_of(text) for text in ("HTTPS", "ws", "wss", "http", "ftp", "", "https ")] == [
        *("https", "http", "https", "http", None, None, None)
    ]
    assert [host_of(text) for text in ("a.example:80", "[::1]:1", "", "a/b", "a b", "a@b")] == [
        *("a.example:80", "[::1]:1", None, None, None, None)
    ]
    assert [node_of(text) for text in ("192.0.2.1", "2001:db8::1", "")] == [
        *("192.0.2.1", '"[2001:db8::1]"', "unknown")
    ]


_BYTES = st.text(alphabet='for=;,"\\\\ \t[]:.%_x0129af\xff', max_size=60).map(
    lambda text: text.encode("latin-1")
)


@given(st.lists(_BYTES, max_size=4), st.text(max_size=40))
def test_no_header_raises_anything_else(lines: list[bytes], text: str) -> None:
    """Whatever a client writes; and what names an address is one, in the one spelling that it has."""
    with suppress(ValueError):
        list(elements(lines))
    for entry in [*entries(lines), text]:
        address = address_of(entry)
        assert address is None or str(ip_address(address)) == address
        prefix = prefix_of(entry)
        assert prefix is None or prefix_of(f"{prefix}/") == prefix


@given(st.ip_addresses(), st.integers(0, 65535))
def test_each_address_is_found(address: IPv4Address | IPv6Address, port: int) -> None:
    """With a port and without, and as `for` has it."""
    mapped = getattr(address, "ipv4_mapped", None)
    spelled = canonical_address(str(mapped or address))
    bare = f"[{address}]" if address.version == 6 else str(address)
    assert address_of(str(address)) == address_of(f"{bare}:{port}") == address_of(bare) == spelled
    (element,) = elements([f"for={node_of(spelled or '')}".encode()])
    assert element.address == spelled
