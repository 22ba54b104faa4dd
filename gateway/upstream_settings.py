"""The list `upstreams` of the settings: servers beside the default one, each with the methods that it takes.

Rule: what is wrong with one entry alone, or with two beside each other, is found here; what does not fit the
contract, when the upstreams are made (`gateway.upstreams`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from google.protobuf.descriptor_pb2 import MethodOptions
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from gateway.contract.method import Method
from gateway.contract.method_patterns import PATTERN, fitting_prefix, prefix_of
from gateway.sections import Section
from gateway.setting_types import RequestHeaderName
from gateway.upstream.options import DEFAULT_CONNECT_TIMEOUT

DEFAULT_NAME: Final = "default"
"""What the server of the setting `upstream` is called in metrics and reports."""


def _several(value: Any) -> Any:
    """Takes one text for a list of one."""
    return (value,) if isinstance(value, str) else value


Texts = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    Field(min_length=1),
    BeforeValidator(_several),
]
"""One text, or a list, which is not empty."""

MethodPattern = Annotated[str, Field(pattern=PATTERN)]


def _no_binary(key: str) -> str:
    if key.lower().endswith("-bin"):
        raise ValueError("is binary metadata, and the value is text")
    return key.lower()


class AddedMetadata(Section):
    """One entry of metadata that all calls to an upstream have. Callers cannot send another one."""

    key: Annotated[RequestHeaderName, AfterValidator(_no_binary)]
    """Its key."""
    value: SecretStr | None = None
    """Its value."""
    value_file: Path | None = None
    """File that holds the value, which is read at the start."""

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if self.value is None and self.value_file is None:
            raise ValueError("has no value; give value or value_file")
        return self


Code: TypeAlias = Literal[
    "CANCELLED",
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "INTERNAL",
    "UNAVAILABLE",
]
"""Statuses that another attempt may mend."""


class RetrySettings(Section):
    """When a call is made again: gRPC's `retryPolicy` and `retryThrottling` (A6)."""

    methods: Annotated[tuple[MethodPattern, ...], BeforeValidator(_several)] = ()
    """Methods that may be called twice, beside those whose `idempotency_level` says so."""
    max_attempts: int = Field(default=3, ge=2, le=5)
    """Maximum attempts of one call, the first one among them."""
    initial_backoff_seconds: float = Field(default=0.1, gt=0, le=60)
    """Time before the first retry; it varies by a fifth."""
    max_backoff_seconds: float = Field(default=1.0, gt=0, le=600)
    """Maximum time before a retry."""
    backoff_multiplier: float = Field(default=2.0, ge=1, le=10)
    """How much longer the time is before each further retry."""
    retryable_status_codes: Annotated[
        tuple[Code, ...], Field(min_length=1), BeforeValidator(_several)
    ] = ("UNAVAILABLE",)
    """Statuses after which a call is made again."""
    max_tokens: float = Field(default=10.0, gt=0, le=1000)
    """Budget. A failure takes one token away; with half of them or fewer nothing is retried."""
    token_ratio: float = Field(default=0.1, gt=0, le=1)
    """Tokens that a success adds: the share of calls that may be retries while failures go on."""

    def is_safe(self, method: Method) -> bool:
        """Whether a method may be called twice: the contract says so, or a rule does."""
        said = method.descriptor.GetOptions().idempotency_level
        if said != MethodOptions.IDEMPOTENCY_UNKNOWN:
            return True
        prefixes = frozenset(map(prefix_of, self.methods))
        return fitting_prefix(method.full_name, prefixes) is not None


class EjectionSettings(Section):
    """When one of several addresses takes no calls for a while."""

    consecutive_failures: int = Field(default=5, ge=1)
    """Calls in a row that end with UNAVAILABLE, after which an address is ejected."""
    slow_seconds: float | None = Field(default=None, gt=0)
    """Duration of a unary call from which it is slow; None: none is."""
    consecutive_slow: int = Field(default=5, ge=1)
    """Slow calls in a row after which an address is ejected."""
    seconds: float = Field(default=10.0, gt=0, le=3600)
    """Time of the first ejection. The second one lasts twice as long, and so on."""
    max_seconds: float = Field(default=300.0, gt=0, le=86_400)
    """Maximum time of an ejection."""
    max_share: float = Field(default=0.5, gt=0, lt=1)
    """Maximum part of the addresses that is ejected at the same time, but one may always be."""
    slow_start_seconds: float = Field(default=10.0, ge=0, le=3600)
    """Time in which an address that has returned comes to its full share of the calls."""


class UpstreamSettings(Section):
    """One server, or several that serve the same, and the methods that go there."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    """What it is called in metrics, reports and log lines."""
    methods: Annotated[tuple[MethodPattern, ...], Field(min_length=1), BeforeValidator(_several)]
    """Patterns of the methods that it takes; the longest one that fits counts."""
    addresses: Texts
    """Addresses, each as that of `upstream`. Calls go to them in turn."""
    transport: Literal["wire", "grpcio"] = "wire"
    """gRPC implementation that calls it."""
    tls: bool = False
    """Use TLS, with gRPC's default CAs. Each of the next four settings turns TLS on too."""
    ca: Path | None = None
    """PEM file with the CAs that verify its certificate."""
    certificate: Path | None = None
    """PEM file with the client certificate that the edge sends to it."""
    key: Path | None = None
    """PEM file with the private key of the client certificate, without a password."""
    server_name: str | None = Field(default=None, min_length=1)
    """Name in its certificate, if it is not the host of the address."""
    connect_timeout_seconds: float = Field(default=DEFAULT_CONNECT_TIMEOUT, ge=0.1, le=600)
    """Maximum duration of an attempt to connect, with the TLS handshake."""
    timeout_seconds: float | None = Field(default=None, gt=0)
    """Maximum duration of a unary call, where the edge's own allows more; None: the edge's own."""
    max_connections: int = Field(default=32, ge=1)
    """Maximum connections to each address."""
    max_calls: int | None = Field(default=None, ge=1)
    """Maximum unary calls at the same time; more are answered 503. None: no limit."""
    max_streams: int | None = Field(default=None, ge=1)
    """Maximum streaming calls at the same time; more are answered 503. None: no limit."""
    metadata: tuple[AddedMetadata, ...] = ()
    """Metadata that each call to it has."""
    balance: Literal["round_robin", "least_outstanding"] = "round_robin"
    """Which address a call goes to: the next one, or the one with the fewest calls under way."""
    ejection: EjectionSettings | None = None
    """Leave out addresses whose calls fail or are slow; None: all take calls, always."""
    retry: RetrySettings | None = None
    """Make calls again that fail, where that is safe; None: no call is made twice."""
    required: bool = False
    """The edge is ready only if it answers. Otherwise `/readyz` tells its state, and stays 200."""

    @model_validator(mode="after")
    def _ejects_one_of_several(self) -> Self:
        if self.ejection is not None and len(self.addresses) < 2:
            raise ValueError("ejection needs several addresses: the only one is never left out")
        return self

    @property
    def has_tls(self) -> bool:
        """Whether it is called over TLS."""
        return bool(self.tls or self.ca or self.certificate or self.key or self.server_name)


def checked_upstreams(upstreams: Sequence[UpstreamSettings]) -> Sequence[UpstreamSettings]:
    """Returns the list, of which no two entries have one name or take one pattern.

    Raises:
        ValueError: two have.
    """
    names: set[str] = {DEFAULT_NAME}
    taken: dict[str, str] = {}
    for each in upstreams:
        if each.name in names:
            raise ValueError(f"the name {each.name!r} is taken")
        names.add(each.name)
        for pattern in each.methods:
            other = taken.setdefault(prefix_of(pattern), each.name)
            if other != each.name:
                raise ValueError(f"{pattern!r} is taken by both {other} and {each.name}")
    return upstreams
