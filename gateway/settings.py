"""What an operator can set: each by an option of `protoway serve`, or by an environment variable.

Rule: this and `gateway.health` alone read the environment. Each limit has a name, a default and a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    DirectoryPath,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.transcoding.metadata import (
    DEFAULT_CHALLENGE,
    DEFAULT_REQUEST_HEADERS,
    DEFAULT_RESPONSE_HEADERS,
    DEFAULT_STATUS_KEY,
    checked_key,
)
from gateway.transcoding.origin import serialized_origin
from gateway.upstream.transport import Name

HeaderName = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]+$")]
"""A name that both an HTTP header and gRPC metadata can have."""


def _checked(name: str) -> str:
    checked_key(name.lower())
    return name


RequestHeaderName = Annotated[HeaderName, AfterValidator(_checked)]
"""One that metadata of a request can have: none that is gRPC's or HTTP's own."""


def _without_dots(path: str) -> str:
    if {".", ".."} & set(path.split("/")):
        raise ValueError("has a segment . or .., which clients remove")
    return path


OwnPath = Annotated[
    str,
    Field(pattern=r"^(/[A-Za-z0-9\-._~!$&'()*+,;=:@]+)*$"),
    AfterValidator(_without_dots),
]
"""A path that the edge answers itself, without characters that are percent-encoded; or empty."""
RootPath = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9\-._~]+)*$"), AfterValidator(_without_dots)]
"""A prefix of paths that has one spelling, for none of its characters needs percent-encoding; or empty."""


OAUTH2_REDIRECT: Final = "/oauth2-redirect"
"""Where Swagger UI comes back to from a login, below `docs_path`."""
OWN_PATHS: Final = ("health_path", "openapi_path", "docs_path", "redoc_path")
"""The settings that name paths which the edge answers itself."""


Origin = Annotated[
    str, AfterValidator(lambda text: text if text == "*" else serialized_origin(text))
]
"""An origin as browsers serialize it, or `*`."""

GROUPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "descriptor_set": "The contract",
        "upstream": "The upstream",
        "host": "The process",
        "root_path": "Own paths",
        "max_message_bytes": "Requests and answers",
        "request_headers": "Headers and metadata",
        "print_defaults": "JSON",
        "compression": "Compression",
        "heartbeat_seconds": "Streams",
        "origins": "WebSockets",
        "admin_port": "Envoy",
    }
)
"""The first setting of each group, and the group's heading in `--help` and docs/reference/settings.md."""


class Settings(BaseSettings):
    """The settings of one edge; `PROTOWAY_` stands before each name in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="PROTOWAY_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    descriptor_set: Path
    """File with the contract: what `protoc --include_imports --include_source_info -o FILE` writes."""
    http_rules: Path | None = None
    """File with more HTTP rules: a `google.api.Service` in YAML. They win over the contract's own."""
    auto_mapping: bool = False
    """Serve methods without a rule too, at `POST /package.Service/Method`."""
    services: tuple[str, ...] = ()
    """Full names of the services to serve; none means all in the contract that have HTTP rules."""
    skip_faulty_rules: bool = False
    """Leave rules that are wrong out of the contract, and log each, instead of refusing to start."""

    upstream: str = "127.0.0.1:50051"
    """Address of the gRPC server: HOST:PORT, or any name that gRPC resolves."""
    transport: Name = "wire"
    """Which gRPC carries the calls to the upstream: `wire`, which is `grpc_wire`, or `grpcio`."""
    upstream_tls: bool = False
    """Speak TLS to the upstream, trusting the CAs that gRPC knows. Each of the next four turns it on too."""
    upstream_ca: Path | None = None
    """File with the CAs, in PEM, that the upstream's certificate is checked by."""
    upstream_certificate: Path | None = None
    """File with the edge's certificate for the upstream, in PEM."""
    upstream_key: Path | None = None
    """File with its private key, in PEM, without a password."""
    upstream_name: str | None = Field(default=None, min_length=1)
    """Name that the upstream's certificate must have, where it is not that of the address."""
    upstream_keepalive_seconds: float = Field(default=300.0, ge=1)
    """Interval of keepalive pings on a silent connection; the server must allow them so often."""
    upstream_max_connections: int = Field(default=32, ge=1)
    """Maximum connections. Another is opened before the free streams of the others run out."""
    upstream_min_connections: int = Field(default=1, ge=1)
    """Minimum connections, opened at the first call and kept open; they take calls in turn."""
    upstream_streams_per_connection: int | None = Field(default=None, ge=1)
    """Maximum calls at once on a connection; None is what the server allows, with `grpcio` 100."""
    upstream_idle_seconds: float = Field(default=60.0, gt=0)
    """Connections above the minimum are closed after so long without calls."""
    upstream_unary_reserve: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of all streams that streaming calls leave to unary calls."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every IPv4 address of the machine."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0 chooses a free one."""
    workers: int = Field(default=1, ge=1)
    """How many processes serve. Each has a channel, shared streams and limits of its own."""
    tls_certificate: Path | None = None
    """File with the edge's certificate for callers, and those it is signed by, in PEM: serve HTTPS."""
    tls_key: Path | None = None
    """File with its private key, in PEM, without a password."""
    drain_seconds: float = Field(default=5.0, ge=0)
    """How long a shutdown waits for answers that are under way."""
    log_level: str = Field(default="info", pattern="^(critical|error|warning|info|debug)$")
    """Least severe level that is logged: critical, error, warning, info or debug."""

    root_path: RootPath = ""
    """Prefix that a proxy in front serves the edge below, as `/api`; the proxy may pass it on or strip it."""
    health_path: OwnPath = "/healthz"
    """Path that answers whether the edge is alive; empty: none."""
    openapi_path: OwnPath = "/openapi.json"
    """Path of the OpenAPI document; empty: none, and neither of the two pages that show it."""
    docs_path: OwnPath = "/docs"
    """Path of the page that shows the document in Swagger UI; empty: none."""
    redoc_path: OwnPath = "/redoc"
    """Path of the page that shows the document in ReDoc; empty: none."""
    pages: DirectoryPath | None = None
    """Folder of static files to serve at `/`, for paths that nothing else takes."""

    max_message_bytes: int = Field(default=4 * 1024 * 1024, gt=0, le=2**31 - 1)
    """Maximum bytes of a message, so of a unary body too; beyond it 413."""
    timeout_seconds: float | None = Field(default=60.0, gt=0)
    """Maximum duration of a unary call. A caller may ask for less, with `grpc-timeout`."""
    send_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """A client that reads nothing of what it is sent for so long is disconnected."""
    ignore_unknown: bool = False
    """Ignore unknown JSON fields, enum names and query parameters, instead of answering 400."""
    show_debug_info: bool = False
    """Send `google.rpc.DebugInfo` in the details of an error to callers."""

    request_headers: tuple[RequestHeaderName, ...] = DEFAULT_REQUEST_HEADERS
    """Request headers that become metadata. `Grpc-Metadata-NAME` always does, as NAME."""
    response_headers: tuple[HeaderName, ...] = DEFAULT_RESPONSE_HEADERS
    """Initial metadata that become response headers."""
    max_metadata_bytes: int = Field(default=8 * 1024, gt=0, le=2**31 - 1)
    """Maximum bytes of the metadata of a request: for each, name, value and 32; beyond it 431."""
    max_upstream_metadata_bytes: int = Field(default=16 * 1024, ge=1024, le=2**31 - 1)
    """Maximum bytes of the server's initial metadata, and of its trailers, counted likewise."""
    max_answer_header_bytes: int = Field(default=3 * 1024, ge=0)
    """Maximum bytes of response headers made of metadata; headers that do not fit are left out."""
    www_authenticate: str = Field(default=DEFAULT_CHALLENGE, pattern=r"^[\x20-\x7e]*$")
    """`WWW-Authenticate` of a 401 whose server sent none; empty: none."""
    http_status_key: str = Field(default=DEFAULT_STATUS_KEY, pattern=r"^[0-9A-Za-z_.-]*$")
    """Key of initial metadata whose value is the HTTP status of a success, 2xx or 3xx; empty: none."""

    print_defaults: bool = False
    """Print fields without presence though they have their default value."""
    print_proto_names: bool = False
    """Name fields in JSON as the .proto does."""
    print_enum_numbers: bool = False
    """Print enums as numbers."""
    print_int64_numbers: bool = False
    """Print 64-bit integers as numbers."""

    compression: bool = True
    """Compress answers of one message for callers that ask, by gzip or deflate."""
    compression_min_bytes: int = Field(default=1024, ge=0)
    """Minimum bytes of an answer that is compressed."""
    stream_compression: bool = False
    """Compress streams for callers that ask; each message can be read at once."""
    websocket_compression: bool = False
    """Compress WebSockets whose client offers it (permessage-deflate)."""

    heartbeat_seconds: float = Field(default=15.0, gt=0)
    """A stream without a message for so long sends a sign of life."""
    retry_seconds: float = Field(default=2.0, gt=0)
    """`retry` of Server-Sent Events: reconnection time of a client that was disconnected."""
    max_feed_bytes: int = Field(default=8 * 1024 * 1024, gt=0)
    """Maximum memory of the messages kept of one stream, for readers that are slow or reconnect."""
    max_idle_feed_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    """Maximum memory of all kept streams that nobody reads; beyond it the oldest end."""
    max_total_feed_bytes: int = Field(default=256 * 1024 * 1024, gt=0)
    """Maximum memory of all kept streams."""
    max_feeds: int = Field(default=10_000, gt=0)
    """Maximum number of kept streams; equal requests for a shared stream are one."""
    max_caller_feed_bytes: int = Field(default=128 * 1024 * 1024, gt=0)
    """Maximum memory of the kept streams of one caller."""
    max_caller_feeds: int = Field(default=5_000, gt=0)
    """Maximum number of kept streams of one caller."""
    caller_headers: tuple[RequestHeaderName, ...] = ("authorization",)
    """Request headers, among `request_headers`, that identify a caller for the two limits above.

    Callers without any of them are told apart by their addresses.
    """

    origins: tuple[Origin, ...] = ()
    """Origins, SCHEME://HOST[:PORT], whose pages may open a WebSocket beside the edge's own; `*` is any."""
    websocket_ping_seconds: float = Field(default=20.0, gt=0)
    """Interval of pings; a client that does not answer one within the next interval is disconnected."""
    websocket_idle_seconds: float | None = Field(default=None, gt=0)
    """A WebSocket without a message either way for so long is closed; None is never."""

    @model_validator(mode="after")
    def _own_paths_differ(self) -> Self:
        paths = [path for path in (getattr(self, name) for name in OWN_PATHS) if path]
        if self.docs_path:
            paths.append(self.docs_path + OAUTH2_REDIRECT)
        if len(set(paths)) < len(paths):
            raise ValueError(f"no two of {', '.join(OWN_PATHS)} can be the same")
        return self

    def own_paths(self) -> dict[str, str]:
        """Returns the paths that the edge answers itself, each with the setting that moves or closes it."""
        paths = [(self.health_path, "health_path")]
        if self.openapi_path:
            paths += [(self.openapi_path, "openapi_path"), (self.docs_path, "docs_path")]
            if self.docs_path:
                paths.append((self.docs_path + OAUTH2_REDIRECT, "docs_path"))
            paths.append((self.redoc_path, "redoc_path"))
        return {path: name for path, name in paths if path}

    @field_validator("upstream_min_connections")
    @classmethod
    def _check_connections(cls, least: int, others: ValidationInfo) -> int:
        most = others.data.get("upstream_max_connections", least)
        if least > most:
            raise ValueError(f"is more than upstream_max_connections, which is {most}")
        return least


class EnvoySettings(Settings):
    """The settings of an edge, and those that only an Envoy in its place has."""

    port: int = Field(default=8081, ge=1, le=65535)
    """Port to listen on."""
    admin_port: int = Field(default=9901, ge=1, le=65535)
    """Port of Envoy's admin pages, on 127.0.0.1 alone."""
    max_connections: int = Field(default=10_000, gt=0, le=2**31 - 1)
    """How many clients may be connected, and how many calls may be open to the upstream."""
    descriptor_set_out: Path | None = None
    """File to write the descriptor set that Envoy is given to: without what Envoy refuses."""
    descriptor_set_path: str | None = None
    """Where Envoy finds its descriptor set; None is where it was read, or written, here."""
