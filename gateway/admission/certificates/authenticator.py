"""Takes client certificates as credentials: an `Authenticator`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from gateway.admission.authentication.token_location import SAFE_METHODS
from gateway.admission.certificates.names import AllowedNames, spiffe_id
from gateway.admission.certificates.settings import CertificateSettings
from gateway.admission.identity import Identity
from gateway.admission.metadata_text import metadata_text
from gateway.exchange.client_certificate import ClientCertificate
from gateway.exchange.request_info import RequestInfo, Wire
from gateway.transcoding.origin import is_same_origin
from gateway.transcoding.status import PERMISSION_DENIED, UNAUTHENTICATED, StatusError
from gateway.transcoding.violations import quoted

KIND: Final = "certificate"
_MAX_CACHED: Final = 1024
"""Maximum entries of the cache of identities."""


class CertificateAuthenticator:
    """Says who calls by the certificate of the connection, which TLS has verified."""

    def __init__(
        self, settings: CertificateSettings, allows_origin: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Takes the settings.

        Args:
            settings: the section; `identity` is not empty.
            allows_origin: whether a page of an origin other than the edge's own may use the certificate of
                its browser.
        """
        self._allows_origin = allows_origin
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
    def files(self) -> tuple[()]:
        """See `Authenticator`."""
        return ()

    @property
    def reserved_metadata(self) -> frozenset[str]:
        """See `Authenticator`."""
        return self._reserved

    def authenticate(self, request: RequestInfo) -> Identity | None:
        """See `Authenticator`.

        Raises:
            StatusError: UNAUTHENTICATED, the certificate has ended since the connection was opened, or has
                no name of the kind that counts; PERMISSION_DENIED, its name is not allowed, or a page of a
                foreign origin uses the certificate of its browser.
        """
        certificate = request.certificate
        if certificate is None:
            return None
        if certificate.not_after <= time.time():
            raise StatusError.of(UNAUTHENTICATED, "the client certificate has expired")
        if request.origin:
            self._check_origin(request)
        identity = self._identities.get(certificate.fingerprint)
        if identity is None:
            identity = self._identify(certificate)
            if len(self._identities) >= _MAX_CACHED:
                self._identities.clear()
            self._identities[certificate.fingerprint] = identity
        request.expires_at = certificate.not_after
        if self._name_key:
            request.metadata.append((self._name_key, metadata_text(identity.name)))
        return identity

    def _check_origin(self, request: RequestInfo) -> None:
        """Refuses unsafe requests and WebSockets of pages of foreign origins.

        A browser uses its user's certificate whoever asks, as it does cookies, and sends some requests
        without a preflight.
        """
        if request.wire is Wire.HTTP and (
            request.http_method in SAFE_METHODS
            or request.header(b"sec-fetch-site") == b"same-origin"
        ):
            return
        page = request.origin
        if is_same_origin(page, request.host, secure=request.scheme == "https"):
            return
        if not self._allows_origin(page):
            raise StatusError.of(
                PERMISSION_DENIED, "a page of this origin may not use the client certificate"
            )

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
