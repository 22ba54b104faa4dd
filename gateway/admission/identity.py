"""Who a caller is, as far as the edge has verified it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified caller: what `RequestInfo.identity` is behind the policies of this package."""

    name: str
    """The subject of a token, the name of an API key, or that of a certificate; no credential."""
    kind: str
    """How it was verified: `jwt`, `api_key`, `certificate` or `ticket`."""
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """The claims of a token, the rights of an API key as `scope` and `roles`."""
    expires_at: float | None = None
    """Unix time at which the credentials end; None: they do not."""
    ticket_of: str = ""
    """Of kind `ticket`: the kind of the caller who has asked for it, as whom limits count it."""
