"""The section `jwt` of the settings: whose tokens are accepted, and how they are verified.

Sources: RFC 7519; RFC 8725 (algorithms and keys are fixed by who verifies, 3.1; issuer and audience are
checked, 3.8 and 3.9; tokens of another type are refused, 3.11 and 3.12).
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.sections import Section
from gateway.transcoding.metadata import checked_key

# fmt: off
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
]
# fmt: on
"""Signatures of RFC 7518, section 3.1, and of RFC 8037. `none` is not among them."""
_SYMMETRIC: Final = "HS"
DEFAULT_ALGORITHMS: Final[tuple[Algorithm, ...]] = ("RS256", "ES256")
_URL_SCHEMES: Final = ("http://", "https://")


def is_url(jwks: str) -> bool:
    """Whether a key set is fetched; else it is a file."""
    return jwks.lower().startswith(_URL_SCHEMES)


def shown_url(url: str) -> str:
    """Returns a URL without its query, which may have a secret, for errors and the log."""
    return url.partition("?")[0]


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_key(key: str) -> str:
    key = checked_key(key.lower())
    if key.endswith("-bin"):
        raise ValueError("a key that ends in -bin has bytes for a value, and a claim is text")
    if key == "authorization":
        raise ValueError("authorization is the token's own key; see forward_token")
    return key


MetadataKey = Annotated[str, AfterValidator(_checked_key)]
"""A metadata key whose values are text."""
CookieName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]*$")]
"""A name of RFC 6265, section 4.1.1; or empty."""


class IssuerSettings(Section):
    """One issuer of tokens, and how they are verified."""

    issuer: str = Field(min_length=1)
    """The claim `iss` of its tokens, to the letter."""
    audiences: tuple[str, ...] = ()
    """Accepted values of the claim `aud`; one of the token's must be among them. None: tokens without it."""
    jwks: str = ""
    """File or URL of the issuer's public keys (RFC 7517). Empty: `secret_file` is set."""
    secret_file: Path | None = None
    """File with the secret of `HS…` tokens, of 32 bytes or more. A line break at its end does not count."""
    algorithms: tuple[Algorithm, ...] = ()
    """Accepted signatures. None: RS256 and ES256, with `secret_file` HS256. Never taken from the token."""
    token_type: str = Field(default="", max_length=100)
    """What `typ` in the token's header must be, as `at+jwt` (RFC 9068). Empty: JWT, at+jwt or missing."""
    skew_seconds: float = Field(default=60.0, ge=0, le=600)
    """How far the issuer's clock may be from the edge's, for `exp`, `nbf` and `iat`."""
    required_claims: tuple[str, ...] = ("exp", "sub")
    """Claims that a token must have, beside `iss`."""
    claim_metadata: dict[str, MetadataKey] = Field(default_factory=dict)
    """Claim -> metadata key under which it goes upstream, as `sub: x-user`. No client can set such a key."""

    @model_validator(mode="after")
    def _one_kind_of_keys(self) -> Self:
        if bool(self.jwks) == (self.secret_file is not None):
            raise ValueError(f"issuer {self.issuer}: set either jwks or secret_file")
        symmetric = {each.startswith(_SYMMETRIC) for each in self.accepted_algorithms}
        if symmetric != {self.secret_file is not None}:
            raise ValueError(
                f"issuer {self.issuer}: algorithms HS… need secret_file, and all others need jwks;"
                " no issuer has both"
            )
        return self

    @property
    def accepted_algorithms(self) -> tuple[Algorithm, ...]:
        """The accepted signatures, with the default ones."""
        if self.algorithms:
            return self.algorithms
        return DEFAULT_ALGORITHMS if self.jwks else ("HS256",)


class JwtSettings(Section):
    """Tokens: JSON Web Tokens that issuers sign (RFC 7519), as bearer tokens (RFC 6750) or in a cookie.

    `issuer`, `audience` and `jwks` are the simple case of one issuer; `issuers` takes several.
    """

    issuer: str = ""
    """The claim `iss` of the accepted tokens, to the letter. Empty: no tokens, unless `issuers` has some."""
    audience: tuple[str, ...] = ()
    """Accepted values of the claim `aud` for `issuer`. None: only tokens without the claim."""
    jwks: str = ""
    """File or URL of the public keys of `issuer` (RFC 7517). A URL has HTTPS, or is on this machine."""
    issuers: tuple[IssuerSettings, ...] = ()
    """Issuers with all that can be said of each; in the settings file and in Python only."""
    forward_token: bool = True
    """Send a verified token upstream as `authorization`. No other `authorization` goes upstream."""
    cookie: CookieName = ""
    """Name of a cookie that may have the token; empty: none. Pages of other origins cannot use it."""
    refuse_query_token: bool = True
    """Answer 400 to `access_token` in the query, which ends up in logs. The edge never reads it there."""
    realm: str = Field(default="", max_length=100, pattern=r"^[\x20-\x21\x23-\x5b\x5d-\x7e]*$")
    """`realm` in `WWW-Authenticate`; empty: without one."""
    max_token_bytes: int = Field(default=8 * 1024, ge=128, le=1024 * 1024)
    """Maximum size of a token; a larger one is refused with 401."""
    stream_grace_seconds: float = Field(default=0.0, ge=0, le=86_400)
    """How long a stream goes on after its token has expired (`exp` and the skew)."""
    remember_seconds: float = Field(default=30.0, ge=0, le=3600)
    """How long a verified token counts as such without a look, by its SHA-256, and never beyond `exp`."""
    remember_failures_seconds: float = Field(default=5.0, ge=0, le=60)
    """How long a refused token is refused without a look, by its SHA-256; 0: not at all."""
    max_remembered: int = Field(default=10_000, ge=1, le=10_000_000)
    """Maximum number of tokens that are remembered, and of those that are refused."""
    allow_http: bool = False
    """Fetch keys over plain HTTP from other machines too. Whoever can change the answer can sign tokens."""
    jwks_ca: Path | None = None
    """PEM file with the CAs that verify the servers of the keys; None: those of the system."""
    jwks_timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    """Maximum duration of one fetch of keys."""
    jwks_max_bytes: int = Field(default=256 * 1024, ge=1024, le=16 * 1024 * 1024)
    """Maximum size of a key set."""
    jwks_max_age_seconds: float = Field(default=3600.0, ge=60, le=604_800)
    """Keys are fetched again after the `max-age` of their response, at least 60 s, at most this."""
    jwks_stale_seconds: float = Field(default=86_400.0, ge=0, le=2_592_000)
    """How long the last good keys are used while they cannot be fetched again; then 503."""
    jwks_refetch_seconds: float = Field(default=10.0, ge=1, le=3600)
    """Minimum time between two fetches because of a token whose key is unknown."""
    file_check_seconds: float = Field(default=1.0, ge=0.05, le=3600)
    """Interval at which files of keys are looked at for changes."""

    @model_validator(mode="after")
    def _check_issuers(self) -> Self:
        if bool(self.issuer) != bool(self.jwks) or (self.audience and not self.issuer):
            raise ValueError("jwt_issuer and jwt_jwks are set together, and jwt_audience with them")
        names = [each.issuer for each in self.all_issuers]
        if len(set(names)) < len(names):
            raise ValueError("jwt_issuers: each issuer is named once")
        problems = [self._problem(each.jwks) for each in self.all_issuers if is_url(each.jwks)]
        if any(problems):
            raise ValueError("; ".join(filter(None, problems)))
        return self

    def _problem(self, url: str) -> str:
        """Returns what is wrong with a URL of keys; empty if nothing is."""
        parts = urlsplit(url)
        if not parts.hostname or parts.username is not None or parts.fragment:
            return "jwt_jwks: a URL has a host, and neither a user nor a fragment"
        if parts.scheme == "https" or self.allow_http or is_loopback(url):
            return ""
        shown = shown_url(url)
        return (
            f"jwt_jwks: {shown} is plain HTTP to another machine; use https, or set jwt_allow_http"
        )

    @property
    def all_issuers(self) -> tuple[IssuerSettings, ...]:
        """The issuers, with that of the simple case first."""
        if not self.issuer:
            return self.issuers
        given: dict[str, Any] = {"audiences": self.audience, "jwks": self.jwks}
        return (IssuerSettings(issuer=self.issuer, **given), *self.issuers)
