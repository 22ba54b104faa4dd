"""Reads the certificate of a client: from its TLS connection, or from what an ASGI server tells of it.

Sources: RFC 4514 (names as text), RFC 5280, section 4.2.1.6; ASGI TLS extension 0.2.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final

from gateway.exchange.client_certificate import ClientCertificate

SCOPE_KEY: Final = "protoway.client_certificate"
"""Extension of an ASGI scope that has a `ClientCertificate`, from our own HTTP/1.1."""
_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
"""OpenSSL's name of an attribute -> RFC 4514, section 3."""
_SPECIAL: Final = re.compile(r'[,+"\\<>;\x00]|^[ #]| $')


def peer_certificate(transport: asyncio.BaseTransport) -> ClientCertificate | None:
    """Returns the verified certificate of a connection; None if it has none."""
    secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if secured is None:
        return None
    fields: Mapping[str, Any] | None = secured.getpeercert()
    data = secured.getpeercert(binary_form=True) if fields else None
    if not fields or data is None:
        return None
    alternatives: Iterable[tuple[str, str]] = fields.get("subjectAltName", ())
    return ClientCertificate(
        subject=distinguished_name(fields.get("subject", ())),
        dns_names=tuple(value for kind, value in alternatives if kind == "DNS"),
        uris=tuple(value for kind, value in alternatives if kind == "URI"),
        not_after=float(ssl.cert_time_to_seconds(fields["notAfter"])),
        fingerprint=sha256(data).hexdigest(),
    )


def distinguished_name(relative_names: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Returns a name as RFC 4514 writes it: its parts in reverse order.

    Args:
        relative_names: the parts, as `ssl` has them.
    """
    parts = [
        "+".join(f"{_SHORT.get(key, key)}={_escaped(value)}" for key, value in part)
        for part in relative_names
    ]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    return _SPECIAL.sub(lambda found: "\\00" if found[0] == "\0" else f"\\{found[0]}", value)


def scope_certificate(scope: Mapping[str, Any]) -> ClientCertificate | None:
    """Returns the certificate of an ASGI request; None if there is none, or the server tells of none.

    Of the TLS extension the names need the package `cryptography`; without it the certificate has its
    subject and its fingerprint alone, and has ended.
    """
    extensions: Mapping[str, Any] = scope.get("extensions") or {}
    own = extensions.get(SCOPE_KEY)
    if isinstance(own, ClientCertificate):
        return own
    told: Mapping[str, Any] = extensions.get("tls") or {}
    chain = tuple(told.get("client_cert_chain") or ())
    if not chain or told.get("client_cert_error"):
        return None
    return _from_pem(str(chain[0]), str(told.get("client_cert_name") or ""))


def _from_pem(pem: str, subject: str) -> ClientCertificate:
    data = ssl.PEM_cert_to_DER_cert(pem)
    fingerprint = sha256(data).hexdigest()
    try:
        from cryptography import x509  # noqa: PLC0415 - few need it
    except ImportError:
        return ClientCertificate(subject, fingerprint=fingerprint)
    certificate = x509.load_der_x509_certificate(data)
    dns_names: list[str] = []
    uris: list[str] = []
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        dns_names = alternatives.value.get_values_for_type(x509.DNSName)
        uris = alternatives.value.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        pass
    return ClientCertificate(
        subject=certificate.subject.rfc4514_string(),
        dns_names=tuple(dns_names),
        uris=tuple(uris),
        not_after=certificate.not_valid_after_utc.timestamp(),
        fingerprint=fingerprint,
    )
