"""The section `authorizer` of the settings: which program decides about requests, and what it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gateway.sections import Section
from gateway.setting_lists import list_added_to
from gateway.setting_types import HeaderName, RequestHeaderName
from gateway.upstream.target import fault_of

DEFAULT_HEADERS = ("accept", "content-type", "origin", "traceparent", "tracestate", "user-agent")


class AuthorizerSettings(Section):
    """An external authorizer; none is asked unless one of the first two is set."""

    grpc: str | None = None
    """HOST:PORT of an authorizer with Envoy's `envoy.service.auth.v3.Authorization` (ext_authz)."""
    http: str | None = None
    """URL of an authorizer that answers a GET with 2xx to allow a request."""
    tls: bool = False
    """Use TLS to the gRPC authorizer. `authorizer_ca` turns it on too."""
    ca: Path | None = None
    """PEM file with the CAs that verify the authorizer's certificate."""
    timeout_seconds: float = Field(default=0.2, gt=0, le=60)
    """Maximum duration of a decision, connecting included."""
    on_failure: Literal["deny", "allow"] = "deny"
    """What happens to requests while the authorizer gives no decision: `deny` (503) or `allow`."""
    headers: Annotated[tuple[HeaderName, ...], BeforeValidator(list_added_to(DEFAULT_HEADERS))] = (
        DEFAULT_HEADERS
    )
    """More request headers that the authorizer sees; `none` first: only these. Credentials must be listed."""
    metadata: tuple[RequestHeaderName, ...] = ()
    """Headers of the authorizer's answer that go upstream as metadata, and that clients cannot send."""
    cache_seconds: float = Field(default=0.0, ge=0, le=3600)
    """Time for which a decision holds for equal requests, at most until the credentials end; 0: none."""
    max_cached: int = Field(default=10_000, ge=1, le=1_000_000)
    """Maximum number of decisions in the cache. Beyond it the oldest is dropped."""

    @field_validator("grpc")
    @classmethod
    def _check_target(cls, target: str | None) -> str | None:
        if target is not None and (fault := fault_of(target)):
            raise ValueError(fault)
        return target

    @field_validator("http")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
                raise ValueError("is no URL of an HTTP server: write http://HOST:PORT/PATH")
            if parts.username is not None or parts.password is not None:
                raise ValueError("has a password in it, which would be logged")
        return url

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.grpc is not None and self.http is not None:
            raise ValueError("authorizer_grpc and authorizer_http: give one of them")
        return self
