"""Our edge with three policies and two observers that do nothing.

`python -m bench.peers.policed_edge DESCRIPTOR_SET UPSTREAM`, over `grpc_wire`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.app import create_app
from gateway.policy import Observer, RequestEnd, RequestInfo
from gateway.server import serve
from gateway.settings import Settings


class Admitting:
    """Lets every request in."""

    def admit(self, request: RequestInfo) -> None:
        """Decides nothing."""


class Watching(Observer):
    """Is told of everything that a unary request has."""

    def request_started(self, request: RequestInfo) -> None:
        """Does nothing."""

    def response_started(self, request: RequestInfo, http_status: int) -> None:
        """Does nothing."""

    def message_received(self, request: RequestInfo, size: int) -> None:
        """Does nothing."""

    def message_sent(self, request: RequestInfo, size: int) -> None:
        """Does nothing."""

    def request_ended(self, request: RequestInfo, end: RequestEnd) -> None:
        """Does nothing."""


def main() -> None:
    """Serves on a free port until it is told to stop."""
    descriptor_set, upstream = sys.argv[1:]
    settings = Settings(
        descriptor_set=Path(descriptor_set),
        upstream=upstream,
        host="127.0.0.1",
        port=0,
        transport="wire",
        log_level="warning",
        access_log="off",  # as the edge that it is compared with
    )
    policies, observers = [Admitting() for _ in range(3)], [Watching(), Watching()]
    sys.exit(serve(create_app(settings, policies=policies, observers=observers), settings))


if __name__ == "__main__":
    main()
