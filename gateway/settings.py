"""What an operator can set: each by an option of `protoway serve`, or by an environment variable.

Rule: this and `gateway.health` alone read the environment. Each limit has a name, a default and a unit.
"""

from __future__ import annotations

from pathlib import Path
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

OwnPath = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9\-._~!$&'()*+,;=:@]+)*$")]
"""A path that the edge answers itself, without characters that are percent-encoded; or empty."""


OAUTH2_REDIRECT: Final = "/oauth2-redirect"
"""Where Swagger UI comes back to from a login, below `docs_path`."""
OWN_PATHS: Final = ("health_path", "openapi_path", "docs_path", "redoc_path")
"""The settings that name paths which the edge answers itself."""


Origin = Annotated[
    str, AfterValidator(lambda text: text if text == "*" else serialized_origin(text))
]
"""An origin as browsers serialize it, or `*`."""


class Settings(BaseSettings):
    """The settings of one edge; `PROTOWAY_` stands before each name in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="PROTOWAY_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    descriptor_set: Path
    """File with the contract: what `protoc --include_imports --include_source_info -o FILE` writes."""
    upstream: str = "127.0.0.1:50051"
    """Address of the gRPC server: HOST:PORT, or any name that gRPC resolves."""
    transport: Name = "wire"
    """Which gRPC carries the calls to the upstream: `wire`, which is `grpc_wire`, or `grpcio`."""
    upstream_keepalive_seconds: float = Field(default=300.0, ge=1)
    """After so long a silence the server is asked whether it is there. It must allow being asked so often."""
    upstream_tls: bool = False
    """Speak TLS to the upstream, trusting the CAs that gRPC knows. The four below turn it on too."""
    upstream_ca: Path | None = None
    """File with the CAs, in PEM, that the upstream's certificate is checked by."""
    upstream_certificate: Path | None = None
    """File with the edge's certificate for the upstream, in PEM."""
    upstream_key: Path | None = None
    """File with its private key, in PEM, without a password."""
    upstream_name: str | None = Field(default=None, min_length=1)
    """Name that the upstream's certificate must have, where it is not that of the address."""
    upstream_max_connections: int = Field(default=32, ge=1)
    """Most connections to the upstream. Another is opened before the streams on those open run out."""
    upstream_min_connections: int = Field(default=1, ge=1)
    """Connections that are opened after the first call, share the calls in turn, and stay open."""
    upstream_streams_per_connection: int | None = Field(default=None, ge=1)
    """Most calls on one connection; None is what the server allows, with `grpcio` 100."""
    upstream_idle_seconds: float = Field(default=60.0, gt=0)
    """A connection beyond the least number is closed after so long without calls."""
    upstream_unary_reserve: float = Field(default=0.1, ge=0, lt=1)
    """The part of all streams to the upstream that is kept for unary calls."""
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
    http_rules: Path | None = None
    """File with more HTTP rules: a `google.api.Service` in YAML. They win over the contract's own."""
    auto_mapping: bool = False
    """Serve methods without a rule too, at `POST /package.Service/Method`."""
    services: tuple[str, ...] = ()
    """Full names of the services to serve; none means all in the contract that have HTTP rules."""
    skip_faulty_rules: bool = False
    """Serve a contract without the rules that are wrong, each of which is logged, instead of refusing it."""
    health_path: OwnPath = "/healthz"
    """Path that answers whether the edge is alive; empty closes it. The contract cannot take it."""
    openapi_path: OwnPath = "/openapi.json"
    """Path of the OpenAPI document; empty closes it, and the two pages that show it."""
    docs_path: OwnPath = "/docs"
    """Path of the page that shows the document in Swagger UI; empty closes it."""
    redoc_path: OwnPath = "/redoc"
    """Path of the page that shows the document in ReDoc; empty closes it."""
    pages: DirectoryPath | None = None
    """Folder of static files to serve at `/`, beside the contract."""
    max_message_bytes: int = Field(default=4 * 1024 * 1024, gt=0, le=2**31 - 1)
    """Bytes of the largest message, so of the largest unary body too."""
    max_metadata_bytes: int = Field(default=8 * 1024, gt=0, le=2**31 - 1)
    """Bytes of the metadata that a request forwards, each counted with 32 more; more is 431."""
    max_upstream_metadata_bytes: int = Field(default=16 * 1024, ge=1024, le=2**31 - 1)
    """Bytes of initial metadata, or of trailers, that the server may send; more ends its call."""
    max_answer_header_bytes: int = Field(default=3 * 1024, ge=0)
    """Bytes of headers of an HTTP answer that are made of metadata; what does not fit is left out."""
    timeout_seconds: float | None = Field(default=60.0, gt=0)
    """The longest that a unary call may take. A caller may ask for less, with `grpc-timeout`."""
    heartbeat_seconds: float = Field(default=15.0, gt=0)
    """After so long without a message a stream shows that it lives."""
    send_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """A client that takes nothing of what it is sent for so long is cut."""
    retry_seconds: float = Field(default=2.0, gt=0)
    """After so long a reader of Server-Sent Events that was cut should come back."""
    max_feed_bytes: int = Field(default=8 * 1024 * 1024, gt=0)
    """Bytes of memory for what is kept of one stream, for readers that are slow or come back."""
    max_idle_feed_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    """Bytes of all streams that go on though nobody reads them, for readers that come back."""
    max_total_feed_bytes: int = Field(default=256 * 1024 * 1024, gt=0)
    """Bytes of all streams of which messages are kept, read or not."""
    max_feeds: int = Field(default=10_000, gt=0)
    """How many streams may be open of which messages are kept; equal requests share one."""
    max_caller_feed_bytes: int = Field(default=128 * 1024 * 1024, gt=0)
    """Bytes of those of one caller."""
    max_caller_feeds: int = Field(default=5_000, gt=0)
    """How many of them one caller may have."""
    caller_headers: tuple[RequestHeaderName, ...] = ("authorization",)
    """Request headers, of those that become metadata, that tell callers apart for the two limits above."""
    websocket_ping_seconds: float = Field(default=20.0, gt=0)
    """How often a WebSocket is pinged; a client that does not answer for as long again is given up."""
    websocket_idle_seconds: float | None = Field(default=None, gt=0)
    """After so long without a message either way a WebSocket is closed; None is never."""
    websocket_compression: bool = False
    """Compress WebSockets whose client offers it (permessage-deflate), for CPU and memory."""
    compression: bool = True
    """Compress answers of one message for callers that ask, by gzip or deflate."""
    compression_min_bytes: int = Field(default=1024, ge=0)
    """Bytes of the smallest answer that is compressed."""
    stream_compression: bool = False
    """Compress streams for callers that ask, each message by itself, for CPU and memory."""
    drain_seconds: float = Field(default=5.0, ge=0)
    """How long a shutdown waits for answers that are under way."""
    origins: tuple[Origin, ...] = ()
    """Origins, SCHEME://HOST[:PORT], whose pages may open a WebSocket beside the edge's own; `*` is any."""
    request_headers: tuple[RequestHeaderName, ...] = DEFAULT_REQUEST_HEADERS
    """Request headers that become metadata. `Grpc-Metadata-NAME` always does, as NAME."""
    response_headers: tuple[HeaderName, ...] = DEFAULT_RESPONSE_HEADERS
    """Initial metadata that becomes response headers."""
    www_authenticate: str = Field(default=DEFAULT_CHALLENGE, pattern=r"^[\x20-\x7e]*$")
    """The `WWW-Authenticate` of a 401 whose server gave none; empty: none."""
    http_status_key: str = Field(default=DEFAULT_STATUS_KEY, pattern=r"^[0-9A-Za-z_.-]*$")
    """Key of initial metadata that names the HTTP status of a success, 2xx or 3xx; empty: none."""
    ignore_unknown: bool = False
    """Let unknown JSON fields and query parameters pass, instead of answering 400."""
    show_debug_info: bool = False
    """Let `google.rpc.DebugInfo` in the details of an error pass to callers."""
    print_defaults: bool = False
    """Print fields without presence though they have their default value."""
    print_proto_names: bool = False
    """Name fields in JSON as the .proto does."""
    print_enum_numbers: bool = False
    """Print enums as numbers."""
    print_int64_numbers: bool = False
    """Print 64-bit integers as numbers."""
    log_level: str = Field(default="info", pattern="^(critical|error|warning|info|debug)$")
    """Least severe level that is logged: critical, error, warning, info or debug."""

    @model_validator(mode="after")
    def _own_paths_differ(self) -> Self:
        paths = [path for path in (getattr(self, name) for name in OWN_PATHS) if path]
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
