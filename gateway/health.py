"""Asks an edge whether it is alive: `python -m gateway.health`, for whoever starts and watches it.

Exit status 0 means that it is, 1 that it is not, which is said in one line. It imports little, for it is
started again and again; so of the edge's settings it reads `PROTOWAY_HEALTH_PATH` itself. Where that is
closed, an edge that takes a connection counts as alive.
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import sys
from collections.abc import Sequence
from http.client import HTTPException
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

_SECONDS = 3.0
_ADDRESS = ("127.0.0.1", 8080)
_ORIGIN = "http://{}:{}".format(*_ADDRESS)
_PATH = "/healthz"


def main(arguments: Sequence[str] | None = None) -> int:
    """Asks once, and returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.url == _ORIGIN:
            socket.create_connection(_ADDRESS, timeout=_SECONDS).close()
            return 0
        context = ssl.create_default_context(cafile=options.ca) if options.ca else None
        # docker may put a proxy into the environment
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
        with opener.open(options.url, timeout=_SECONDS):
            return 0
    except (OSError, ValueError, HTTPException) as error:
        print(f"health: {options.url}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.health", description="Asks an edge whether it is alive."
    )
    parser.add_argument(
        "url",
        nargs="?",
        default=_ORIGIN + os.environ.get("PROTOWAY_HEALTH_PATH", _PATH),
        help="what to ask (default: %(default)s)",
    )
    parser.add_argument("--ca", help="trust this CA, for a URL with https")
    return parser


if __name__ == "__main__":
    sys.exit(main())
