"""Envoy's part in trusting proxies: the section `proxies` as filter chains, listener filters and headers.

Envoy chooses a filter chain by the peer's address, so trusted proxies have a chain of their own, in which
Envoy believes `X-Forwarded-For` and `X-Forwarded-Proto`. In the other one it overwrites both. Behind PROXY
protocol the peer is the client that the header tells, and only trusted proxies have a chain at all.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.admission.networks import UNIX, networks
from gateway.admission.proxy_settings import FORWARDED_KEYS, ProxySettings
from gateway.render.envoy_tls import Node
from gateway.render.envoy_upstream import seconds

_XFF: Final = "envoy.http.original_ip_detection.xff"
_XFF_CONFIG: Final = "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig"
_PROXY_PROTOCOL: Final = "envoy.filters.listener.proxy_protocol"
_PROXY_CONFIG: Final = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
_ENVOYS: Final = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")
"""Headers that Envoy sends to the gRPC server."""


def checked_proxies(section: ProxySettings) -> ProxySettings:
    """Returns the section, if Envoy can do what it says.

    Raises:
        ValueError: it cannot; the text names the setting.
    """
    if section.headers == "forwarded":
        raise ValueError(
            "proxies_headers: Envoy does not read Forwarded (RFC 7239); let the proxies send X-Forwarded-For"
        )
    if UNIX in section.trusted:
        raise ValueError(
            f"proxies_trusted: Envoy listens on IP addresses here, which no {UNIX} peer reaches"
        )
    return section


def listener_fields(section: ProxySettings) -> Node:
    """Returns the fields of a listener on which each connection starts with a PROXY header, or none."""
    if section.protocol == "off":
        return {}
    config = {"@type": f"type.googleapis.com/{_PROXY_CONFIG}"}
    return {
        "listener_filters": [{"name": _PROXY_PROTOCOL, "typed_config": config}],
        "listener_filters_timeout": seconds(section.protocol_seconds),
    }


def chain_matches(section: ProxySettings) -> list[tuple[bool, Node]]:
    """Returns for each filter chain whether its peers are trusted, and the fields that say for whom it is."""
    ranges = _ranges(section)
    if not ranges:
        return [(False, {})]
    if section.protocol == "off":
        return [(True, _match("trusted", source_prefix_ranges=ranges)), (False, {"name": "others"})]
    direct = {"direct_source_prefix_ranges": ranges}
    return [
        (True, _match("trusted", **direct, source_prefix_ranges=ranges)),
        (False, _match("others", **direct)),
    ]


def _match(name: str, **fields: Any) -> Node:
    return {"name": name, "filter_chain_match": fields}


def client_address(section: ProxySettings, *, trusted: bool) -> Node:
    """Returns the fields of a connection manager that say whose address the client's is."""
    if not trusted:
        return {"use_remote_address": True}
    config = {
        "@type": f"type.googleapis.com/{_XFF_CONFIG}",
        "xff_trusted_cidrs": {"cidrs": _ranges(section)},
        "skip_xff_append": True,
    }
    return {
        "use_remote_address": False,
        "original_ip_detection_extensions": [{"name": _XFF, "typed_config": config}],
    }


def forwarded_headers(section: ProxySettings, *, trusted: bool) -> tuple[list[Node], list[str]]:
    """Returns the headers that a virtual host adds for the gRPC server, and those that it removes."""
    if not section.is_on:
        return [], []
    if not section.forwards:
        return [], sorted(FORWARDED_KEYS)
    believed = trusted and section.believe_host
    added = [
        ("x-forwarded-for", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", True),
        ("x-forwarded-host", "%REQ(:AUTHORITY)%", not believed),
    ]
    return [
        {
            "header": {"key": name, "value": value},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" if overwrites else "ADD_IF_ABSENT",
        }
        for name, value, overwrites in added
    ], sorted(FORWARDED_KEYS - set(_ENVOYS))


def _ranges(section: ProxySettings) -> list[Node]:
    return [
        {"address_prefix": str(each.network_address), "prefix_len": each.prefixlen}
        for each in networks(section.trusted)
    ]
