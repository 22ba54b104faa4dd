"""TLS and mutual TLS, with the files of the settings.

Rule: every file is checked before the server listens, and an error is one line that names the file. grpc
would only log it, at the first connection. Files are read once.
"""

from typing import Any

from grpc_core.settings import Settings
from grpc_core.transport import TRANSPORTS
from grpc_wire.credentials import CertificateError, read_certificates, read_pair

TlsError = CertificateError
"""A certificate, a key or the clients' CA is invalid."""


def credentials(settings: Settings) -> Any:
    """Returns the server credentials of the transport; None: no TLS.

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
    try:
        chain, secret = read_pair(certificate, key)
        clients = read_certificates(ca) if ca else None
    except OSError as error:
        raise TlsError(f"cannot read {error.filename}: {error.strerror}") from error
    return TRANSPORTS[settings.transport].credentials(
        [(secret, chain)], clients, require_client_auth=ca is not None
    )
