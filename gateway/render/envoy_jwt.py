"""Envoy's `jwt_authn` from the section `jwt`: which tokens Envoy verifies, and which requests need one.

Rule: a setting that Envoy cannot obey is refused, where it would then accept more than the edge. What no
setting says, and Envoy lacks, is in the head of the file: types of tokens, streams that outlive their token.
Source: Envoy's `jwt_authn.v3.JwtAuthentication` and `JwtProvider`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.admission.authentication.jwt_settings import IssuerSettings, JwtSettings, is_url
from gateway.render.envoy_tls import Node, TlsOptions
from gateway.render.envoy_upstream import plain_cluster, seconds

JWT: Final = "envoy.filters.http.jwt_authn"
PAYLOAD: Final = "token"
"""Key of the dynamic metadata under which a token's claims are."""
_CONFIG: Final = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
HEALTH: Final = "/grpc.health.v1.Health/"
"""Path prefix that is open to anybody."""
_RENDERED_CLAIMS: Final = frozenset({"iss", "exp", "sub"})
_CACHED: Final = 100_000
"""Maximum tokens that Envoy is told to remember; each thread has its own."""


def jwt_problems(section: JwtSettings) -> Iterator[str]:
    """Yields what Envoy would not obey, each with the name of the setting."""
    if section.cookie:
        yield (
            "jwt_cookie: Envoy does not ask which page sends a cookie: pages of any site could use the token"
        )
    for issuer in section.all_issuers:
        for name, problem in _problems(issuer, section):
            yield f"jwt.issuers ({issuer.issuer}): {name}: {problem}"


def _problems(issuer: IssuerSettings, section: JwtSettings) -> Iterator[tuple[str, str]]:
    if issuer.secret_file is not None:
        yield "secret_file", "a secret is not written into Envoy's configuration"
    if not issuer.audiences:
        yield "audiences", "Envoy accepts tokens for any audience where none is set; name one"
    if issuer.token_type:
        yield "token_type", "Envoy does not look at the type of a token"
    if others := sorted(set(issuer.required_claims) - _RENDERED_CLAIMS):
        yield "required_claims", f"Envoy cannot require {', '.join(others)}"
    if issuer.skew_seconds < 1 or issuer.skew_seconds % 1:
        yield "skew_seconds", "Envoy has whole seconds, and at least 1"
    if dotted := [claim for claim in issuer.claim_metadata if "." in claim]:
        yield "claim_metadata", f"in Envoy {dotted[0]!r} is a claim inside of another one"
    if is_url(issuer.jwks):
        if issuer.algorithms:
            yield (
                "algorithms",
                "of keys from a URL, Envoy accepts all that they can verify; give a file, or leave this out",
            )
        if urlsplit(issuer.jwks).scheme == "https" and section.jwks_ca is None:
            yield "jwks", "Envoy trusts no CA by itself: keys over https need jwt_jwks_ca"


def jwt_filter(
    section: JwtSettings,
    *,
    anonymous: Iterable[str] = (),
    optional: bool = False,
    word_claims: Iterable[str] = (),
    read: Callable[[Path], bytes] = Path.read_bytes,
) -> Node:
    """Returns the filter.

    Args:
        section: with one issuer or more.
        anonymous: paths of requests that need no token.
        optional: whether no request needs one. A wrong token is refused all the same.
        word_claims: claims whose text is several words, for `PAYLOAD`.
        read: reads a file of keys.

    Raises:
        ValueError: a file of keys is wrong, or the extra `jwt` is not installed.
        OSError: one cannot be read.
    """
    names = [f"issuer-{number}" for number, _ in enumerate(section.all_issuers)]
    providers = {
        name: _provider(issuer, section, name, word_claims, read)
        for name, issuer in zip(names, section.all_issuers, strict=True)
    }
    accepted: list[Node] = [{"provider_name": name} for name in names]
    required = {"requires_any": {"requirements": accepted}} if len(accepted) > 1 else accepted[0]
    free: Node = {"requires_any": {"requirements": [*accepted, {"allow_missing": {}}]}}
    rules = [
        {"match": {"prefix": HEALTH}},
        *({"match": {"path": path}, "requires": free} for path in anonymous),
        {"match": {"prefix": "/"}, "requires": free if optional else required},
    ]
    return {
        "name": JWT,
        "typed_config": {
            "@type": _CONFIG,
            "providers": providers,
            "rules": rules,
            "bypass_cors_preflight": True,
        },
    }


def _provider(
    issuer: IssuerSettings,
    section: JwtSettings,
    name: str,
    word_claims: Iterable[str],
    read: Callable[[Path], bytes],
) -> Node:
    words = sorted(set(word_claims))
    provider: Node = {
        "issuer": issuer.issuer,
        "audiences": list(issuer.audiences),
        **_keys(issuer, section, name, read),
        "forward": section.forward_token,
        "from_headers": [
            {"name": "authorization", "value_prefix": scheme} for scheme in ("Bearer ", "bearer ")
        ],
        "payload_in_metadata": PAYLOAD,
        "clock_skew_seconds": round(issuer.skew_seconds),
        "require_expiration": "exp" in issuer.required_claims,
    }
    if words:
        provider["normalize_payload_in_metadata"] = {"space_delimited_claims": words}
    if "sub" in issuer.required_claims:
        provider["subjects"] = {"safe_regex": {"regex": ".+"}}
    if issuer.claim_metadata:
        provider["claim_to_headers"] = [
            {"claim_name": claim, "header_name": key}
            for claim, key in issuer.claim_metadata.items()
        ]
    if section.remember_seconds:
        size = min(section.max_remembered, _CACHED)
        provider["jwt_cache_config"] = {
            "jwt_cache_size": size,
            "jwt_max_token_size": section.max_token_bytes,
        }
    return provider


def _keys(
    issuer: IssuerSettings, section: JwtSettings, name: str, read: Callable[[Path], bytes]
) -> Node:
    if is_url(issuer.jwks):
        timeout = seconds(section.jwks_timeout_seconds)
        uri = {"uri": issuer.jwks, "cluster": name, "timeout": timeout}
        fetched = {"fast_listener": False, "failed_refetch_duration": "1s"}
        return {
            "remote_jwks": {
                "http_uri": uri,
                "cache_duration": seconds(section.jwks_max_age_seconds),
                "async_fetch": fetched,
            }
        }
    try:  # an extra, which an edge without tokens does not have
        from gateway.admission.authentication.key_set import public_keys  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ValueError(
            f"jwt_jwks: tokens need the package {error.name}; pip install 'protoway[jwt]'"
        ) from error
    try:
        keys = public_keys(read(Path(issuer.jwks)), issuer.jwks, issuer.accepted_algorithms)
    except ValueError as error:
        raise ValueError(f"jwt_jwks: {issuer.jwks} {error}") from None
    return {"local_jwks": {"inline_string": json.dumps({"keys": keys})}}


def jwks_clusters(section: JwtSettings) -> Iterator[Node]:
    """Yields the clusters of the servers of keys."""
    for number, issuer in enumerate(section.all_issuers):
        if not is_url(issuer.jwks):
            continue
        url = urlsplit(issuer.jwks)
        secure = url.scheme == "https"
        tls = TlsOptions(upstream_tls=secure, upstream_ca=section.jwks_ca if secure else None)
        port = url.port or (443 if secure else 80)
        yield plain_cluster(f"issuer-{number}", url.hostname or "", port, tls)
