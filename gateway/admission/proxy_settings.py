"""The section `proxies` of the settings: which proxies stand in front, and what of them is believed."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.admission.networks import checked_network
from gateway.sections import Section

FORWARDED_KEYS: Final = frozenset(
    {
        *("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port"),
        *("x-forwarded-prefix", "x-forwarded-proto", "x-forwarded-server", "x-real-ip"),
    }
)
"""Headers of proxies, and metadata that no client sets where this section is on."""


class ProxySettings(Section):
    """Proxies in front of the edge."""

    trusted: tuple[Annotated[str, AfterValidator(checked_network)], ...] = ()
    """Trusted proxies: addresses, networks (`10.0.0.0/8`), `loopback`, `unix` for Unix sockets."""
    headers: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    """Headers that trusted proxies send: `x-forwarded`, or `forwarded` (RFC 7239); never both."""
    believe_host: bool = False
    """Believe the host that a trusted proxy names. It must replace what clients send under that name."""
    believe_prefix: bool = False
    """Believe the path prefix of `X-Forwarded-Prefix`, which a trusted proxy has stripped."""
    forward: bool | None = None
    """Send the client's address, scheme and host to the gRPC server; None: if proxies are trusted."""
    protocol: Literal["off", "required"] = "off"
    """PROXY protocol, version 1 or 2, before each connection: `off` or `required`."""
    protocol_seconds: float = Field(default=5.0, gt=0)
    """Maximum duration of a PROXY header, from the start of the connection."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.protocol == "required" and not self.trusted:
            raise ValueError(
                "protocol: required needs trusted, the proxies that may send the header"
            )
        if self.believe_prefix and self.headers == "forwarded":
            raise ValueError("believe_prefix: Forwarded has no prefix; set headers to x-forwarded")
        for name in ("believe_host", "believe_prefix"):
            if getattr(self, name) and not self.trusted:
                raise ValueError(f"{name} needs trusted, the proxies that are believed")
        return self

    @property
    def forwards(self) -> bool:
        """Whether the gRPC server is told of the client."""
        return bool(self.trusted) if self.forward is None else self.forward

    @property
    def is_on(self) -> bool:
        """Whether the section does anything about requests."""
        return bool(self.trusted) or self.forwards
