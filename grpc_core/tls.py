"""TLS and mutual TLS, with the files of the settings.

Rule: every file is checked before the server listens, and an error is one line that names the file. grpc
would only log it, at the first connection. Files are read again when they change.
"""

from pathlib import Path
from typing import Any

from grpc_core.settings import Settings
from grpc_core.transport import TRANSPORTS, Pair
from grpc_wire.credentials import (
    CertificateError,
    read_certificates,
    read_pair,
    ssl_server_credentials,
)
from grpc_wire.renewal import Renewed

TlsError = CertificateError
"""A certificate, a key or the clients' CA is invalid."""


def renewed_pair(settings: Settings) -> Renewed[Pair] | None:
    """Returns the files of the settings, read again when they change; None: no TLS.

    Raises:
        TlsError: A file is invalid, or a setting that it requires is missing.
    """
    certificate, key, ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if settings.allowed_callers and not ca:
        raise TlsError(
            "allowed_callers needs tls_client_ca: callers are known by their certificates"
        )
    if not (certificate or key or ca):
        return None
    if not (certificate and key):
        raise TlsError("tls_certificate and tls_key go together, and tls_client_ca needs both")
    files = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": ca}
    return Renewed(files, lambda: _read(certificate, key, ca))


def credentials(settings: Settings, renewed: Renewed[Pair] | None) -> Any:
    """Returns the server credentials of the transport, which follow the files; None: no TLS."""
    return None if renewed is None else TRANSPORTS[settings.transport].credentials(renewed)


def _read(certificate: Path, key: Path, ca: Path | None) -> Pair:
    try:
        chain, secret = read_pair(certificate, key)
        clients = read_certificates(ca) if ca else None
    except OSError as error:
        raise TlsError(f"cannot read {error.filename}: {error.strerror}") from error
    context = ssl_server_credentials([(secret, chain)], clients, require_client_auth=ca is not None)
    return Pair(context, secret, chain, clients)
