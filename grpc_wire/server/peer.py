"""The peer of a connection, in grpc's terms: address, TLS properties, identity."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import quote

AuthContext: TypeAlias = Mapping[str, Sequence[bytes]]

_COMMON_NAME: Final = "x509_common_name"
_ALTERNATIVE_NAME: Final = "x509_subject_alternative_name"
_KINDS: Final = {"DNS": "peer_dns", "URI": "peer_uri"}
"""Kind of an alternative name -> the property that has all of its kind."""
_INSECURE: Final[AuthContext] = {
    "transport_security_type": [b"insecure"],
    "security_level": [b"TSI_SECURITY_NONE"],
}


def peer_name(transport: asyncio.BaseTransport) -> str:
    """Returns a peer's address as grpc writes it: `ipv4:127.0.0.1:50051`, `ipv6:%5B::1%5D:50051`, `unix:`."""
    connected = transport.get_extra_info("socket")
    address: Any = transport.get_extra_info("peername")
    if connected is not None and connected.family == socket.AF_UNIX:
        name = address.decode(errors="replace") if isinstance(address, bytes) else address
        return f"unix:{name or ''}"
    if not address:
        return "unknown"
    if ":" in address[0]:
        return f"ipv6:{quote(f'[{address[0]}]', safe=':')}:{address[1]}"
    return f"ipv4:{address[0]}:{address[1]}"


def auth_context(transport: asyncio.BaseTransport) -> AuthContext:
    """Returns the TLS properties of a peer."""
    secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if secured is None:
        return _INSECURE
    context: dict[str, list[bytes]] = {
        "transport_security_type": [b"ssl"],
        "security_level": [b"TSI_PRIVACY_AND_INTEGRITY"],
        "ssl_session_reused": [b"true" if secured.session_reused else b"false"],
    }
    certificate = secured.getpeercert(binary_form=True)
    if certificate:
        pem = ssl.DER_cert_to_PEM_cert(certificate)
        context["x509_pem_cert"] = [pem.encode()]
        context |= _names(secured.getpeercert() or {})
    return context


def identity_key(context: AuthContext) -> str | None:
    """Returns the property that identifies a peer; None if none does."""
    return next((key for key in (_ALTERNATIVE_NAME, _COMMON_NAME) if key in context), None)


def identities(context: AuthContext) -> Iterable[bytes] | None:
    """Returns the identities in a peer's certificate; None if there are none."""
    key = identity_key(context)
    return None if key is None else context[key]


def _names(certificate: Mapping[str, Any]) -> dict[str, list[bytes]]:
    names: dict[str, list[bytes]] = {}
    for attributes in certificate.get("subject", ()):
        for key, value in attributes:
            if key == "commonName":
                names[_COMMON_NAME] = [value.encode()]
    for kind, value in certificate.get("subjectAltName", ()):
        name = value.encode()
        names.setdefault(_ALTERNATIVE_NAME, []).append(name)
        if (key := _KINDS.get(kind)) is not None:
            names.setdefault(key, []).append(name)
    uris = names.get(_KINDS["URI"], [])
    if len(uris) == 1 and uris[0].startswith(b"spiffe://"):
        names["peer_spiffe_id"] = uris
    return names
