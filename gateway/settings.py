"""The settings of the edge: each is an option of `protoway serve` and an environment variable.

Rule: only this module and `gateway.health` read the environment. Each limit has a name, a default and a unit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    DirectoryPath,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.admission.authentication.api_key_settings import ApiKeySettings
from gateway.admission.authentication.jwt_settings import JwtSettings
from gateway.admission.authorizer.settings import AuthorizerSettings
from gateway.admission.certificates.settings import CertificateSettings
from gateway.admission.cors_settings import CorsSettings
from gateway.admission.limits.settings import LimitsSettings
from gateway.admission.overload.settings import OverloadSettings
from gateway.admission.proxy_settings import ProxySettings
from gateway.admission.rights.settings import RightsSettings
from gateway.admission.tickets.settings import TicketSettings
from gateway.contract.bindings import RpcMethods
from gateway.doors.viewer import FILES
from gateway.operations.readiness_settings import ReadinessSettings
from gateway.operations.sampling import SampleRule
from gateway.setting_groups import FILE_KEYS, FILE_SECTIONS
from gateway.setting_lists import list_added_to, list_from_text
from gateway.setting_sources import SourcedSettings
from gateway.setting_types import HeaderName, OwnPath, RequestHeaderName, RootPath
from gateway.store.settings import StoreSettings
from gateway.transcoding.metadata import (
    DEFAULT_CHALLENGE,
    DEFAULT_REQUEST_HEADERS,
    DEFAULT_RESPONSE_HEADERS,
    DEFAULT_STATUS_KEY,
)
from gateway.upstream.transport import Name
from gateway.upstream_settings import UpstreamSettings, checked_upstreams
from server_process.log_lines import AccessLogForm

PREFIX: Final = "PROTOWAY_"
"""Prefix of the environment variables."""

HEALTH_PATHS: Final = ("health_path", "live_path", "ready_path", "startup_path")
"""Settings that name the paths which are open to anybody."""
OWN_PATHS: Final[tuple[str, ...]] = (*HEALTH_PATHS, "openapi_path", "docs_path")
"""Settings that name the paths which the edge answers itself."""

NO_CONTRACT: Final = "no_contract"
"""Type of the error of settings that name no contract."""

DEFAULT_CALLER_HEADERS: Final = ("authorization",)


class Settings(SourcedSettings):
    """The settings of one edge. The environment variable of a setting is its name behind `PROTOWAY_`."""

    variable_prefix = PREFIX
    file_sections = FILE_SECTIONS
    file_keys = FILE_KEYS
    needs_contract: ClassVar[bool] = True
    """Whether settings without a source of a contract are wrong."""

    descriptor_set: Path | None = None
    """Path of the contract: what `protoc --include_imports --include_source_info -o FILE` writes."""
    sources: Annotated[tuple[str, ...], BeforeValidator(list_from_text)] = ()
    """Sources of the contract: .proto files, folders, descriptor sets, `reflect:ADDRESS`, `git:REV:PATH`."""
    proto_paths: Annotated[tuple[Path, ...], BeforeValidator(list_from_text)] = ()
    """Folders in which imports of .proto files are looked for, before the folder of the source itself."""
    reflect: bool = False
    """Read the contract from the upstream, by gRPC's reflection."""
    reflect_wait_seconds: float = Field(default=60.0, ge=0, le=86_400)
    """Maximum time that a start waits for servers whose reflection is read."""
    reflect_poll_seconds: float | None = Field(default=30.0, gt=0, le=86_400)
    """Interval at which reflection is read again; None: never."""
    http_rules: Path | None = None
    """Path of a YAML file (`google.api.Service`) with HTTP rules. They replace a method's own rule."""
    auto_mapping: bool = False
    """Also serve methods without an HTTP rule, at `POST /package.Service/Method`."""
    rpc: RpcMethods = "contract"
    """Methods that gRPC, gRPC-Web and Connect reach: `contract`, `annotated`, `upstream` or `off`."""
    services: Annotated[tuple[str, ...], BeforeValidator(list_from_text)] = ()
    """Full names of the services to serve; none: all services that have HTTP rules."""
    skip_faulty_rules: bool = False
    """Leave out HTTP rules that are wrong, and log each, instead of refusing to start."""
    reload: bool = False
    """Look for changes of the contract, and serve it from then on, without a restart."""
    reload_seconds: float = Field(default=1.0, gt=0, le=3600)
    """Interval of these looks. A change is taken when the files have stayed the same for one."""
    on_breaking: Literal["refuse", "warn", "allow"] = "refuse"
    """What a reload does with a contract that breaks callers of the one in force."""

    upstream: str = "127.0.0.1:50051"
    """Address of the gRPC server: HOST:PORT, unix:PATH, or another name that gRPC resolves."""
    transport: Name = "wire"
    """gRPC implementation that calls the upstream: `wire`, which is `grpc_wire`, or `grpcio`."""
    upstream_tls: bool = False
    """Use TLS to the upstream, with gRPC's default CAs. Each of the next four settings turns TLS on too."""
    upstream_ca: Path | None = None
    """PEM file with the CAs that verify the upstream's certificate."""
    upstream_certificate: Path | None = None
    """PEM file with the client certificate that the edge sends to the upstream."""
    upstream_key: Path | None = None
    """PEM file with the private key of the client certificate, without a password."""
    upstream_name: str | None = Field(default=None, min_length=1)
    """Name in the upstream's certificate, if it is not the host of the address."""
    upstream_keepalive_seconds: float = Field(default=300.0, ge=1)
    """Interval of keepalive pings on a silent connection. The server must allow pings this often."""
    upstream_max_connections: int = Field(default=32, ge=1)
    """Maximum connections. One more is opened before all streams of the others are taken."""
    upstream_min_connections: int = Field(default=1, ge=1)
    """Minimum connections, opened at the first call and kept open. Calls use them in turn."""
    upstream_streams_per_connection: int | None = Field(default=None, ge=1)
    """Maximum concurrent calls per connection; None: the server's limit, with `grpcio` 100."""
    upstream_idle_seconds: float = Field(default=60.0, gt=0)
    """Time without calls after which a connection above the minimum is closed."""
    upstream_unary_reserve: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of all streams that is reserved for unary calls."""

    upstreams: Annotated[tuple[UpstreamSettings, ...], AfterValidator(checked_upstreams)] = ()
    """Servers that take some of the methods; the others go to `upstream`."""

    host: str = "127.0.0.1"
    """Addresses to listen on, with commas between: hosts (`::`: all), `unix:PATH`, `fd:N`, `systemd`."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0: a free one."""
    workers: int = Field(default=1, ge=1)
    """Number of processes that serve. Each has its own connections, shared streams and limits."""
    tls_certificate: Path | None = None
    """PEM file with the edge's certificate and its intermediate CAs. HTTPS is served if it is set."""
    tls_key: Path | None = None
    """PEM file with the private key of the certificate, without a password."""
    tls_client_ca: Path | None = None
    """PEM file with the CAs of client certificates. Clients are asked for one if it is set."""
    tls_client_certificates: Literal["required", "optional"] = "required"
    """`required`: no connection without a client certificate. `optional`: without one too."""
    tls_check_seconds: float = Field(default=5.0, gt=0, le=3600)
    """Interval in which files of certificates, keys and CAs are looked at; changed ones are read again."""
    hsts: str = Field(
        default="", pattern=r"^(max-age=\d{1,10}(; includeSubDomains)?(; preload)?)?$"
    )
    """`Strict-Transport-Security` of each response over TLS, as `max-age=31536000`; empty: none."""
    drain_delay_seconds: float = Field(default=0.0, ge=0, le=3600)
    """Time from the begin of a shutdown, when readiness falls, to its end of accepting connections."""
    drain_seconds: float = Field(default=5.0, ge=0)
    """Maximum time that a shutdown waits for responses in progress."""
    log_level: str = Field(default="info", pattern="^(critical|error|warning|info|debug)$")
    """Lowest level that is logged: critical, error, warning, info or debug."""
    log_format: Literal["text", "json"] = "text"
    """Form of the program's log lines on stderr: text, or a JSON object a line."""
    log_config: Path | None = None
    """JSON or YAML file for `logging.config.dictConfig`, in place of the two settings above."""

    access_log: AccessLogForm = "auto"
    """A line for each request when it ends. `auto`: text on a terminal, else JSON; `off`: none."""
    access_log_path: Path | None = None
    """File that the lines are appended to, opened anew when it was moved away. None: standard output."""
    access_log_raw_path: bool = False
    """Write the path as it came too, without its query. Paths may hold names and keys of callers."""
    access_log_progress_minutes: float | None = Field(default=None, gt=0)
    """Interval at which a stream that goes on writes a line of its progress; None: none."""
    access_log_sample: Annotated[tuple[SampleRule, ...], BeforeValidator(list_from_text)] = ()
    """Rules `PATTERN=FRACTION`, as `2xx=0.1`, `package.Service/*=0.01` or `/healthz=0`; the first counts.

    A pattern is a status below 400, a method or a path template. Errors are always written.
    """

    traces: bool = False
    """Send spans of requests and calls by OpenTelemetry. The variables `OTEL_…` say how and where to."""

    max_connections: int | None = Field(default=None, gt=0, le=2**31 - 1)
    """Maximum client connections of a process; more are 503. None is as many as the system allows files."""
    max_connections_per_address: int | None = Field(default=None, gt=0)
    """Maximum connections of one client address and process; more are answered 429. None is no limit."""
    max_head_bytes: int = Field(default=64 * 1024, ge=1024, le=2**31 - 1)
    """Maximum bytes of a request line with its headers, and of trailers; beyond it 414 or 431."""
    max_headers: int = Field(default=100, ge=1)
    """Maximum headers of a request, and maximum trailers; beyond it 431."""
    head_timeout_seconds: float = Field(default=20.0, gt=0)
    """Maximum duration of a head, from its first byte; of the first one, from the start of the connection."""
    body_timeout_seconds: float = Field(default=60.0, gt=0)
    """Maximum time between two parts of a body, until its answer starts; beyond it 408."""
    keep_alive_seconds: float = Field(default=75.0, gt=0)
    """A connection without a request for so long is closed; longer than a load balancer keeps it."""
    http2: bool = True
    """Serve HTTP/2 beside HTTP/1.1 on the same port: over TLS by ALPN, in clear text by prior knowledge."""
    http2_max_streams: int = Field(default=100, ge=1, le=2**31 - 1)
    """Maximum requests at the same time on one connection of HTTP/2. Each stream is one."""
    tls_handshake_seconds: float = Field(default=15.0, gt=0)
    """Maximum duration of a TLS handshake."""

    proxies: ProxySettings = ProxySettings()
    """Proxies in front of the edge."""

    root_path: RootPath = ""
    """Prefix that a proxy in front serves the edge below, as `/api`; the proxy may pass it on or strip it."""
    health_path: OwnPath = "/healthz"
    """Path of the health check, which says whether the edge is alive; empty: none."""
    live_path: OwnPath = "/livez"
    """Path that says the same, as Kubernetes names it; empty: none."""
    ready_path: OwnPath = "/readyz"
    """Path that says whether the edge is ready for calls; empty: none."""
    startup_path: OwnPath = "/startupz"
    """Path that says whether the edge has started; empty: none."""
    openapi_path: OwnPath = "/openapi.json"
    """Path of the OpenAPI document; empty: no document, and no page that shows it."""
    docs_path: OwnPath = "/docs"
    """Path of the page that shows the document; its files are below it; empty: none."""
    pages: DirectoryPath | None = None
    """Folder of static files, served at `/` where no route matches."""

    max_message_bytes: int = Field(default=4 * 1024 * 1024, gt=0, le=2**31 - 1)
    """Maximum size of a message, and so of a unary body. A larger one is answered with 413."""
    timeout_seconds: float | None = Field(default=60.0, gt=0)
    """Maximum duration of a unary call. A caller may ask for less, with `grpc-timeout`."""
    send_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """Time without progress after which a client that does not read is disconnected."""
    ignore_unknown: bool = False
    """Ignore unknown JSON fields, enum names and query parameters, instead of answering 400."""
    show_debug_info: bool = False
    """Send `google.rpc.DebugInfo` in the details of an error to callers."""

    request_headers: Annotated[
        tuple[RequestHeaderName, ...], BeforeValidator(list_added_to(DEFAULT_REQUEST_HEADERS))
    ] = DEFAULT_REQUEST_HEADERS
    """More request headers that become metadata; `none` first: only these, without the defaults.

    `Grpc-Metadata-NAME` always becomes metadata, as NAME.
    """
    response_headers: Annotated[
        tuple[HeaderName, ...], BeforeValidator(list_added_to(DEFAULT_RESPONSE_HEADERS))
    ] = DEFAULT_RESPONSE_HEADERS
    """More keys of initial metadata that become response headers; `none` first: only these."""
    max_metadata_bytes: int = Field(default=8 * 1024, gt=0, le=2**31 - 1)
    """Maximum size of request metadata: of each entry name, value and 32 bytes. More is 431."""
    max_upstream_metadata_bytes: int = Field(default=16 * 1024, ge=1024, le=2**31 - 1)
    """Maximum size of the server's initial metadata, and of its trailers, counted the same way."""
    max_answer_header_bytes: int = Field(default=3 * 1024, ge=0)
    """Maximum size of the response headers made of metadata. Headers beyond it are left out."""
    www_authenticate: str = Field(default=DEFAULT_CHALLENGE, pattern=r"^[\x20-\x7e]*$")
    """`WWW-Authenticate` of a 401 if the server sent none; empty: none."""
    http_status_key: str = Field(default=DEFAULT_STATUS_KEY, pattern=r"^[0-9A-Za-z_.-]*$")
    """Key of initial metadata with the HTTP status of a success, 2xx or 3xx; empty: none."""

    print_defaults: bool = False
    """Print fields without presence even if they have their default value."""
    print_proto_names: bool = False
    """Use the field names of the .proto in JSON."""
    print_enum_numbers: bool = False
    """Print enums as numbers."""
    print_int64_numbers: bool = False
    """Print 64-bit integers as numbers."""

    compression: bool = True
    """Compress responses of one message, by gzip or deflate, for callers that accept it."""
    min_compression_bytes: int = Field(default=1024, ge=0)
    """Minimum size of a response that is compressed."""
    stream_compression: bool = False
    """Compress streams for callers that accept it. Each message is flushed."""
    websocket_compression: bool = False
    """Compress WebSocket messages (permessage-deflate) for clients that offer it."""

    heartbeat_seconds: float = Field(default=15.0, gt=0)
    """Interval of heartbeats on a stream without messages."""
    retry_seconds: float = Field(default=2.0, gt=0)
    """Reconnection time of Server-Sent Events (`retry`)."""
    max_feed_bytes: int = Field(default=8 * 1024 * 1024, gt=0)
    """Maximum memory for the buffered messages of one stream, for slow and reconnecting readers."""
    max_idle_feed_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    """Maximum memory of all buffered streams without readers. Beyond it the oldest ones end."""
    max_total_feed_bytes: int = Field(default=256 * 1024 * 1024, gt=0)
    """Maximum memory of all buffered streams."""
    max_feeds: int = Field(default=10_000, gt=0)
    """Maximum number of buffered streams. Equal requests for a shared stream count once."""
    max_caller_feed_bytes: int = Field(default=128 * 1024 * 1024, gt=0)
    """Maximum memory of the buffered streams of one caller."""
    max_caller_feeds: int = Field(default=5_000, gt=0)
    """Maximum number of buffered streams of one caller."""
    caller_headers: Annotated[
        tuple[RequestHeaderName, ...], BeforeValidator(list_added_to(DEFAULT_CALLER_HEADERS))
    ] = DEFAULT_CALLER_HEADERS
    """More request headers that identify a caller for the two limits above; `none` first: only these.

    They must be among `request_headers`. Callers without any of them are identified by their addresses.
    """

    websocket_ping_seconds: float = Field(default=20.0, gt=0)
    """Interval of pings. A client that has not answered by the next ping is disconnected."""
    websocket_small_frames: int = Field(default=100, ge=1)
    """Maximum pings, pongs and fragments under 64 bytes a second, and ten times as many at once."""
    websocket_idle_seconds: float | None = Field(default=None, gt=0)
    """Time without a message in either direction after which a WebSocket is closed; None: never."""

    admin_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of the admin listener: `/metrics` and the admin page; 0: a free one; None: there is none."""
    admin_host: str = "127.0.0.1"
    """Addresses of the admin listener, as those of `host`. Whoever reaches them needs no credentials."""

    cors: CorsSettings = CorsSettings()
    jwt: JwtSettings = JwtSettings()
    """Tokens."""
    api_keys: ApiKeySettings = ApiKeySettings()
    """API keys."""
    client_certificates: CertificateSettings = CertificateSettings()
    """Client certificates as identities."""
    tickets: TicketSettings = TicketSettings()
    """Tickets for EventSource and WebSocket."""
    rights: RightsSettings = RightsSettings()
    """Who may call what."""
    authorizer: AuthorizerSettings = AuthorizerSettings()
    """An external authorizer."""
    limits: LimitsSettings = LimitsSettings()
    """How much callers may ask for."""
    overload: OverloadSettings = OverloadSettings()
    """How much is under way at a time, whoever asks."""
    store: StoreSettings = StoreSettings()
    """A store that replicas share."""
    readiness: ReadinessSettings = ReadinessSettings()
    """What decides whether the edge is ready."""

    @classmethod
    def every_setting(cls) -> type[SourcedSettings]:
        """All commands read the same variables and files."""
        return EnvoySettings

    @model_validator(mode="after")
    def _names_a_contract(self) -> Self:
        if self.needs_contract and not self.has_contract():
            raise PydanticCustomError(NO_CONTRACT, "no contract is named")
        return self

    def has_contract(self) -> bool:
        """Whether a source of a contract is named."""
        return self.descriptor_set is not None or bool(self.sources) or self.reflect

    def contract_words(self) -> str:
        """Returns what the contract is read from, in a few words."""
        first = [] if self.descriptor_set is None else [str(self.descriptor_set)]
        last = [f"the reflection of {self.upstream}"] if self.reflect else []
        return ", ".join((*first, *self.sources, *last))

    @model_validator(mode="after")
    def _own_paths_differ(self) -> Self:
        paths = [path for path in (getattr(self, name) for name in OWN_PATHS) if path]
        paths += self._docs_paths()[1:]
        names = OWN_PATHS
        if self.tickets.enabled:
            paths.append(self.tickets.path)
            names += ("tickets_path",)
        if len(set(paths)) < len(paths):
            raise ValueError(f"no two of {', '.join(names)} can be the same")
        return self

    @model_validator(mode="after")
    def _cors_headers_have_one_source(self) -> Self:
        both = [n for n in self.response_headers if n.lower().startswith("access-control-")]
        if both and self.cors.origins:
            names = ", ".join(both)
            raise ValueError(f"response_headers: {names} is what the settings cors_… are for")
        return self

    def own_paths(self) -> dict[str, str]:
        """Returns the paths that the edge answers itself -> the setting that moves or closes each."""
        paths = [(getattr(self, name), name) for name in HEALTH_PATHS]
        if self.tickets.enabled:
            paths.append((self.tickets.path, "tickets_path"))
        if self.openapi_path:
            paths.append((self.openapi_path, "openapi_path"))
            paths += [(path, "docs_path") for path in self._docs_paths()]
        return {path: name for path, name in paths if path}

    def health_paths(self) -> frozenset[str]:
        """Returns the paths of the health checks, which are open to anybody."""
        return frozenset(path for path in (getattr(self, name) for name in HEALTH_PATHS) if path)

    def posted_paths(self) -> frozenset[str]:
        """Returns those of them that take POST."""
        return frozenset({self.tickets.path} if self.tickets.enabled else ())

    def _docs_paths(self) -> list[str]:
        page = self.docs_path
        return [page, *(f"{page}/{name}" for name in FILES)] if page else []

    @field_validator("upstream_min_connections")
    @classmethod
    def _check_connections(cls, least: int, others: ValidationInfo) -> int:
        most = others.data.get("upstream_max_connections", least)
        if least > most:
            raise ValueError(f"is more than upstream_max_connections, which is {most}")
        return least


class AnySettings(Settings):
    """The settings of an edge, where no contract has to be among them."""

    needs_contract = False


class EnvoySettings(Settings):
    """The settings of an edge, and those that only Envoy has."""

    port: int = Field(default=8081, ge=1, le=65535)
    """Port to listen on."""
    admin_port: int = Field(default=9901, ge=1, le=65535)
    """Port of Envoy's own admin pages, on 127.0.0.1 only."""
    max_connections: int = Field(default=10_000, gt=0, le=2**31 - 1)
    """Maximum client connections, and maximum concurrent calls to the upstream."""
    descriptor_set_out: Path | None = None
    """File to write Envoy's descriptor set to: the contract without what Envoy refuses."""
    descriptor_set_path: str | None = None
    """Path at which Envoy finds its descriptor set; None: where it was read or written here."""
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Port on which `host` serves Envoy's `/stats/prometheus`, and nothing else; None: there is none."""


def names_uvicorns_proxies() -> bool:
    """Whether uvicorn's variable for trusted proxies is set, which `protoway serve` does not read."""
    return "FORWARDED_ALLOW_IPS" in os.environ
