"""Makes the policy that asks an external authorizer, of its settings."""

from __future__ import annotations

from typing import Any

from gateway.admission.authorizer.authorizer import Asks, Authorizer
from gateway.admission.authorizer.ext_authz import GrpcAuthorizer
from gateway.admission.authorizer.settings import AuthorizerSettings
from gateway.admission.error import AdmissionError
from gateway.setting_files import reading
from gateway.settings import Settings
from gateway.upstream.transport import TRANSPORTS, Transport
from grpc_wire.credentials import CertificateError, read_certificates


def has_authorizer(settings: AuthorizerSettings) -> bool:
    """Whether one is set."""
    return settings.grpc is not None or settings.http is not None


def make_authorizer(settings: Settings) -> Authorizer | None:
    """Returns the policy; None: no authorizer is set.

    Raises:
        AdmissionError: the address or the CA cannot be used, or an extra is not installed.
        FileReadError: the file of the CA cannot be read; it is an OSError.
    """
    given = settings.authorizer
    asks: Asks
    if given.grpc is not None:
        transport = TRANSPORTS[settings.transport]
        _check_target(transport, given.grpc)
        asks = GrpcAuthorizer(transport, given.grpc, _credentials(transport, given))
    elif given.http is not None:
        asks = _over_http(given, given.http)
    else:
        return None
    return Authorizer(given, asks, settings.health_paths())


def _check_target(transport: Transport, target: str) -> None:
    if transport.read_target is None:
        return
    try:
        transport.read_target(target)
    except ValueError as error:
        raise AdmissionError(f"authorizer_grpc: {error}") from error


def _credentials(transport: Transport, given: AuthorizerSettings) -> Any:
    """Returns what a channel needs for TLS; None: it has none."""
    cas = _cas(given)
    return transport.credentials(cas, None, None) if cas or given.tls else None


def _cas(given: AuthorizerSettings) -> bytes | None:
    """Returns the CAs; None: the default ones."""
    if given.ca is None:
        return None
    try:
        with reading():
            return read_certificates(given.ca)
    except CertificateError as error:
        raise AdmissionError(f"authorizer_ca: {error}") from error


def _over_http(given: AuthorizerSettings, url: str) -> Asks:
    try:
        from gateway.admission.authorizer.plain_http import HttpAuthorizer  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise AdmissionError(
            f"authorizer_http needs the package {error.name}; pip install 'protoway[authorizer]'"
        ) from error
    return HttpAuthorizer(url, _cas(given), frozenset(name.lower() for name in given.metadata))
