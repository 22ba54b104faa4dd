"""IP addresses and networks as settings and headers write them.

Source: RFC 4291, section 2.5.5.2, for IPv4 addresses that an IPv6 socket shows (`::ffff:192.0.2.1`); they are
IPv4 addresses here.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

UNIX: Final = "unix"
"""Stands for all Unix sockets, whose clients have no address."""
LOOPBACK: Final = "loopback"
"""Stands for 127.0.0.0/8 and ::1."""
_LOOPBACKS: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_MAPPED: Final = bytes(10) + b"\xff\xff"
_FAMILIES: Final = {4: AF_INET, 16: AF_INET6}
_MAX_CACHED: Final = 4096
"""Maximum addresses whose networks are cached; a full cache is emptied."""


def checked_network(text: str) -> str:
    """Returns the name of a network as it is compared.

    Raises:
        ValueError: it is neither an address, nor a network in CIDR notation, nor `unix`, nor `loopback`.
    """
    name = text.strip().lower()
    if name not in (UNIX, LOOPBACK):
        networks((name,))
    return name


def networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Returns the networks of some names; `unix` has none.

    Raises:
        ValueError: a name is none.
    """
    found: list[Network] = []
    for name in names:
        if name == LOOPBACK:
            found += _LOOPBACKS
        elif name != UNIX:
            found.append(_network(name))
    return tuple(found)


def _network(name: str) -> Network:
    try:
        return ip_network(name)
    except ValueError:
        pass
    try:
        near = ip_network(name, strict=False)
    except ValueError:
        raise ValueError(
            f"{name!r} is neither an IP address, nor a network such as 10.0.0.0/8, nor {UNIX} or {LOOPBACK}"
        ) from None
    raise ValueError(f"{name!r} has bits behind its prefix; write {near}")


def canonical_address(text: str) -> str | None:
    """Returns an IP address in its one spelling; None if the text is none, or has a zone."""
    packed = _packed(text)
    if packed is None:
        return None
    return text if ":" not in text else inet_ntop(_FAMILIES[len(packed)], packed)


def _packed(text: str) -> bytes | None:
    """Returns the 4 or 16 bytes of an address; None if the text is none."""
    try:
        if ":" not in text:
            return inet_pton(AF_INET, text)
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(_MAPPED) else packed


class Networks:
    """A set of networks, of which each address is looked up once."""

    def __init__(self, names: Iterable[str]) -> None:
        """Takes what `checked_network` has returned."""
        given = tuple(names)
        self._unix = UNIX in given
        self._networks = tuple(
            (each.max_prefixlen // 8, int(each.network_address), int(each.netmask))
            for each in networks(given)
        )
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._unix or bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Whether an address is in one of them; an empty one is that of a Unix socket."""
        if not address:
            return self._unix
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            known = self._known[address] = self._find(address)
        return known

    def _find(self, text: str) -> bool:
        packed = _packed(text.partition("%")[0])  # a socket shows a zone
        if packed is None:
            return False
        number, length = int.from_bytes(packed, "big"), len(packed)
        return any(
            size == length and number & mask == first for size, first, mask in self._networks
        )
