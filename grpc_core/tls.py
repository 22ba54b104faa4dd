"""TLS and mutual TLS, with the files of the settings.

Rule: every file is checked before the server listens, and an error is one line that names the file. grpc
    would
only log it, at the first connection. Files are read once.
"""

import ssl
from pathlib import Path
from typing import Any

from grpc_core.settings import Settings
from grpc_core.transport import TRANSPORTS


class TlsError(Exception):
    """A certificate, a key or the clients' CA is invalid."""


def credentials(settings: Settings) -> Any:
    """Returns the server credentials of the transport; None: no TLS.

    Raises:
        TlsError: A file is invalid, or a setting that it requires is missing.
    """
    certificate, key, ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if not (certificate or key or ca):
        return None
    if not (certificate and key):
        raise TlsError("tls_certificate and tls_key go together, and tls_client_ca needs both")
    chain, secret = _pair(certificate, key)
    return TRANSPORTS[settings.transport].credentials(
        [(secret, chain)], _certificates(ca) if ca else None, require_client_auth=ca is not None
    )


def _pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    contents = _read(certificate), _read(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"{key} is not the key of {certificate}") from error
        _certificates(certificate)
        raise TlsError(f"{key}: no private key in PEM, without a password") from error
    return contents


def _certificates(path: Path) -> bytes:
    contents = _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise TlsError(f"{path}: no certificate in PEM") from error
    return contents


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"cannot read {path}: {error.strerror}") from error
