"""Checks an edge's health: `python -m gateway.health [--ready] [URL]`, for a container or a supervisor.

Exit status 0: the edge is alive; with `--ready`: it is ready. 1: it is not, and one line says why. Without a
URL it asks the edge of the same machine, where the environment says that it listens: `PROTOWAY_HOST`,
`PROTOWAY_PORT`, `PROTOWAY_TLS_CERTIFICATE`, and `PROTOWAY_HEALTH_PATH` or `PROTOWAY_READY_PATH`, or the file
that `PROTOWAY_CONFIG` names. If the path is empty, an edge that accepts a connection is alive. With
`PROTOWAY_PROXIES_PROTOCOL=required` it sends the header of a connection that is nobody's but its own; the
edge must trust `loopback` then. Where `PROTOWAY_TLS_CLIENT_CA` is set, it shows the edge's own certificate.

Rule: it is started every few seconds, so it imports only the standard library, PyYAML if there is a file in
YAML, and reads these settings itself.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, ProxyHandler, Request, build_opener

_SECONDS: Final = 3.0
"""Timeout of the check."""
_IN_FILE: Final = {
    "PROTOWAY_HOST": ("server", "host"),
    "PROTOWAY_PORT": ("server", "port"),
    "PROTOWAY_TLS_CERTIFICATE": ("server", "tls_certificate"),
    "PROTOWAY_TLS_KEY": ("server", "tls_key"),
    "PROTOWAY_TLS_CLIENT_CA": ("server", "tls_client_ca"),
    "PROTOWAY_HEALTH_PATH": ("paths", "health_path"),
    "PROTOWAY_READY_PATH": ("paths", "ready_path"),
    "PROTOWAY_PROXIES_PROTOCOL": ("proxies", "protocol"),
}
"""Variable -> its keys in the settings file."""
_OTHERS: Final = ("unix:", "fd:", "systemd")
_MAX_REPORT: Final = 64 * 1024
"""Maximum bytes that are read of a report."""
_LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - it is not listened on
"""The address to ask, of an edge that listens on all addresses."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks once; returns the exit status."""
    options = _parser().parse_args(arguments)
    own = options.url is None
    url: str = url_of(os.environ, ready=options.ready) if own else options.url
    try:
        if own and not urlsplit(url).path:
            if options.ready:
                raise ValueError("ready_path is empty: the edge does not say whether it is ready")
            _connect(url)
        else:
            given = _given(os.environ) if own else {}
            proxied = given.get("PROTOWAY_PROXIES_PROTOCOL") == "required"
            tls = _tls(options.ca, verify=not own)
            if pair := _client_pair(options, given):
                tls = tls or ssl.create_default_context()
                tls.load_cert_chain(*pair)
            _ask(url, tls, proxied=proxied)
    except (OSError, ValueError, HTTPException) as error:
        print(f"health: {url}: {error}{_reasons(error)}", file=sys.stderr)
        return 1
    return 0


def _reasons(error: Exception) -> str:
    """Returns the failed checks of a report that an edge has answered with, for the end of a line."""
    if not isinstance(error, HTTPError):
        return ""
    try:
        checks = json.loads(error.read(_MAX_REPORT))["checks"]
        failed = [
            f"{name}: {each['reason']!a}" for name, each in checks.items() if "reason" in each
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, HTTPException):
        return ""
    return f" ({', '.join(failed)})" if failed else ""


def url_of(environment: Mapping[str, str], *, ready: bool = False) -> str:
    """Returns the URL of the health check of the edge with this environment; no path if that is off.

    With `ready` it is that of the readiness check.

    Of several addresses it is the first that is none of a Unix socket or a descriptor.
    """
    given = _given(environment)
    hosts = (part.strip() for part in given.get("PROTOWAY_HOST", "").split(","))
    host = next((each for each in hosts if each and not each.startswith(_OTHERS)), "127.0.0.1")
    host = _LOOPBACK.get(host, host)
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if given.get("PROTOWAY_TLS_CERTIFICATE") else "http"
    variable, default = ("READY_PATH", "/readyz") if ready else ("HEALTH_PATH", "/healthz")
    path = given.get(f"PROTOWAY_{variable}", default)
    return f"{scheme}://{shown}:{given.get('PROTOWAY_PORT', '8080')}{path}"


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables, and those of the settings file that none of them replaces."""
    given = {name.upper(): value for name, value in environment.items()}
    if file := given.get("PROTOWAY_CONFIG"):
        given = _in_file(Path(file)) | given
    return given


def _in_file(path: Path) -> dict[str, str]:
    """Returns what the settings file says, as variables; nothing if it cannot be read."""
    from gateway.config_file.tree import read_document  # noqa: PLC0415 - few have a file

    try:
        tree: Any = read_document(path.name, path.read_bytes()).value
    except OSError:
        return {}
    found: dict[str, str] = {}
    for variable, (section, key) in _IN_FILE.items():
        values = tree.get(section) if isinstance(tree, dict) else None
        value = values.get(key) if isinstance(values, dict) else None
        if isinstance(value, (str, int)):
            found[variable] = str(value)
    return found


def _connect(url: str) -> None:
    parts = urlsplit(url)
    socket.create_connection((parts.hostname, parts.port), timeout=_SECONDS).close()


class _Proxied(HTTPConnection):
    """A connection that starts with a PROXY header without addresses (version 1)."""

    def connect(self) -> None:
        super().connect()
        self.sock.sendall(b"PROXY UNKNOWN\r\n")


class _ProxiedTls(HTTPSConnection, _Proxied):
    """The same with TLS behind the header."""


class _ProxiedHandler(HTTPHandler, HTTPSHandler):
    """Opens such connections."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._tls = tls

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_Proxied, req)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_ProxiedTls, req, context=self._tls)


def _ask(url: str, tls: ssl.SSLContext | None, *, proxied: bool) -> None:
    # docker may put a proxy into the environment
    handler = _ProxiedHandler(tls) if proxied else HTTPSHandler(context=tls)
    opener = build_opener(ProxyHandler({}), handler)
    with opener.open(url, timeout=_SECONDS):
        return


def _tls(ca: str | None, *, verify: bool) -> ssl.SSLContext | None:
    """Returns how to verify the certificate: not for an edge of the same machine, unless a CA is given.

    Its certificate is for the name that clients use, and not for the address that is asked here.
    """
    if ca is not None:
        return ssl.create_default_context(cafile=ca)
    if verify:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _client_pair(
    options: argparse.Namespace, given: Mapping[str, str]
) -> tuple[str, str | None] | None:
    """Returns the files of the client certificate and its key; None: none is shown.

    An edge with these settings that asks for client certificates is shown its own.
    """
    if options.certificate is not None:
        return options.certificate, options.key
    certificate, key = given.get("PROTOWAY_TLS_CERTIFICATE"), given.get("PROTOWAY_TLS_KEY")
    return (certificate, key) if given.get("PROTOWAY_TLS_CLIENT_CA") and certificate else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.health", description="Checks whether an edge is alive."
    )
    parser.add_argument(
        "url", nargs="?", help=f"URL to ask (default: {url_of(os.environ)})".replace("%", "%%")
    )
    parser.add_argument(
        "--ready", action="store_true", help="without a URL: ask whether it is ready for calls"
    )
    parser.add_argument("--ca", help="PEM file with the CA to trust, for a URL with https")
    parser.add_argument("--certificate", help="PEM file with the client certificate")
    parser.add_argument("--key", help="PEM file with its key")
    return parser


if __name__ == "__main__":
    sys.exit(main())
