"""Envoy's routes, each with its transcoder configuration: `Accept` selects the framing of streams.

A request is routed twice: before transcoding, to select the framing, and after it, as gRPC's `POST
/package.Service/Method`, to the upstream. The transcoder returns 404 for paths that are not in the contract;
the last route does so for gRPC calls to other services.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway.admission.proxy_settings import ProxySettings
from gateway.contract.method import Method
from gateway.contract.stream_type import StreamType
from gateway.render.envoy_admission import EnvoyAdmission
from gateway.render.envoy_contract import EnvoyContract
from gateway.render.envoy_cors import CORS, EnvoyCors, cors_policy
from gateway.render.envoy_proxies import forwarded_headers
from gateway.render.envoy_tls import Node, TlsOptions
from gateway.render.envoy_upstream import CLUSTER, STREAMS, seconds
from gateway.render.envoy_upstreams import UpstreamRoutes, added_headers, cluster_of, retry_policy
from gateway.upstream_settings import UpstreamSettings

FILTERS: Final = "type.googleapis.com/envoy.extensions.filters.http"
TRANSCODER: Final = "envoy.filters.http.grpc_json_transcoder"
BUFFER: Final = "envoy.filters.http.buffer"
_PASSED_THROUGH: Final = (
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
"""Services that gRPC clients may call besides those of the contract."""
_NO_LIMIT: Final = "0s"
_NO_CORS: Final = EnvoyCors()
_NDJSON: Final[Node] = {"stream_newline_delimited": True}
_FRAMINGS: Final[tuple[tuple[str, Node], ...]] = (
    ("text/event-stream", {"stream_newline_delimited": True, "stream_sse_style_delimited": True}),
    ("application/json", {}),
    ("", _NDJSON),
)
"""First media type in `Accept` -> framing of streams; the last one is the default."""


_UNBUFFERED_HEADERS: Final[list[Node]] = [
    {"header": {"key": name, "value": value}, "append_action": "ADD_IF_ABSENT"}
    for name, value in (("cache-control", "no-cache"), ("x-accel-buffering", "no"))
]
"""Response headers that disable caching and buffering of a stream in proxies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyOptions(TlsOptions):
    """Options of an Envoy; the names are those of `gateway.settings`."""

    descriptor_set: str
    """Path of the descriptor set on Envoy's machine."""
    own_descriptor_set: bool = True
    """Whether that is `EnvoyContract.descriptor_set`, not the original one."""
    upstream: str
    host: str
    port: int
    admin_port: int
    metrics_port: int | None = None
    max_connections: int
    max_message_bytes: int
    timeout_seconds: float | None
    send_timeout_seconds: float
    upstream_keepalive_seconds: float
    upstreams: tuple[UpstreamSettings, ...] = ()
    cors: EnvoyCors = _NO_CORS
    proxies: ProxySettings = field(default_factory=ProxySettings)
    admission: EnvoyAdmission = field(default_factory=EnvoyAdmission)
    auto_mapping: bool = False
    ignore_unknown: bool = False
    print_defaults: bool = False
    print_proto_names: bool = False
    print_enum_numbers: bool = False
    print_int64_numbers: bool = False


def transcoder(contract: EnvoyContract, options: EnvoyOptions, framing: Node = _NDJSON) -> Node:
    """Returns the transcoder configuration for one framing of streams."""
    unescaped = "ALL_CHARACTERS" if contract.fully_decode else "ALL_CHARACTERS_EXCEPT_SLASH"
    return {
        "@type": f"{FILTERS}.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": options.descriptor_set,
        "services": _services(contract),
        "auto_mapping": options.auto_mapping,
        "convert_grpc_status": True,
        "url_unescape_spec": unescaped,
        "query_param_unescape_plus": True,
        "match_unregistered_custom_verb": False,
        "ignore_unknown_query_parameters": options.ignore_unknown,
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": not options.ignore_unknown,
            "reject_binding_body_field_collisions": True,
        },
        "print_options": {
            "always_print_primitive_fields": options.print_defaults,
            "always_print_enums_as_ints": options.print_enum_numbers,
            "preserve_proto_field_names": options.print_proto_names,
            **framing,
        },
        "max_request_body_size": options.max_message_bytes,
        "max_response_body_size": options.max_message_bytes,
    }


def virtual_host(contract: EnvoyContract, options: EnvoyOptions, *, trusted: bool = False) -> Node:
    """Returns the virtual host with all routes; `trusted` if its requests come from trusted proxies."""
    host: Node = {"name": "edge", "domains": ["*"]}
    if options.cors.origins:
        policy = cors_policy(contract, options.cors, auto_mapping=options.auto_mapping)
        host["typed_per_filter_config"] = {CORS: policy}
    unary = _limit(options.timeout_seconds)
    added, removed = forwarded_headers(options.proxies, trusted=trusted)
    if added:
        host["request_headers_to_add"] = added
    host["request_headers_to_remove"] = [
        "x-envoy-original-path",
        "x-envoy-original-method",
        *removed,
    ]
    uploads = {"safe_regex": {"regex": "|".join(contract.uploads)}} if contract.uploads else None
    streams = STREAMS if options.admission.overload.is_on else CLUSTER
    host["routes"] = [
        *_framing_routes(contract, options, uploads),
        *_named_routes(contract, options),
        *(_stream_route({"path": m.path}, m.stream_type, streams) for m in _streams(contract)),
        *(_unary_route({"prefix": f"/{name}/"}, unary) for name in _services(contract)),
        *(_stream_route({"prefix": f"/{name}/"}) for name in _PASSED_THROUGH),
        {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
    ]
    return host


def _streams(contract: EnvoyContract) -> list[Method]:
    return [method for method in contract.methods if method.streams]


def _services(contract: EnvoyContract) -> list[str]:
    return list(dict.fromkeys(method.service_name for method in contract.methods))


_NOT_GRPC: Final[Node] = {
    "name": "content-type",
    "string_match": {"prefix": "application/grpc"},
    "invert_match": True,
    "treat_missing_header_as_empty": True,
}


def _framing_routes(
    contract: EnvoyContract, options: EnvoyOptions, uploads: Node | None
) -> Iterator[Node]:
    """Yields the routes before transcoding; no request is forwarded by them.

    They have a cluster because CORS requires one. The transcoder buffers a unary body without a limit, so the
    buffer filter before it enforces one; client streams (`uploads`) have no such limit.
    """
    buffer_limit = {
        "@type": f"{FILTERS}.buffer.v3.BufferPerRoute",
        "buffer": {"max_request_bytes": options.max_message_bytes},
    }
    for match, filters in (
        *(((uploads, {}),) if uploads else ()),
        ({"prefix": "/"}, {BUFFER: buffer_limit}),
    ):
        for media_type, framing in _FRAMINGS:
            override = {TRANSCODER: transcoder(contract, options, framing)} if media_type else {}
            headers = [_accepts(media_type), _NOT_GRPC] if media_type else [_NOT_GRPC]
            configs = filters | override
            yield {
                "match": match | {"headers": headers},
                "route": {"cluster": CLUSTER},
                **({"typed_per_filter_config": configs} if configs else {}),
            }


def _accepts(media_type: str) -> Node:
    regex = f"(?i){media_type}\\s*([;,].*)?"
    return {"name": "accept", "string_match": {"safe_regex": {"regex": regex}}}


def _stream_route(match: Node, kind: StreamType = StreamType.UNARY, cluster: str = CLUSTER) -> Node:
    """Returns a route without a timeout other than the caller's `grpc-timeout`."""
    caller_timeout = {"grpc_timeout_header_max": _NO_LIMIT}
    limits = {"idle_timeout": _NO_LIMIT, "max_stream_duration": caller_timeout}
    route = _route(match, limits, cluster)
    return route | ({"response_headers_to_add": _UNBUFFERED_HEADERS} if kind.server else {})


def _named_routes(contract: EnvoyContract, options: EnvoyOptions) -> Iterator[Node]:
    """Yields a route for each method that goes to an entry of `upstreams`."""
    routes = UpstreamRoutes(options.upstreams)
    for method in contract.methods:
        own = routes.of(method)
        if own is None:
            continue
        kind, match = method.stream_type, {"path": method.path}
        cluster = cluster_of(own, streams=kind is not StreamType.UNARY)
        if kind is not StreamType.UNARY:
            route = _stream_route(match, kind, cluster)
        else:
            limits = [each for each in (options.timeout_seconds, own.timeout_seconds) if each]
            route = _unary_route(match, _limit(min(limits, default=None)), cluster)
        route["route"] |= retry_policy(own, method)
        yield route | added_headers(own)


def _limit(timeout: float | None) -> str:
    return seconds(timeout) if timeout else _NO_LIMIT


def _unary_route(match: Node, timeout: str, cluster: str = CLUSTER) -> Node:
    limits = {"max_stream_duration": timeout, "grpc_timeout_header_max": timeout}
    return _route(match, {"max_stream_duration": limits}, cluster)


def _route(match: Node, limits: Node, cluster: str = CLUSTER) -> Node:
    """Returns a route with timeouts for the whole stream; `timeout` would ignore `grpc-timeout`."""
    return {"match": match, "route": {"cluster": cluster, "timeout": _NO_LIMIT, **limits}}
