"""TLS of an Envoy: towards callers, and towards the upstream.

Rule: the files are named, and not read; they need only be where Envoy runs.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Node = dict[str, Any]

_HANDSHAKE: Final = "10s"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """What an operator says of TLS; names and meanings are those of the settings."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    upstream_tls: bool = False
    upstream_ca: Path | None = None
    upstream_certificate: Path | None = None
    upstream_key: Path | None = None
    upstream_name: str | None = None


def serving_tls(options: TlsOptions) -> Node:
    """Returns what a filter chain has for TLS; nothing where it is to have none.

    Raises:
        ValueError: of certificate and key only one is given.
    """
    own = _pair("tls", options.tls_certificate, options.tls_key)
    if not own:
        return {}
    return {
        "transport_socket": _socket("Downstream", own | {"alpn_protocols": ["h2", "http/1.1"]}),
        "transport_socket_connect_timeout": _HANDSHAKE,
    }


def upstream_tls(options: TlsOptions, host: str) -> Node:
    """Returns what the cluster of a host has for TLS; nothing where it is to have none.

    Raises:
        ValueError: of certificate and key only one is given; or no CA is, for Envoy trusts none by itself.
    """
    own = _pair("upstream", options.upstream_certificate, options.upstream_key)
    ca, name = options.upstream_ca, options.upstream_name
    if not (options.upstream_tls or ca or own or name):
        return {}
    if ca is None:
        raise ValueError("Envoy trusts no CA by itself: TLS to the upstream needs upstream_ca")
    named = name or host
    kind = "IP_ADDRESS" if is_ip(named) else "DNS"
    matched = [{"san_type": kind, "matcher": {"exact": named}}]
    checked = {"trusted_ca": _file(ca), "match_typed_subject_alt_names": matched}
    common = own | {"alpn_protocols": ["h2"], "validation_context": checked}
    sni = {} if is_ip(named) else {"sni": named}
    return {"transport_socket": _socket("Upstream", common, **sni)}


def is_ip(host: str) -> bool:
    """Whether a host is an address, and not a name to look up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _pair(prefix: str, certificate: Path | None, key: Path | None) -> Node:
    if certificate is None and key is None:
        return {}
    if certificate is None or key is None:
        raise ValueError(f"{prefix}_certificate and {prefix}_key go together; only one is given")
    return {
        "tls_certificates": [{"certificate_chain": _file(certificate), "private_key": _file(key)}]
    }


def _file(path: Path) -> Node:
    return {"filename": str(path)}


def _socket(side: str, common: Node, **more: str) -> Node:
    kind = f"envoy.extensions.transport_sockets.tls.v3.{side}TlsContext"
    context = {"@type": f"type.googleapis.com/{kind}", "common_tls_context": common, **more}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
