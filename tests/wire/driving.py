"""Who drives a connection without a loop: all that has come is taken at once."""

from __future__ import annotations

from grpc_wire.http2.connection import Connection
from grpc_wire.http2.events import ConnectionEvent


def heard(connection: Connection, octets: bytes) -> list[ConnectionEvent]:
    """Lets a connection take bytes, however many frames they are; returns what it tells."""
    events = connection.receive(octets)
    while connection.has_backlog:
        events += connection.receive(b"")
    return events
