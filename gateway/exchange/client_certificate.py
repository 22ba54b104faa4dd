"""The certificate with which a client has opened its connection, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client's certificate, which the CA of the settings has signed; the same for a whole connection."""

    subject: str
    """Distinguished name, as RFC 4514 writes it: `CN=client,O=Example`."""
    dns_names: tuple[str, ...] = ()
    """DNS names among the alternative names, in their order."""
    uris: tuple[str, ...] = ()
    """URIs among the alternative names, in their order; a SPIFFE ID is one."""
    not_after: float = 0.0
    """Unix time at which it ends."""
    fingerprint: str = ""
    """SHA-256 of its DER form, in lower-case hexadecimal digits."""
