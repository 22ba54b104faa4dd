"""TLS towards callers and towards the upstream, from the files that the settings name.

Rule: every file is looked at before anything is opened, and what is wrong with it is one line that names
it. Files are read at the start, and not again.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from gateway.setting_files import reading
from gateway.settings import Settings
from gateway.upstream.transport import TRANSPORTS
from grpc_wire.credentials import CertificateError, read_certificates, read_pair

TlsError = CertificateError
"""A certificate, a key or their CA cannot be used."""


def check_serving(settings: Settings) -> None:
    """Looks at the edge's own certificate and key, and the CAs of client certificates, where it has any.

    Raises:
        TlsError: they cannot be used, or a setting that they need is missing.
        FileReadError: a file cannot be read.
    """
    pair = _pair("tls", settings.tls_certificate, settings.tls_key)
    if settings.tls_client_ca is not None:
        if pair is None:
            raise TlsError("tls_client_ca needs tls_certificate and tls_key")
        with reading():
            read_certificates(settings.tls_client_ca)


def client_verification(settings: Settings) -> dict[str, Any]:
    """Returns the arguments of uvicorn that have clients asked for certificates; none if they are not."""
    ca = settings.tls_client_ca
    if ca is None:
        return {}
    required = settings.tls_client_certificates == "required"
    requirement = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return {"ssl_ca_certs": str(ca), "ssl_cert_reqs": requirement}


def upstream_credentials(settings: Settings) -> Any:
    """Returns what a channel of the transport needs for TLS; None where it is to have none.

    Raises:
        TlsError: a certificate, a key or the CA cannot be used.
        FileReadError: a file cannot be read.
    """
    ca, certificate = settings.upstream_ca, settings.upstream_certificate
    pair = _pair("upstream", certificate, settings.upstream_key)
    if not (settings.upstream_tls or ca or pair or settings.upstream_name):
        return None
    chain, key = pair or (None, None)
    with reading():
        cas = read_certificates(ca) if ca else None
    return TRANSPORTS[settings.transport].credentials(cas, key, chain)


def _pair(prefix: str, certificate: Path | None, key: Path | None) -> tuple[bytes, bytes] | None:
    """Reads a certificate and its key, which go together."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise TlsError(f"{prefix}_certificate and {prefix}_key go together; only one is given")
    with reading():
        return read_pair(certificate, key)
