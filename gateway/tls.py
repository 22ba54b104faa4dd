"""TLS towards callers and towards the upstream, from the files that the settings name.

Rule: every file is looked at before anything is opened, and what is wrong with it is one line that names
it. Files are read again when they change (`grpc_wire.renewal`).
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from gateway.doors.choosing import ALPN
from gateway.setting_files import reading
from gateway.settings import Settings
from gateway.upstream.transport import TRANSPORTS, Name
from grpc_wire.credentials import CertificateError, load_pair, read_certificates, read_pair
from grpc_wire.renewal import Renewed, RenewedContext

TlsError = CertificateError
"""A certificate, a key or their CA cannot be used."""


def check_serving(settings: Settings) -> None:
    """Looks at the edge's own certificate and key, and the CAs of client certificates, where it has any.

    Raises:
        TlsError: they cannot be used, or a setting that they need is missing.
        FileReadError: a file cannot be read.
    """
    pair = _pair("tls_", settings.tls_certificate, settings.tls_key)
    if settings.tls_client_ca is not None:
        if pair is None:
            raise TlsError("tls_client_ca needs tls_certificate and tls_key")
        with reading():
            read_certificates(settings.tls_client_ca)


def serving_tls(settings: Settings) -> Renewed[ssl.SSLContext] | None:
    """Returns the context of the edge's own listeners, renewed with its files; None: no TLS.

    Raises:
        TlsError: a file cannot be used.
        FileReadError: a file cannot be read.
    """
    certificate, key, ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    files = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": ca}

    def make() -> ssl.SSLContext:
        check_serving(settings)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.http2:
            context.set_alpn_protocols(ALPN)
        with reading():
            if certificate is not None and key is not None:
                # of what was read, not of the files, which may be replaced between the two
                load_pair(context, *reversed(read_pair(certificate, key)))
            if ca is not None:
                context.load_verify_locations(cafile=ca)
        if ca is not None:
            required = settings.tls_client_certificates == "required"
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context

    check_serving(settings)
    return None if certificate is None else Renewed(files, make)


def upstream_tls(settings: Settings) -> Renewed[Any] | None:
    """Returns what a channel of the transport needs for TLS, renewed with its files; None: no TLS.

    Raises:
        TlsError: a certificate, a key or the CA cannot be used.
        FileReadError: a file cannot be read.
    """
    if not (
        settings.upstream_tls
        or settings.upstream_ca
        or settings.upstream_certificate
        or settings.upstream_key
        or settings.upstream_name
    ):
        return None
    return client_tls(
        "upstream_",
        settings.transport,
        ca=settings.upstream_ca,
        certificate=settings.upstream_certificate,
        key=settings.upstream_key,
    )


def client_tls(
    prefix: str, transport: Name, *, ca: Path | None, certificate: Path | None, key: Path | None
) -> Renewed[Any]:
    """Returns what a channel of a transport needs for TLS, renewed with its files.

    Args:
        prefix: stands before the names of the files, where they are told.
        transport: of the channel.
        ca: of the server's certificate; None: gRPC's default CAs.
        certificate: of the client; None: it shows none.
        key: of that certificate.

    Raises:
        TlsError: a certificate, a key or the CA cannot be used.
        FileReadError: a file cannot be read.
    """

    def make() -> Any:
        pair = _pair(prefix, certificate, key)
        chain, secret = pair or (None, None)
        with reading():
            cas = read_certificates(ca) if ca else None
        return TRANSPORTS[transport].credentials(cas, secret, chain)

    files = {f"{prefix}ca": ca, f"{prefix}certificate": certificate, f"{prefix}key": key}
    return Renewed(files, make)


def channel_credentials(renewed: Renewed[Any] | None) -> Any:
    """Returns credentials that follow the files, if the transport can: those of grpcio are the first ones."""
    if renewed is None or not isinstance(renewed.current, ssl.SSLContext):
        return None if renewed is None else renewed.current
    return RenewedContext(lambda: renewed.current)


def _pair(prefix: str, certificate: Path | None, key: Path | None) -> tuple[bytes, bytes] | None:
    """Reads a certificate and its key, which go together."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise TlsError(f"{prefix}certificate and {prefix}key go together; only one is given")
    with reading():
        return read_pair(certificate, key)
