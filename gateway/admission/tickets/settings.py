"""The section `tickets` of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gateway.sections import Section
from gateway.setting_types import OwnPath


class TicketSettings(Section):
    """Tickets: one-time credentials in the URL of an EventSource or a WebSocket."""

    enabled: bool = False
    """Give tickets to callers with an identity, and take them in URLs."""
    path: OwnPath = Field(default="/.protoway/ticket", min_length=2)
    """Path that gives a ticket to a POST with credentials."""
    parameter: str = Field(default="ticket", pattern=r"^[A-Za-z0-9_.~-]+$")
    """Query parameter that has the ticket; no field of a request can then have this name in a query."""
    lifetime_seconds: float = Field(default=30.0, gt=0, le=300)
    """How long a ticket is good, if it is not used; never longer than the credentials behind it."""
    folder: Path | None = None
    """Folder of the open tickets, for processes that take each other's. None: one for this edge's workers."""
    shared: bool = False
    """Keep tickets in the store (`feed_store`): one that a replica has given is good at all of them, once."""
    max_open: int = Field(default=10_000, gt=0)
    """Maximum tickets that a process has given and that have not expired, used or not; beyond it 429."""
    max_open_per_caller: int = Field(default=1_000, gt=0)
    """The same for one identity."""
