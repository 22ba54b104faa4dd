"""Envoy's `ext_authz` from the section `authorizer`: the same server is asked about the same requests.

Source: Envoy's `ext_authz.v3.ExtAuthz`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.admission.authorizer.settings import AuthorizerSettings
from gateway.render.envoy_tls import Node, TlsOptions
from gateway.render.envoy_upstream import grpc_cluster, seconds

AUTHORIZER: Final = "envoy.filters.http.ext_authz"
_FILTERS: Final = "type.googleapis.com/envoy.extensions.filters.http"
_CLUSTER: Final = "authorizer"


def authorizer_problems(section: AuthorizerSettings) -> Iterator[str]:
    """Yields what Envoy would not obey, each with the name of the setting."""
    if section.http is not None:
        yield (
            "authorizer_http: Envoy asks with the request's own HTTP method and path, where the edge sends"
            " GET and X-Forwarded-…; use authorizer_grpc"
        )
    if section.grpc is not None and section.tls and section.ca is None:
        yield "authorizer_tls: Envoy trusts no CA by itself: it needs authorizer_ca"


def authorizer_filters(section: AuthorizerSettings) -> list[Node]:
    """Returns the filters; none if nobody is asked."""
    if section.grpc is None:
        return []
    names = [{"exact": name.lower(), "ignore_case": True} for name in section.headers]
    asks = {
        "@type": f"{_FILTERS}.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": {
            "envoy_grpc": {"cluster_name": _CLUSTER},
            "timeout": seconds(section.timeout_seconds),
        },
        "status_on_error": {"code": "ServiceUnavailable"},
        "failure_mode_allow": section.on_failure == "allow",
        "allowed_headers": {"patterns": names},
    }
    return [*_reserving(section), {"name": AUTHORIZER, "typed_config": asks}]


def _reserving(section: AuthorizerSettings) -> list[Node]:
    """Returns the filter that removes from requests what only the authorizer may send upstream."""
    if not section.metadata:
        return []
    removed = [{"remove": name.lower()} for name in section.metadata]
    config = {
        "@type": f"{_FILTERS}.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": removed},
    }
    return [{"name": "envoy.filters.http.header_mutation", "typed_config": config}]


def authorizer_clusters(section: AuthorizerSettings) -> list[Node]:
    """Returns the cluster of the authorizer; none if nobody is asked.

    Raises:
        ValueError: Envoy does not support the address.
    """
    if section.grpc is None:
        return []
    secure = section.tls or section.ca is not None
    tls = TlsOptions(upstream_tls=secure, upstream_ca=section.ca)
    return [grpc_cluster(_CLUSTER, section.grpc, tls)]
