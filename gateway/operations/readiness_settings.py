"""The section `readiness`: what decides whether an edge is ready."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ReadinessSettings(BaseModel):
    """What a readiness check asks the upstream."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    upstream: bool = True
    """An edge is ready only if its upstream answers."""
    service: str = Field(default="", max_length=1024)
    """Name that `grpc.health.v1` of the upstream is asked about; empty: the whole server."""
    timeout_seconds: float = Field(default=2.0, gt=0, le=60)
    """Maximum time that the upstream has to answer a readiness check."""
