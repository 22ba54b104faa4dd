"""Settings of CORS: which pages of other origins may call the edge, and open its WebSockets."""

from __future__ import annotations

from typing import Final

from pydantic import Field, ValidationInfo, field_validator

from gateway.sections import Section
from gateway.setting_types import HeaderName, Origin

_MAX_AGE: Final = 86_400
"""Seconds; no browser remembers an answer for longer."""


class CorsSettings(Section):
    """Section `cors` of the settings."""

    origins: tuple[Origin, ...] = ()
    """Origins whose pages may call the edge and open WebSockets; `https://*.HOST`: all below it; `*`: any."""
    credentials: bool = False
    """Let these pages send cookies and client certificates; not with `*`."""
    headers: tuple[HeaderName, ...] = ()
    """More request headers that these pages may send."""
    exposed_headers: tuple[HeaderName, ...] = ()
    """More response headers that these pages may read."""
    max_age_seconds: int = Field(default=600, ge=0, le=_MAX_AGE)
    """How long a browser may remember the answer to a preflight request."""
    private_network: bool = False
    """Let public pages call an edge in a private network, where their browser asks for that."""

    @field_validator("credentials")
    @classmethod
    def _check_credentials(cls, allowed: bool, others: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic passes it
        if allowed and "*" in others.data.get("origins", ()):
            raise ValueError("not with *, which is every origin: list the origins instead")
        return allowed
