"""The settings of the core, from the environment.

Rule: every default suits a developer on one machine, and a wrong value stops the start.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from grpc_core.callers import read_rules
from grpc_core.transport import TransportName
from server_process.log_lines import AccessLogForm
from server_process.variables import unknown_names, unknown_variables

PREFIX = "CORE_"
"""Prefix of the environment variables."""
_OTHERS = ("TLS_PORT",)
"""Variables with the prefix that `docker compose` reads, and not the core."""

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ECB = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml"
"""The reference rates of the newest day."""


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ValueError("must be https://HOST/PATH")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError("must be https: whoever is on the way could name rates")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must have no user and no password, which the log would show")
    return url


def _in_a_folder(path: Path) -> Path:
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is no folder")
    return path


class Settings(BaseSettings):
    """The settings of the core. `CORE_PORT` sets `port`, and so on; an empty variable counts as unset.

    Attributes:
        host: Address to listen on. The default is reachable only from the same machine, because the core
            does not authenticate callers; in a container it is `0.0.0.0` or `::`.
        port: TCP port to listen on; 0: a free one.
        transport: gRPC implementation: `wire`, which is `grpc_wire`, or `grpcio`.
        workers: Number of processes that serve. All have the same rates at the same tick.
        tls_certificate: PEM file with the certificate of the core and its intermediate CAs.
        tls_key: PEM file with the private key of the certificate.
        tls_client_ca: PEM file with the CAs of client certificates. A client without one is refused.
        allowed_callers: Rules `SERVICE=CALLER,CALLER` with spaces between; others are denied. Empty: all may.
        tls_check: Seconds between two looks at these files. Changed ones are read again.
        rates: `bundled`: the reference rates that came with a package. `ecb`: those that the ECB publishes.
        rates_url: Where the ECB's file is; `https`, or `http` on this machine.
        rates_file: File in which the last good rates are kept. None: they are not.
        rates_poll: Seconds between two fetches, a fifth more or less.
        rates_timeout: Maximum seconds of a fetch.
        rates_max_age: Age in seconds from which rates are not served: calls are UNAVAILABLE.
        rates_max_jump: Maximum change of a rate from one day to the next; 0.5: half as much again.
        ticker: `on`: rates move, simulated around the reference rates. `off`: the reference rates. `auto`:
            `on` for bundled rates.
        tick_period: Seconds between two moves of the rates.
        seed: Seed of the simulated moves. The same seed gives the same moves.
        drain_delay: Seconds after SIGTERM or SIGINT in which the health is NOT_SERVING and calls are still
            served, so that clients and load balancers can look away.
        shutdown_grace: Seconds that running calls have to finish after SIGTERM or SIGINT.
        max_connection_age: Seconds after which a connection takes no new calls (GOAWAY), so clients look
            the name up again; running calls finish. Up to a tenth more or less. None: no limit.
        max_message_bytes: Maximum size of a request message.
        max_metadata_bytes: Maximum size of request metadata, as HTTP/2 counts header fields.
        log_level: Lowest level that is logged.
        log_format: Form of the log lines: `text`, or `json`, an object a line.
        access_log: A line for each call when it ends. `auto`: text on a terminal, else JSON; `off`: none.
        access_log_path: File that the lines are appended to. None: standard output.
        traces: Send spans of calls by OpenTelemetry. The variables `OTEL_…` say how and where to.
        metrics_host: Address on which `/metrics` is served.
        metrics_port: TCP port for it; 0: a free one; None: it is not served.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port = 50051
    transport: TransportName = "wire"
    workers: Annotated[int, Field(ge=1)] = 1
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    allowed_callers: Annotated[
        Mapping[str, frozenset[str]], NoDecode, BeforeValidator(read_rules)
    ] = {}
    tls_check: Annotated[float, Field(gt=0, le=3600)] = 5.0
    rates: Literal["bundled", "ecb"] = "bundled"
    rates_url: Annotated[str, AfterValidator(_checked_url)] = ECB
    rates_file: Annotated[Path, AfterValidator(_in_a_folder)] | None = None
    rates_poll: Annotated[float, Field(ge=1, le=1800)] = 300.0
    rates_timeout: Annotated[float, Field(gt=0, le=600)] = 10.0
    rates_max_age: Annotated[float, Field(gt=0, le=31 * 86400)] = 6 * 86400.0
    rates_max_jump: Annotated[float, Field(gt=0, le=100)] = 0.5
    ticker: Literal["auto", "on", "off"] = "auto"
    tick_period: Seconds = 1.0
    seed: int = 0
    drain_delay: Annotated[float, Field(ge=0, le=3600)] = 0.0
    shutdown_grace: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    max_connection_age: Annotated[float, Field(ge=1, le=86400)] | None = None
    max_message_bytes: Annotated[int, Field(ge=1, le=2**31 - 1)] = 4 * 1024 * 1024
    max_metadata_bytes: Annotated[int, Field(ge=1024, le=2**31 - 1)] = 16 * 1024
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    access_log: AccessLogForm = "auto"
    access_log_path: Path | None = None
    traces: bool = False
    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    metrics_port: Port | None = None

    @property
    def simulates(self) -> bool:
        """Whether rates move around the reference rates."""
        return self.ticker == "on" or (self.ticker == "auto" and self.rates == "bundled")

    @property
    def has_metrics(self) -> bool:
        """Whether metrics are served."""
        return self.metrics_port is not None

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and (problems := unknown_names(data, cls.model_fields)):
            raise ValueError("; ".join(problems))
        if problems := unknown_variables(os.environ, PREFIX, cls.model_fields, _OTHERS):
            raise ValueError("; ".join(problems))
        return data
