"""The section `client_certificates` of the settings."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gateway.admission.certificates.names import check_pattern
from gateway.sections import Section


class CertificateSettings(Section):
    """Client certificates as identities; the edge's TLS has to ask for them (`tls_client_ca`)."""

    identity: Literal["", "spiffe", "dns", "subject"] = ""
    """The name of a caller: the `spiffe` ID of its certificate, its `dns` name or `subject`; empty: none."""
    allowed: tuple[str, ...] = ()
    """Accepted names, `spiffe://DOMAIN/PATH/*` for all below; others get 403. None: all that the CA signs."""
    name_metadata: str = Field(default="", pattern=r"^[0-9A-Za-z_.-]*$")
    """Metadata key under which the name goes upstream; empty: none. No client can set it."""

    @model_validator(mode="after")
    def _check_allowed(self) -> Self:
        if self.allowed and not self.identity:
            raise ValueError("client_certificates_allowed needs client_certificates_identity")
        if problems := [
            text for each in self.allowed if (text := check_pattern(self.identity, each))
        ]:
            raise ValueError("; ".join(problems))
        return self
