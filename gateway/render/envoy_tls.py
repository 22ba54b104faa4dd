"""Envoy's TLS configuration, downstream and upstream.

Rule: files are named, not read; they need to exist on Envoy's machine only.
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
    """TLS options; the names are those of `gateway.settings`."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    upstream_tls: bool = False
    upstream_ca: Path | None = None
    upstream_certificate: Path | None = None
    upstream_key: Path | None = None
    upstream_name: str | None = None


def serving_tls(options: TlsOptions) -> Node:
    """Returns the TLS fields of a filter chain; empty: no TLS.

    Raises:
        ValueError: only one of certificate and key is set.
    """
    pair = _pair("tls", options.tls_certificate, options.tls_key)
    if not pair:
        return {}
    return {
        "transport_socket": _socket("Downstream", pair | {"alpn_protocols": ["h2", "http/1.1"]}),
        "transport_socket_connect_timeout": _HANDSHAKE,
    }


def upstream_tls(options: TlsOptions, host: str, protocol: str = "h2") -> Node:
    """Returns the TLS fields of a cluster; empty: no TLS.

    Raises:
        ValueError: only one of certificate and key is set; or there is no CA, since Envoy has no default one.
    """
    pair = _pair("upstream", options.upstream_certificate, options.upstream_key)
    ca, name = options.upstream_ca, options.upstream_name
    if not (options.upstream_tls or ca or pair or name):
        return {}
    if ca is None:
        raise ValueError("Envoy trusts no CA by itself: TLS to the upstream needs upstream_ca")
    server_name = name or host
    kind = "IP_ADDRESS" if is_ip(server_name) else "DNS"
    names = [{"san_type": kind, "matcher": {"exact": server_name}}]
    validation = {"trusted_ca": _file(ca), "match_typed_subject_alt_names": names}
    common = pair | {"alpn_protocols": [protocol], "validation_context": validation}
    sni = {} if is_ip(server_name) else {"sni": server_name}
    return {"transport_socket": _socket("Upstream", common, **sni)}


def is_ip(host: str) -> bool:
    """Whether a host is an IP address, not a name."""
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
