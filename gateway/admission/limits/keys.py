"""What callers are told apart by.

Source: RFC 4291, 2.5.4 (a site's interface identifiers are the last 64 bits) and 2.5.5.2 (mapped IPv4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from gateway.admission.identity import Identity
from gateway.admission.limits.settings import Key
from gateway.exchange.request_info import RequestInfo

MAX_KEY: Final = 64
"""Characters of a part of a key; a longer one is a digest, for its length is the caller's."""
_CACHED_ADDRESSES: Final = 4096
_MAPPED: Final = bytes(10) + b"\xff\xff"

MakeKey = Callable[[RequestInfo], str | None]
"""Returns the key of a request; None: the rule is not about it."""


def make_key(by: Sequence[Key], ipv4_prefix: int, ipv6_prefix: int) -> MakeKey:
    """Returns what makes the key of a request.

    Args:
        by: what callers are told apart by.
        ipv4_prefix: bits of an IPv4 address.
        ipv6_prefix: bits of an IPv6 address.
    """
    network = lru_cache(maxsize=_CACHED_ADDRESSES)(
        partial(address_key, ipv4_prefix=ipv4_prefix, ipv6_prefix=ipv6_prefix)
    )
    makers: dict[Key, MakeKey] = {
        "address": lambda request: network(request.client),
        "identity": lambda request: _identity(request) or "@" + network(request.client),
        "api_key": _api_key,
        "route": _route,
    }
    parts = [makers[each] for each in by]
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return lambda _request: ""

    def combined(request: RequestInfo) -> str | None:
        found: list[str] = []
        for part in parts:
            text = part(request)
            if text is None:
                return None
            found.append(text)
        return "\x00".join(found)

    return combined


def address_key(client: str, *, ipv4_prefix: int, ipv6_prefix: int) -> str:
    """Returns the network of an address, as characters of a byte each; the text itself if it is none."""
    text = client.partition("%")[0]
    try:
        packed = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except OSError:
        return _short(client)
    packed = packed.removeprefix(_MAPPED)
    bits = 8 * len(packed)
    cut = bits - (ipv4_prefix if bits == 32 else ipv6_prefix)
    network = int.from_bytes(packed) >> cut << cut
    return network.to_bytes(len(packed)).decode("latin-1")


def _identity(request: RequestInfo) -> str | None:
    identity = request.identity
    if identity is None:
        return None
    if isinstance(identity, Identity):
        # the same subject of another issuer is somebody else
        return _short(f"{_kind(identity)}\x00{identity.claims.get('iss', '')}\x00{identity.name}")
    return _short(f"\x00{identity}")


def _kind(identity: Identity) -> str:
    """Returns the kind of an identity; the caller of a stream is who has asked for its ticket."""
    return identity.ticket_of or identity.kind


def _api_key(request: RequestInfo) -> str | None:
    identity = request.identity
    if isinstance(identity, Identity) and _kind(identity) == "api_key":
        return _short(identity.name)
    return None


def _route(request: RequestInfo) -> str:
    return "" if request.method is None else request.method.full_name


def _short(text: str) -> str:
    if len(text) <= MAX_KEY:
        return text
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
