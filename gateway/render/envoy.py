"""Envoy's bootstrap configuration for a contract: REST/JSON, gRPC-Web and gRPC on one port.

Source: Envoy's v3 API. A request is routed twice: before transcoding, where `Accept` selects a route with the
framing of streams, and after it, as `/package.Service/Method`, where the route has the timeouts.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml

from gateway.render.envoy_clusters import upstream_clusters
from gateway.render.envoy_contract import EnvoyContract
from gateway.render.envoy_cors import CORS
from gateway.render.envoy_metrics import check_ports, metrics_clusters, metrics_listeners
from gateway.render.envoy_proxies import (
    chain_matches,
    checked_proxies,
    client_address,
    listener_fields,
)
from gateway.render.envoy_routes import (
    BUFFER,
    FILTERS,
    TRANSCODER,
    EnvoyOptions,
    transcoder,
    virtual_host,
)
from gateway.render.envoy_tls import Node, is_ip, serving_tls
from gateway.render.envoy_upstream import socket_address

CONNECT: Final = "envoy.filters.http.connect_grpc_bridge"
_BASED: Final = re.compile(r"[-+]?0[xXoObB][0-9a-fA-F]+")
"""Numbers of another base."""
_CONNECTION_BUFFER: Final = 64 * 1024
_STREAM_WINDOW: Final = 64 * 1024
_CONNECTION_WINDOW: Final = 1024 * 1024
_PROBE_SECONDS: Final = 30


def render_envoy(contract: EnvoyContract, options: EnvoyOptions) -> str:
    """Returns the YAML for `envoy -c`.

    Raises:
        ValueError: Envoy does not support an address, the TLS settings or the proxies; or a file of keys is
            wrong.
        OSError: a file of keys cannot be read.
    """
    bootstrap = {
        "admin": {"address": socket_address("127.0.0.1", options.admin_port)},
        "overload_manager": _overload_manager(options),
        "static_resources": {
            "listeners": [_listener(contract, options), *metrics_listeners(options)],
            "clusters": [
                *upstream_clusters(options),
                *options.admission.clusters(),
                *metrics_clusters(options),
            ],
        },
    }
    text = yaml.dump(bootstrap, Dumper=_Dumper, sort_keys=False, width=1000)
    return _header_comment(contract, options) + text


class _Dumper(yaml.SafeDumper):
    """A YAML dumper without aliases."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def quote(self, text: str) -> yaml.ScalarNode:
        """Represents a text; in quotes if Envoy reads it as a number or a boolean, and PyYAML does not."""
        style = "'" if _is_more_than_text(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.quote)


def _is_more_than_text(text: str) -> bool:
    """Whether yaml-cpp may read a text as a number (`1e5`, `0o7`) or a boolean (`y`, `n`)."""
    if text.lower() in ("y", "n") or _BASED.fullmatch(text):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _header_comment(contract: EnvoyContract, options: EnvoyOptions) -> str:
    lines = ["Made by `protoway envoy` from a contract and settings; not to be edited."]
    if contract.left_out:
        lines += ["", "Left out, for Envoy cannot serve them:"]
        lines += [f"  {binding}: {reason}" for binding, reason in contract.left_out]
    if not contract.knows_details and not options.own_descriptor_set:
        lines += [
            "",
            "The descriptor set has no google/rpc/error_details.proto, so errors with such details come",
            "without a body; what --descriptor-set-out writes has it.",
        ]
    if notes := [*options.admission.notes()]:
        lines += ["", *notes]
    if options.print_int64_numbers:
        lines += ["", "Envoy has no print_int64_numbers: 64-bit integers are strings."]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n"


def _overload_manager(options: EnvoyOptions) -> Node:
    name = "envoy.resource_monitors.global_downstream_max_connections"
    config = (
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    )
    return {
        "resource_monitors": [
            {
                "name": name,
                "typed_config": {
                    "@type": f"type.googleapis.com/{config}",
                    "max_active_downstream_connections": options.max_connections,
                },
            }
        ]
    }


def _listen_address(options: EnvoyOptions) -> Node:
    if not is_ip(options.host):
        raise ValueError(f"host {options.host!r} is no IP address, as Envoy wants it")
    check_ports(options)
    return socket_address(options.host, options.port)


def _listener(contract: EnvoyContract, options: EnvoyOptions) -> Node:
    proxies = checked_proxies(options.proxies)
    return {
        "name": "edge",
        "address": _listen_address(options),
        "per_connection_buffer_limit_bytes": _CONNECTION_BUFFER,
        "socket_options": _dead_peer_options(options.send_timeout_seconds),
        **listener_fields(proxies),
        "filter_chains": [
            {
                **match,
                **serving_tls(options),
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(contract, options, trusted=trusted),
                    }
                ],
            }
            for trusted, match in chain_matches(proxies)
        ],
    }


def _dead_peer_options(seconds: float) -> list[Node]:
    """Returns Linux socket options that close the connection of an unresponsive client after `seconds`."""
    return [
        {
            "description": name,
            "level": level,
            "name": number,
            "int_value": value,
            "state": "STATE_PREBIND",
        }
        for name, level, number, value in (
            ("SO_KEEPALIVE", 1, 9, 1),
            ("TCP_KEEPIDLE", 6, 4, _PROBE_SECONDS),
            ("TCP_KEEPINTVL", 6, 5, _PROBE_SECONDS),
            ("TCP_USER_TIMEOUT", 6, 18, max(round(seconds * 1000), 1)),
        )
    ]


def _connection_manager(contract: EnvoyContract, options: EnvoyOptions, *, trusted: bool) -> Node:
    manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "@type": f"type.googleapis.com/{manager}",
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        **client_address(options.proxies, trusted=trusted),
        "internal_address_config": {},
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "request_headers_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": _STREAM_WINDOW,
            "initial_connection_window_size": _CONNECTION_WINDOW,
            "connection_keepalive": {"interval": "30s", "timeout": "10s"},
        },
        "access_log": [_access_log()],
        "local_reply_config": _local_reply_config(),
        "route_config": {
            "name": "edge",
            "virtual_hosts": [virtual_host(contract, options, trusted=trusted)],
        },
        "http_filters": [
            _original_request(),
            *([_filter(CORS, "cors.v3.Cors")] if options.cors.origins else []),
            *options.admission.before_transcoding(),
            _filter("envoy.filters.http.grpc_web", "grpc_web.v3.GrpcWeb"),
            _filter(CONNECT, "connect_grpc_bridge.v3.FilterConfig"),
            _filter(BUFFER, "buffer.v3.Buffer", max_request_bytes=options.max_message_bytes)
            | {"disabled": True},
            {"name": TRANSCODER, "typed_config": transcoder(contract, options)},
            *options.admission.behind_transcoding(),
            _status_to_metadata(),
            _filter("envoy.filters.http.router", "router.v3.Router", suppress_envoy_headers=True),
        ],
    }


def _filter(name: str, message: str, **fields: Any) -> Node:
    return {"name": name, "typed_config": {"@type": f"{FILTERS}.{message}", **fields}}


def _coalesce(*commands: tuple[str, str]) -> str:
    """Returns the format string for the first of these commands that has a value."""
    operators = [{"command": name, "param": param} for name, param in commands]
    return f"%COALESCE({json.dumps({'operators': operators})})%"


def _original_request() -> Node:
    """Stores the original method and path for the access log; the transcoder overwrites them.

    The transcoder also stores them in headers, which are removed: a long URL could exceed the server's limit.
    """
    fields = (("edge.method", "%REQ(:METHOD)%"), ("edge.path", "%PATH(NQ)%"))
    return _filter(
        "envoy.filters.http.set_filter_state",
        "set_filter_state.v3.Config",
        on_request_headers=[
            {
                "object_key": key,
                "factory_key": "envoy.string",
                "format_string": {"text_format_source": {"inline_string": value}},
            }
            for key, value in fields
        ],
    )


def _status_to_metadata() -> Node:
    """Stores the server's status for the access log; the transcoder removes it from the response."""
    entry = {"metadata_namespace": "edge", "key": "grpc_status", "type": "NUMBER"}
    rule = {"header": "grpc-status", "on_header_present": entry}
    return _filter(
        "envoy.filters.http.header_to_metadata",
        "header_to_metadata.v3.Config",
        response_rules=[rule],
    )


def _access_log() -> Node:
    sink = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    fields = {
        "time": "%START_TIME%",
        "method": _coalesce(("FILTER_STATE", "edge.method:PLAIN"), ("REQ", ":METHOD")),
        "path": _coalesce(("FILTER_STATE", "edge.path:PLAIN"), ("PATH", "NQ")),
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": _coalesce(
            ("DYNAMIC_METADATA", "edge:grpc_status"), ("GRPC_STATUS_NUMBER", "")
        ),
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "milliseconds": "%DURATION%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": f"type.googleapis.com/{sink}",
            "log_format": {"json_format": fields},
        },
    }


_LOCAL_CODES: Final = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    408: 4,
    413: 8,
    429: 8,
    431: 8,
    500: 13,
    503: 14,
    504: 4,
}
"""HTTP status of Envoy's own errors -> gRPC status code."""


def _local_reply_config() -> Node:
    """Gives Envoy's own errors a body with the JSON of a `google.rpc.Status`."""
    return {
        "mappers": [
            {
                "filter": {
                    "status_code_filter": {
                        "comparison": {
                            "op": "EQ",
                            "value": {"default_value": status, "runtime_key": f"status_{status}"},
                        }
                    }
                },
                "body_format_override": _status(code),
            }
            for status, code in _LOCAL_CODES.items()
        ],
        "body_format": _status(2),
    }


def _status(code: int) -> Node:
    return {"json_format": {"code": code, "message": "%LOCAL_REPLY_BODY%"}}
