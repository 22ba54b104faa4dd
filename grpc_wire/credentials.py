"""TLS contexts for HTTP/2.

`grpc.ServerCredentials` and `grpc.ChannelCredentials` cannot be read: they are handles of grpc's core. So
their factories have doubles here, with the same arguments, that return an `ssl.SSLContext`. Any other context
will do as well.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

ALPN = "h2"


class CertificateError(Exception):
    """A file of certificates or a key is invalid; the text names the file."""


def ssl_server_credentials(
    private_key_certificate_chain_pairs: Sequence[tuple[bytes, bytes]],
    root_certificates: bytes | None = None,
    require_client_auth: bool = False,  # noqa: FBT001, FBT002 - as in grpc
) -> ssl.SSLContext:
    """Returns the TLS context of a server: the double of `grpc.ssl_server_credentials`.

    Args:
        private_key_certificate_chain_pairs: keys and chains, in PEM; the last of each key type is used.
        root_certificates: CAs of client certificates, in PEM. A client may come without a certificate unless
            `require_client_auth` is set.
        require_client_auth: whether clients need a certificate.

    Raises:
        ValueError: there is no pair, or clients need certificates and there is no CA.
        ssl.SSLError: a PEM is invalid.
    """
    if not private_key_certificate_chain_pairs:
        raise ValueError("At least one private key-certificate chain pair is required!")
    if require_client_auth and root_certificates is None:
        raise ValueError("Illegal to require client auth without providing root certificates!")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    restrict(context)
    for key, chain in private_key_certificate_chain_pairs:
        load_pair(context, key, chain)
    if root_certificates is not None:
        context.load_verify_locations(cadata=root_certificates.decode("ascii"))
        context.verify_mode = ssl.CERT_REQUIRED if require_client_auth else ssl.CERT_OPTIONAL
    return context


def ssl_channel_credentials(
    root_certificates: bytes | None = None,
    private_key: bytes | None = None,
    certificate_chain: bytes | None = None,
) -> ssl.SSLContext:
    """Returns the TLS context of a channel: the double of `grpc.ssl_channel_credentials`.

    Args:
        root_certificates: CAs of servers, in PEM; None: the system's.
        private_key: the client's key, in PEM; None: no client certificate.
        certificate_chain: the client's certificate and intermediates, in PEM.

    Raises:
        ValueError: a key without a certificate, or a certificate without a key.
        ssl.SSLError: a PEM is invalid.
    """
    if (private_key is None) != (certificate_chain is None):
        raise ValueError("A private key and a certificate chain belong together!")
    cadata = None if root_certificates is None else root_certificates.decode("ascii")
    context = ssl.create_default_context(cadata=cadata)
    restrict(context)
    if private_key is not None and certificate_chain is not None:
        load_pair(context, private_key, certificate_chain)
    return context


def restrict(context: ssl.SSLContext) -> None:
    """Restricts a context to what HTTP/2 allows (RFC 9113, 9.2), and offers `h2` by ALPN."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def load_pair(context: ssl.SSLContext, key: bytes, chain: bytes) -> None:
    """Loads a key and its chain, by way of temporary files: `ssl` reads them from files only.

    Raises:
        ssl.SSLError: they are invalid.
    """
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
        chain_file, key_file = Path(folder, "chain"), Path(folder, "key")
        chain_file.write_bytes(chain)
        key_file.write_bytes(key)
        context.load_cert_chain(chain_file, key_file, password=lambda: "")


def read_pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Reads a certificate and its key, in PEM.

    Raises:
        CertificateError: they are invalid, or do not belong together.
        OSError: a file cannot be read.
    """
    contents = certificate.read_bytes(), key.read_bytes()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"{key} is not the key of {certificate}") from error
        read_certificates(certificate)
        raise CertificateError(f"{key}: no private key in PEM, without a password") from error
    return contents


def read_certificates(path: Path) -> bytes:
    """Reads a file of certificates, in PEM.

    Raises:
        CertificateError: it has none.
        OSError: it cannot be read.
    """
    contents = path.read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise CertificateError(f"{path}: no certificate in PEM") from error
    return contents
