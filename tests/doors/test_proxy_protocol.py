"""Headers of the PROXY protocol, byte by byte; what is right and wrong is HAProxy's specification."""

from __future__ import annotations

import socket
import struct

import pytest

from gateway.doors.proxy_protocol import (
    MAX_BYTES,
    ProxiedEnds,
    ProxyHeader,
    ProxyHeaderError,
    parse_proxy_header,
)

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = socket.inet_aton("203.0.113.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 4711, 443)
V6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + struct.pack("!HH", 4711, 443)
)
ENDS4 = ProxiedEnds(("203.0.113.7", 4711), ("192.0.2.1", 443))
ENDS6 = ProxiedEnds(("2001:db8::7", 4711), ("2001:db8::1", 443))
FIELDS = b"\x03\x00\x04\xde\xad\xbe\xef" + b"\x05\x00\x02id" + b"\x04\x00\x03\x00\x00\x00"
"""A checksum, a unique id and padding."""


def second(command: int, family: int, rest: bytes = b"") -> bytes:
    """Returns a header of version 2."""
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(rest)) + rest


RIGHT = [
    (b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", ENDS4),
    (
        b"PROXY TCP4 203.0.113.7 192.0.2.1 0 65535\r\n",
        ProxiedEnds(("203.0.113.7", 0), ("192.0.2.1", 65535)),
    ),
    (b"PROXY TCP6 2001:DB8::7 2001:db8:0:0:0:0:0:1 4711 443\r\n", ENDS6),
    (b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 4711 443\r\n", ENDS4),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (second(0x21, 0x11, V4), ENDS4),
    (second(0x21, 0x11, V4 + FIELDS), ENDS4),
    (second(0x21, 0x21, V6), ENDS6),
    (second(0x21, 0x21, V6 + bytes(MAX_BYTES - 16 - 36)), ENDS6),
    (second(0x21, 0x31, bytes(216)), None),  # a client of the proxy's Unix socket
    (second(0x21, 0x12, V4), None),  # UDP
    (second(0x21, 0x00), None),
    (second(0x21, 0x00, FIELDS), None),
    (second(0x20, 0x00), None),  # LOCAL: the proxy's own health check
    (second(0x20, 0x11, V4), None),
    (second(0x20, 0xFF, b"anything"), None),
]


@pytest.mark.parametrize(("header", "ends"), RIGHT)
def test_headers(header: bytes, ends: ProxiedEnds | None) -> None:
    """Each is read to its end, whatever comes behind it, and not before it has come whole."""
    assert parse_proxy_header(header) == ProxyHeader(len(header), ends)
    assert parse_proxy_header(header + header + b"GET / HTTP/1.1\r\n") == ProxyHeader(
        len(header), ends
    )
    for end in range(1, len(header)):
        assert parse_proxy_header(header[:end]) is None


WRONG = [
    *(
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00",
        b"proxy TCP4 ",
        b"PROXYTCP4",
        b" PROXY",
        b"\r\n\r\nG",
    ),
    *(b"PROXY\r\n", b"PROXY \r\n", b"PROXY TCP4\r\n", b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n"),
    b"PROXY TCP4 203.0.113.7 192.0.2.1 4711\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443 1\r\n",
    b"PROXY TCP4  203.0.113.7 192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443 \r\n",
    b"PROXY TCP4 203.0.113.7\t192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n",
    b"PROXY TCP4 203.0.113.256 192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 203.0.113.07 192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 localhost 192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 -1 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 04711 443\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 443\r\n",
    b"PROXY TCP6 203.0.113.7 192.0.2.1 4711 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
    b"PROXY UNKNOWN\x00\r\n",
    b"PROXY UNKNOWN \xff\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN " + b"x" * 93,
    b"PROXY UNKNOWN " + b"x" * 93 + b"\r\n",
    *(second(command, 0x11, V4) for command in (0x01, 0x11, 0x22, 0x2F, 0x31)),
    *(second(0x21, family, bytes(216)) for family in (0x01, 0x10, 0x13, 0x41, 0xFF)),
    second(0x21, 0x11, V4[:-1]),
    second(0x21, 0x21, V4),
    second(0x21, 0x31, bytes(215)),
    second(0x21, 0x11, bytes(MAX_BYTES)),
    second(0x20, 0x11, bytes(MAX_BYTES)),
    second(0x21, 0x11, bytes(MAX_BYTES))[:16],
    b"\r\n\r\n\x00\r\nQUIX\n!\x11\x00\x0c" + V4,
]


@pytest.mark.parametrize("data", WRONG)
def test_what_is_no_header(data: bytes) -> None:
    """Is refused, and nothing that only resembles one is guessed at."""
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(data)


def test_the_longest_line_is_read() -> None:
    """107 bytes with its end."""
    line = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"

    assert len(line) == 107
    assert parse_proxy_header(line) == ProxyHeader(107, None)


def test_no_bytes_raise_anything_else() -> None:
    """Cut, changed or mixed up in any way."""
    for header, _ in RIGHT:
        for position in range(min(len(header), 120)):
            for byte in (0, 10, 13, 32, 58, 255):
                changed = header[:position] + bytes((byte,)) + header[position + 1 :]
                try:
                    found = parse_proxy_header(changed)
                except ProxyHeaderError:
                    continue
                assert found is None or found.size <= len(changed)
