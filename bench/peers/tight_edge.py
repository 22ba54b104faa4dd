"""The edge on sockets that hold little, so that a client which does not read is felt soon.

`python -m bench.peers.tight_edge DESCRIPTOR_SET UPSTREAM`; over loopback a socket takes megabytes by itself.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from gateway.app import create_app
from gateway.server import Server
from gateway.settings import Settings

_BACKLOG = 2048
_SEND_BUFFER = 8 * 1024


def main() -> None:
    """Serves on a free port until it is told to stop."""
    descriptor_set, upstream = sys.argv[1:]
    settings = Settings(descriptor_set=Path(descriptor_set), upstream=upstream, log_level="warning")
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # inherited
        Server(create_app(settings), settings).serve_on([listening])


if __name__ == "__main__":
    main()
