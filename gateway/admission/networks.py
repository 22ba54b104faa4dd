"""IP addresses and networks as settings and headers write them.

Source: RFC 4291, section 2.5.5.2, for IPv4 addresses that an IPv6 socket shows (`::ffff:192.0.2.1`); they are
IPv4 addresses here.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

UNIX: Final = "unix"
"""Stands for all Unix sockets, whose clients have no address."""
LOOPBACK: Final = "loopback"
"""Stands for 127.0.0.0/8 and ::1."""
_LOOPBACKS: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
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
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        address = address.ipv4_mapped or address
    return str(address)


class Networks:
    """A set of networks, of which each address is looked up once."""

    def __init__(self, names: Iterable[str]) -> None:
        """Takes what `checked_network` has returned."""
        given = tuple(names)
        self._unix = UNIX in given
        self._networks = networks(given)
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
        canonical = canonical_address(text.partition("%")[0])  # a socket shows a zone
        if canonical is None:
            return False
        address: IPv4Address | IPv6Address = ip_address(canonical)
        return any(address.version == each.version and address in each for each in self._networks)
