"""The groups of the settings: headings of `--help` and of the page, and sections of the settings file."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

GROUPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "config": "The settings file",
        "descriptor_set": "The contract",
        "upstream": "The upstream",
        "upstreams": "More upstreams",
        "host": "The process",
        "access_log": "Access log",
        "traces": "Traces",
        "max_connections": "Connections",
        "proxies_trusted": "Proxies in front",
        "root_path": "Own paths",
        "max_message_bytes": "Requests and answers",
        "request_headers": "Headers and metadata",
        "print_defaults": "JSON",
        "compression": "Compression",
        "heartbeat_seconds": "Streams",
        "websocket_ping_seconds": "WebSockets",
        "admin_port": "The admin listener",
        "cors_origins": "CORS",
        "jwt_issuer": "Tokens",
        "api_keys_file": "API keys",
        "client_certificates_identity": "Client certificates",
        "tickets_enabled": "Tickets",
        "rights.rules": "Rights",
        "authorizer_grpc": "An external authorizer",
        "limits_requests_per_second": "Limits",
        "overload_max_calls": "Load shedding",
        "feed_store": "A store for replicas",
        "readiness_upstream": "Readiness",
        "descriptor_set_out": "Envoy",
    }
)
"""First setting of each group -> heading of the group in `--help` and docs/reference/settings.md.

A section is a group of its own: its first setting is written as `--help` and the page name it, flat
(`cors_origins`) or, if it is a structured one, dotted (`rights.rules`).
"""

FILE_SECTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "config": "",
        "descriptor_set": "contract",
        "upstream": "upstream",
        "host": "server",
        "access_log": "access_log",
        "traces": "traces",
        "max_connections": "connections",
        "root_path": "paths",
        "max_message_bytes": "messages",
        "request_headers": "metadata",
        "print_defaults": "json",
        "compression": "compression",
        "heartbeat_seconds": "streams",
        "websocket_ping_seconds": "websockets",
        "admin_port": "admin",
        "descriptor_set_out": "envoy",
    }
)
"""First setting of each group -> its section in the settings file; a section of ours has its own name.

A setting has its own name there, without the section's before it (`upstream_tls` is `upstream.tls`), or:
"""
FILE_KEYS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "upstream": ("upstream", "address"),
        "upstreams": ("upstreams",),
        "access_log": ("access_log", "format"),
        "traces": ("traces", "enabled"),
        "compression": ("compression", "responses"),
        "min_compression_bytes": ("compression", "min_bytes"),
        "stream_compression": ("compression", "streams"),
        "websocket_compression": ("compression", "websockets"),
        "websocket_ping_seconds": ("websockets", "ping_seconds"),
        "websocket_small_frames": ("websockets", "small_frames"),
        "websocket_idle_seconds": ("websockets", "idle_seconds"),
    }
)
