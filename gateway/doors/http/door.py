"""What the connections of one server share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.doors.http.contract_door import ContractDoor
from gateway.doors.http.limits import Limits, WebSocketLimits
from gateway.doors.types import App
from gateway.transcoding.metadata import Headers


class ServerState:
    """What a server waits for when it stops, and the headers that it adds.

    Attributes:
        connections: those that are open.
        tasks: what answers requests.
        default_headers: `Date` for one; a list that is not changed in place.
    """

    __slots__ = ("connections", "default_headers", "tasks")

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.tasks: set[Any] = set()
        self.default_headers: list[tuple[bytes, bytes]] = []


@dataclass(slots=True, eq=False)
class Door:
    """Who answers the requests of all connections, and under which limits."""

    app: App
    state: ServerState
    websocket: WebSocketLimits
    direct: ContractDoor | None = None
    """Answers what the contract has a route for, where the application has nobody who is to see it."""
    app_state: dict[str, Any] = field(default_factory=dict)
    """What the application's lifespan has yielded."""
    root_path: str = ""
    limits: Limits = field(default_factory=Limits)
    rejected: Callable[[int, int, str, str], None] | None = None
    """Told of what is refused before it is a request: HTTP status, code, request id and client."""
    origin_headers: Callable[[str], Headers] | None = None
    """Returns the headers of CORS for what is refused before it is a request, by its `Origin`; None: none."""
    closing: bool = False
    """Whether the server stops: a response says that its connection ends."""
    crossing: float = 0.0
    """Seconds for which, at the end, a connection stays open that is new or has just carried a response."""

    def headers_of_rejection(self, known: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Returns the headers of CORS for what is refused before it is a request.

        Args:
            known: what is known of its headers; several `Origin` are none, as in a request.
        """
        if self.origin_headers is None:
            return ()
        origins = [value.strip(b" \t") for name, value in known if name == b"origin"]
        return self.origin_headers(b", ".join(origins).decode("latin-1"))


Release = Callable[[], None]
"""Called once, when a connection has ended."""


def nothing() -> None:
    """Does nothing."""
