"""Who calls: the client's address, scheme, host and path prefix, as trusted proxies say them.

The first policy. All behind it - limits, quotas of feeds, logs, origin checks - see the client where a
proxy stands in front, and never what somebody else has written into a proxy's headers.

Rule: the headers of a peer that is not trusted are ignored, and so is what stands left of the first entry
that no trusted proxy has written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from gateway.admission.forwarded import (
    address_of,
    elements,
    entries,
    entry_at,
    host_of,
    node_of,
    prefix_of,
    scheme_of,
)
from gateway.admission.networks import Networks, canonical_address
from gateway.admission.proxy_settings import FORWARDED_KEYS, ProxySettings
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import INVALID_ARGUMENT, StatusError

Pairs: TypeAlias = tuple[tuple[bytes, bytes], ...]
Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

_NAMES: Final = frozenset({b"host", *(key.encode() for key in FORWARDED_KEYS)})
_MAX_ENTRIES: Final = 4096
"""Maximum callers that are cached; a full cache is emptied."""
_MAX_CACHED: Final = 512
"""Maximum bytes of the headers of a cached caller."""
_UNKNOWN: Final = "unknown"


class Caller(NamedTuple):
    """Who calls, and how."""

    client: str
    """IP address; empty for one behind a Unix socket."""
    scheme: str
    """`http` or `https`."""
    host: str
    """Host and port of the URL; empty if none was sent."""
    root_path: str | None
    """Path prefix that a proxy has stripped; None if none says."""
    metadata: Metadata = ()
    """What the gRPC server is told."""


class Proxies:
    """Finds out who calls; a policy."""

    def __init__(self, settings: ProxySettings, health_paths: frozenset[str] = frozenset()) -> None:
        """Takes the section.

        Args:
            settings: the section.
            health_paths: requests for these paths are never refused.
        """
        self.trusted = Networks(settings.trusted)
        self._settings = settings
        self._health_paths = health_paths
        self._forwards = settings.forwards
        self._callers: dict[tuple[str, str, Pairs], Caller] = {}

    def admit(self, request: RequestInfo) -> None:
        """Sets client, scheme, host, prefix and metadata.

        Raises:
            StatusError: INVALID_ARGUMENT, `Forwarded` of a trusted proxy breaks its grammar.
        """
        try:
            pairs = [(name, value) for name in _NAMES for value in request.header_values(name)]
            caller = self.caller(request.client, request.scheme, pairs)
        except ValueError as error:
            if request.path in self._health_paths:
                return
            raise StatusError.of(INVALID_ARGUMENT, f"Forwarded: {error}") from None
        request.client, request.scheme = caller.client, caller.scheme
        request.host, request.root_path = caller.host, caller.root_path
        if caller.metadata:
            request.metadata += caller.metadata

    def caller(self, peer: str, scheme: str, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Returns who calls.

        Args:
            peer: address of the other end of the connection; empty for a Unix socket.
            scheme: of the connection, `http` or `https`.
            headers: of the request, with lower-case names.

        Raises:
            ValueError: `Forwarded` of a trusted proxy breaks its grammar.
        """
        pairs = tuple([pair for pair in headers if pair[0] in _NAMES])
        key = (peer, scheme, pairs)
        known = self._callers.get(key)
        if known is None:
            known = self._find(peer, scheme, pairs)
            if sum(len(value) for _, value in pairs) <= _MAX_CACHED:
                if len(self._callers) >= _MAX_ENTRIES:
                    self._callers.clear()
                self._callers[key] = known
        return known

    def _find(self, peer: str, scheme: str, pairs: Pairs) -> Caller:
        values: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        host = values.get(b"host", [b""])[0].decode("latin-1")
        caller = Caller(canonical_address(peer) or peer, scheme, host, None)
        if peer in self.trusted:
            by_list = self._settings.headers == "x-forwarded"
            caller = (self._x_forwarded if by_list else self._forwarded)(caller, values)
        return caller._replace(metadata=self._metadata(caller)) if self._forwards else caller

    def _x_forwarded(self, peer: Caller, values: dict[bytes, list[bytes]]) -> Caller:
        client, hops = peer.client, 0
        for entry in entries(values.get(b"x-forwarded-for", [b""])):
            hops += 1
            address = address_of(entry)
            if address is None:  # so the proxy that wrote it is the last that is known
                break
            client = address
            if client not in self.trusted:
                break

        def said(name: bytes) -> str:
            return entry_at(values.get(name, [b""]), max(hops, 1)) or ""

        host = host_of(said(b"x-forwarded-host")) if self._settings.believe_host else None
        prefix = prefix_of(said(b"x-forwarded-prefix")) if self._settings.believe_prefix else None
        scheme = scheme_of(said(b"x-forwarded-proto"))
        return Caller(client, scheme or peer.scheme, host or peer.host, prefix)

    def _forwarded(self, peer: Caller, values: dict[bytes, list[bytes]]) -> Caller:
        client, scheme, host, _, _ = peer
        for element in elements(values.get(b"forwarded", ())):
            scheme = element.scheme or scheme
            if self._settings.believe_host:
                host = element.host or host
            if element.address is None:
                break
            client = element.address
            if client not in self.trusted:
                break
        return Caller(client, scheme, host, None)

    def _metadata(self, caller: Caller) -> Metadata:
        client, scheme, host, _, _ = caller
        host = host_of(host) or ""
        if self._settings.headers == "forwarded":
            named = f';host="{host}"' if host else ""
            return (("forwarded", f"for={node_of(client)};proto={scheme}{named}"),)
        return (
            ("x-forwarded-for", client or _UNKNOWN),
            ("x-forwarded-proto", scheme),
            ("x-forwarded-host", host),
        )
