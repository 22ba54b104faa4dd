"""The section `client_certificates` of the settings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from gateway.admission.certificates.names import check_pattern
from gateway.setting_lists import list_from_text


class CertificateSettings(BaseModel):
    """Client certificates as identities; the edge's TLS has to ask for them (`tls_client_ca`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    identity: Literal["", "spiffe", "dns", "subject"] = ""
    """The name of a caller: the `spiffe` ID of its certificate, its `dns` name or `subject`; empty: none."""
    allowed: Annotated[tuple[str, ...], BeforeValidator(list_from_text)] = ()
    """Accepted names, `spiffe://DOMAIN/PATH/*` for all below; others get 403. None: all that the CA signs."""

    @model_validator(mode="after")
    def _check_allowed(self) -> Self:
        if self.allowed and not self.identity:
            raise ValueError("client_certificates_allowed needs client_certificates_identity")
        if problems := [
            text for each in self.allowed if (text := check_pattern(self.identity, each))
        ]:
            raise ValueError("; ".join(problems))
        return self
