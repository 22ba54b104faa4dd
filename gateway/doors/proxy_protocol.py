"""The header of the PROXY protocol, versions 1 and 2, sans-IO: bytes in, addresses out.

A proxy sends it once, before the first byte of a connection: of TLS, or of HTTP.
Source: HAProxy, "The PROXY protocol, versions 1 & 2" (doc/proxy-protocol.txt), sections 2.1 to 2.3.

Type-length-value fields are skipped, the checksum (CRC32c) among them.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

MAX_BYTES: Final = 4096
"""Maximum bytes of a header of version 2, with its fields."""
_MAX_LINE: Final = 107
"""Maximum bytes of a header of version 1, with its end."""
_LINE_START: Final = b"PROXY "
_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [\x20-\x7e]*)?|(TCP[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+)"
    rb" (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)
_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = 16
"""Bytes of a header of version 2 before its addresses."""
_LOCAL, _PROXY = 0x20, 0x21
_FAMILIES: Final = {0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
"""Family and transport -> bytes of its addresses."""
_TCP4, _TCP6 = 0x11, 0x21
_MAX_PORT: Final = 65535


class ProxyHeaderError(Exception):
    """The bytes are no header of the PROXY protocol."""


class ProxiedEnds(NamedTuple):
    """The ends of the connection that a proxy has accepted."""

    client: tuple[str, int]
    server: tuple[str, int]


class ProxyHeader(NamedTuple):
    """One header."""

    size: int
    """Bytes, up to the first one of the connection itself."""
    ends: ProxiedEnds | None
    """None: the connection is the proxy's own (LOCAL), or it does not tell addresses of TCP over IP."""


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Returns the header at the start of some bytes; None if all of them are part of one that is longer.

    Raises:
        ProxyHeaderError: they do not start with a header, or it is too long.
    """
    if data.startswith(_SIGNATURE[: len(data)]):
        return _second_version(data) if len(data) >= _FIXED else None
    if data.startswith(_LINE_START[: len(data)]):
        return _first_version(data)
    raise ProxyHeaderError("the connection does not start with a PROXY header")


def _first_version(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, _MAX_LINE) + 1
    if not end:
        if len(data) >= _MAX_LINE:
            raise ProxyHeaderError(f"the line is longer than {_MAX_LINE} bytes")
        return None
    line = _LINE.fullmatch(data, 0, end)
    if line is None:
        raise ProxyHeaderError("the line is none of version 1")
    family, *texts = line.groups()
    if family is None:
        return ProxyHeader(end, None)
    client, server, from_port, to_port = (text.decode("ascii") for text in texts)
    version = int(family[3:])
    ends = ProxiedEnds(
        (_read_address(client, version), _read_port(from_port)),
        (_read_address(server, version), _read_port(to_port)),
    )
    return ProxyHeader(end, ends)


def _read_address(text: str, version: int) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise ProxyHeaderError(f"{text!r} is no address") from None
    if address.version != version:
        raise ProxyHeaderError(f"{text!r} is no address of TCP{version}")
    return _shown(address)


def _read_port(text: str) -> int:
    port = int(text)
    if port > _MAX_PORT:
        raise ProxyHeaderError(f"{port} is no port")
    return port


def _second_version(data: bytes) -> ProxyHeader | None:
    command, family = data[12], data[13]
    size = _FIXED + int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"version and command are {command:#04x}")
    if size > MAX_BYTES:
        raise ProxyHeaderError(f"the header is longer than {MAX_BYTES} bytes")
    if command == _PROXY and _FIXED + _FAMILIES.get(family, MAX_BYTES) > size:
        raise ProxyHeaderError(f"addresses of family {family:#04x} do not fit, or are unknown")
    if len(data) < size:
        return None
    if command == _LOCAL or family not in (_TCP4, _TCP6):
        return ProxyHeader(size, None)
    kind, length = (IPv4Address, 4) if family == _TCP4 else (IPv6Address, 16)
    addresses = data[_FIXED : _FIXED + 2 * length + 4]
    client, server, ports = addresses[:length], addresses[length:-4], addresses[-4:]
    ends = ProxiedEnds(
        (_shown(kind(client)), int.from_bytes(ports[:2], "big")),
        (_shown(kind(server)), int.from_bytes(ports[2:], "big")),
    )
    return ProxyHeader(size, ends)


def _shown(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
