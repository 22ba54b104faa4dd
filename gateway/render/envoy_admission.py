"""Envoy's part in admission: which settings it obeys, in which order its filters ask, and what is refused.

Rule: an edge that admits not everybody is never rendered as an Envoy that does. A section of
`gateway.admission` that nobody has named here is refused as soon as it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

from gateway.admission.authentication.jwt_settings import JwtSettings, is_url
from gateway.admission.authorizer.settings import AuthorizerSettings
from gateway.admission.limits.settings import LimitsSettings
from gateway.admission.overload.settings import OverloadSettings
from gateway.render.envoy_authorizer import (
    authorizer_clusters,
    authorizer_filters,
    authorizer_problems,
)
from gateway.render.envoy_jwt import jwks_clusters, jwt_filter, jwt_problems
from gateway.render.envoy_limits import limit_filters, limits_problems
from gateway.render.envoy_rights import EnvoyRights, rbac_filter
from gateway.render.envoy_tls import Node
from gateway.sections import Section

_ROOM: Final = "gateway.admission."
RENDERED: Final = frozenset(
    {"cors", "proxies", "jwt", "rights", "limits", "overload", "authorizer"}
)
"""Sections of admission that are rendered, or refused in part where that is done."""
_REASONS: Final = {
    "api_keys": "Envoy compares keys in the clear, and the file has their hashes",
    "tickets": "Envoy has no credentials that are good once",
    "client_certificates": "Envoy would not take identities from certificates",
}
_UNKNOWN: Final = "not rendered for Envoy, which would admit what this refuses"
_SETTINGS: Final = {
    "tls_client_ca": "Envoy would not ask for client certificates",
    "max_connections_per_address": "Envoy has no limit of connections for each address",
}
"""Other settings that limit who may come in -> why they are refused."""


@dataclass(frozen=True, slots=True)
class EnvoyAdmission:
    """What Envoy's filters are made of, besides CORS and proxies."""

    jwt: JwtSettings = field(default_factory=JwtSettings)
    rights: EnvoyRights | None = None
    """Who may call what; None: nothing says so."""
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    overload: OverloadSettings = field(default_factory=OverloadSettings)
    authorizer: AuthorizerSettings = field(default_factory=AuthorizerSettings)

    def before_transcoding(self) -> list[Node]:
        """Returns the filters that see a request as it came.

        Raises:
            ValueError: a file of keys is wrong.
        """
        filters = limit_filters(self.limits)
        if self.jwt.all_issuers and self.rights is None:
            filters.append(jwt_filter(self.jwt, optional=self.authorizer.grpc is not None))
        return [*filters, *authorizer_filters(self.authorizer)]

    def behind_transcoding(self) -> list[Node]:
        """Returns the filters that see the path of the method.

        Raises:
            ValueError: a file of keys is wrong.
        """
        if self.rights is None:
            return []
        filters = []
        if self.jwt.all_issuers:
            rights = self.rights
            filters.append(
                jwt_filter(self.jwt, anonymous=rights.anonymous, word_claims=rights.word_claims)
            )
        return [*filters, rbac_filter(self.rights)]

    def clusters(self) -> list[Node]:
        """Returns the clusters of the servers that are asked.

        Raises:
            ValueError: Envoy does not support an address.
        """
        return [*jwks_clusters(self.jwt), *authorizer_clusters(self.authorizer)]

    def notes(self) -> Iterator[str]:
        """Yields in what Envoy differs, for the head of the file."""
        if self.jwt.all_issuers:
            yield "Envoy does not end streams when their token expires, and takes tokens of any `typ`."
            yield "Keys of files are in here: new ones need a new rendering."
        for issuer in self.jwt.all_issuers:
            if is_url(issuer.jwks):
                yield f"{issuer.issuer}: Envoy takes every signature that a key of the URL can verify."
        if self.rights is not None:
            yield "Envoy tells whether a path exists before it looks at the token."
            if not self.jwt.all_issuers:
                yield "Rights are checked, but no tokens are accepted: Envoy denies all but anonymous calls."
        if self.limits.all_rules():
            yield "Envoy's 429 has neither Retry-After nor RateLimit, and no answer says what is left."
            yield "Of more addresses than limits_max_keys Envoy forgets the oldest."


def admission_problems(settings: BaseModel) -> list[str]:
    """Returns what Envoy would not obey, each with the name of the setting."""
    problems = [*_of_sections(settings)]
    for name, reason in _SETTINGS.items():
        if getattr(settings, name, None) is not None:
            problems.append(f"{name}: {reason}")
    sections = {name: getattr(settings, name) for name in RENDERED}
    problems += jwt_problems(sections["jwt"])
    problems += limits_problems(sections["limits"], sections["overload"])
    problems += authorizer_problems(sections["authorizer"])
    return problems


def _of_sections(settings: BaseModel) -> Iterator[str]:
    """Yields the sections that are used, and that nobody renders."""
    for name in type(settings).model_fields:
        section = getattr(settings, name)
        if not isinstance(section, Section) or not type(section).__module__.startswith(_ROOM):
            continue
        if name not in RENDERED and section != type(section)():
            used = [key for key in section.model_fields_set if getattr(section, key)]
            names = ", ".join(f"{name}_{key}" for key in sorted(used)) or name
            yield f"{names}: {_REASONS.get(name, _UNKNOWN)}"
