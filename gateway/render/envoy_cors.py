"""Envoy's CORS policy from the section `cors` of the settings.

Envoy answers every preflight request of an allowed origin with `200` and one list of methods, those of the
whole contract; the edge knows those of the path. Source: Envoy's `cors.v3.CorsPolicy`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.contract.http_rule import ANY_METHOD, Binding, bindings
from gateway.render.envoy_contract import EnvoyContract
from gateway.render.envoy_tls import Node

CORS: Final = "envoy.filters.http.cors"
_POLICY: Final = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"
_BELOW: Final = "://*."
_COMMON: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")


@dataclass(frozen=True, slots=True)
class EnvoyCors:
    """What Envoy's policy is made of."""

    origins: tuple[str, ...] = ()
    """As the settings normalize them; none: CORS is off."""
    credentials: bool = False
    request_headers: tuple[str, ...] = ()
    """All that pages may send."""
    response_headers: tuple[str, ...] = ()
    """All that pages may read."""
    max_age_seconds: int = 600
    private_network: bool = False


def cors_policy(contract: EnvoyContract, cors: EnvoyCors, *, auto_mapping: bool) -> Node:
    """Returns the policy of a virtual host."""
    policy: Node = {
        "@type": _POLICY,
        "allow_origin_string_match": [_matcher(origin) for origin in cors.origins],
        "allow_methods": ",".join(_methods(contract, auto_mapping=auto_mapping)),
        "allow_headers": ",".join(cors.request_headers),
        "expose_headers": ",".join(cors.response_headers),
        "max_age": str(cors.max_age_seconds),
    }
    if cors.credentials:
        policy["allow_credentials"] = True
    if cors.private_network:
        policy["allow_private_network_access"] = True
    return policy


def _matcher(origin: str) -> Node:
    if origin == "*":
        return {"safe_regex": {"regex": ".*"}}
    if _BELOW not in origin:
        return {"exact": origin}
    scheme, _, rest = origin.partition(_BELOW)
    return {"safe_regex": {"regex": rf"{re.escape(scheme)}://([^./:]+\.)+{re.escape(rest)}"}}


def _methods(contract: EnvoyContract, *, auto_mapping: bool) -> list[str]:
    """Returns the HTTP methods of the contract; those that are common if it takes any."""
    found = {"POST"} if auto_mapping else set()
    for method in contract.methods:
        found |= {each.http_method for each in bindings(method) if isinstance(each, Binding)}
    return sorted(found - {ANY_METHOD} | set(_COMMON if ANY_METHOD in found else ()))
