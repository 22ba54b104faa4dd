"""Takes client certificates as credentials: an `Authenticator`."""

from __future__ import annotations

import time
from typing import Final

from gateway.admission.certificates.names import AllowedNames, spiffe_id
from gateway.admission.certificates.settings import CertificateSettings
from gateway.admission.identity import Identity
from gateway.exchange.client_certificate import ClientCertificate
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import PERMISSION_DENIED, UNAUTHENTICATED, StatusError
from gateway.transcoding.violations import quoted

KIND: Final = "certificate"
_MAX_CACHED: Final = 1024
"""Maximum entries of the cache of identities."""


class CertificateAuthenticator:
    """Says who calls by the certificate of the connection, which TLS has verified."""

    def __init__(self, settings: CertificateSettings) -> None:
        """Takes the settings; `identity` is not empty."""
        self._kind = settings.identity
        self._allowed = AllowedNames(settings.allowed)
        self._name_key = settings.name_metadata.lower()
        self._reserved = frozenset({self._name_key} - {""})
        self._identities: dict[str, Identity] = {}
        """Fingerprint of a certificate -> who it is."""

    @property
    def challenge(self) -> str:
        """See `Authenticator`."""
        return ""

    @property
    def reserved_metadata(self) -> frozenset[str]:
        """See `Authenticator`."""
        return self._reserved

    def authenticate(self, request: RequestInfo) -> Identity | None:
        """See `Authenticator`.

        Raises:
            StatusError: UNAUTHENTICATED, the certificate has ended since the connection was opened, or has
                no name of the kind that counts; PERMISSION_DENIED, its name is not allowed.
        """
        certificate = request.certificate
        if certificate is None:
            return None
        if certificate.not_after <= time.time():
            raise StatusError.of(UNAUTHENTICATED, "the client certificate has expired")
        identity = self._identities.get(certificate.fingerprint)
        if identity is None:
            identity = self._identify(certificate)
            if len(self._identities) >= _MAX_CACHED:
                self._identities.clear()
            self._identities[certificate.fingerprint] = identity
        request.expires_at = certificate.not_after
        if self._name_key:
            request.metadata.append((self._name_key, identity.name))
        return identity

    def _identify(self, certificate: ClientCertificate) -> Identity:
        names = self._names(certificate)
        if not names:
            what = {"spiffe": "SPIFFE ID", "dns": "DNS name", "subject": "subject"}[self._kind]
            raise StatusError.of(UNAUTHENTICATED, f"the client certificate has no {what}")
        name = next(filter(self._allowed.allow, names), None)
        if name is None:
            text = f"the client certificate's name {quoted(names[0])} is not allowed"
            raise StatusError.of(PERMISSION_DENIED, text)
        return Identity(name, KIND, expires_at=certificate.not_after)

    def _names(self, certificate: ClientCertificate) -> tuple[str, ...]:
        if self._kind == "dns":
            return certificate.dns_names
        name = spiffe_id(certificate.uris) if self._kind == "spiffe" else certificate.subject
        return (name,) if name else ()
