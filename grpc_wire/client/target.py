"""Targets of a channel, in the forms of gRPC's naming.md."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Scheme: TypeAlias = Literal["dns", "ipv4", "ipv6", "unix"]

_DEFAULT_PORT = 443


class Address(NamedTuple):
    """One address. Of a Unix socket, `host` is the path (of an abstract one, its name behind NUL)."""

    scheme: Scheme
    host: str
    port: int = 0

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.host}".replace("\0", "@")
        return f"{self.scheme}:{join(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target.

    Attributes:
        addresses: where to connect; of `dns`, the one name to resolve.
        authority: default of `:authority`.
    """

    addresses: tuple[Address, ...]
    authority: str

    @property
    def name(self) -> Address | None:
        """Name to resolve; None if the addresses are literal."""
        first = self.addresses[0]
        return first if first.scheme == "dns" else None


def parse(text: str) -> Target:
    """Parses `host:port`, `dns:///host:port`, `ipv4:a:p,b:p`, `ipv6:[a]:p,…` or `unix:path`.

    Raises:
        ValueError: it is none of these.
    """
    scheme, colon, rest = text.partition(":")
    match scheme if colon else "":
        case "unix":
            return Target((Address("unix", _path(rest)),), "localhost")
        case "unix-abstract":
            return Target((Address("unix", "\0" + rest),), "localhost")
        case "ipv4" | "ipv6":
            addresses = tuple(_literal(one) for one in rest.removeprefix("///").split(","))
            if any(address.scheme != scheme for address in addresses):
                raise ValueError(f"{text!r} has an address that is not of {scheme}")
            return Target(addresses, join(addresses[0].host, addresses[0].port))
        case "dns":
            if rest.startswith("//") and not rest.startswith("///"):
                raise ValueError(f"{text!r} names a DNS server; the system's is asked")
            return _named(rest.removeprefix("///"))
    return _named(text)


def join(host: str, port: int) -> str:
    """Returns `host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _named(text: str) -> Target:
    host, port = _split(text)
    return Target((_address(host, port),), text)


def _literal(text: str) -> Address:
    address = _address(*_split(text))
    if address.scheme == "dns":
        raise ValueError(f"{text!r} is not an IP address")
    return address


def _address(host: str, port: int) -> Address:
    try:
        version = ipaddress.ip_address(host.partition("%")[0]).version
    except ValueError:
        return Address("dns", host, port)
    return Address("ipv4" if version == 4 else "ipv6", host, port)


def _split(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if bracket else "?"
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    if not host or not (port or "0").isdecimal() or int(port or 0) > 0xFFFF:
        raise ValueError(f"{text!r} is not host:port")
    return host, int(port or _DEFAULT_PORT)


def _path(rest: str) -> str:
    path = "/" + rest.lstrip("/") if rest.startswith("//") else rest
    if not path.strip("/"):
        raise ValueError("a Unix socket has a path")
    return path
