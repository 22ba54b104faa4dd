"""The address of an upstream, as a person writes it: what is wrong with its text is said at the start.

Source: gRPC's naming.md. It allows an address without a port, which then is 443; here the port is required,
since a forgotten port is far more common than a server on that one.
"""

from __future__ import annotations

import re
from typing import Final

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]+)")
_SCHEMES: Final = frozenset({"dns", "ipv4", "ipv6", "unix", "vsock", "xds"})
"""Those of gRPC that `//` may follow."""
_TLS: Final = frozenset({"https", "grpcs"})
_DNS: Final = re.compile(r"dns:(?://[^/]*/)?")
_OTHER_NAME: Final = re.compile(r"[a-z][a-z0-9-]*:(?:///|[^0-9])|(?:ipv4|ipv6|vsock):")
"""Begins a name of another scheme of gRPC."""
_PORT: Final = re.compile(r":\d+$")
_PORT_ALONE: Final = re.compile(r":?(\d+)")
_USUAL_PORT: Final = 50051


def fault_of(target: str) -> str:
    """Returns what is wrong with the text of an address, and what to write; empty if nothing is."""
    url = _URL.match(target)
    if url is not None and url[1].lower() not in _SCHEMES:
        return _not_a_url(url[1].lower(), url[2].rpartition("@")[2])
    alone = _PORT_ALONE.fullmatch(target)
    if alone is not None:
        return f"{target!r} is a port without a host: write localhost:{alone[1]}"
    prefix = _DNS.match(target)
    if prefix is None and _OTHER_NAME.match(target):
        return ""
    name = target[prefix.end() :] if prefix is not None else target
    bare = name.count(":") > 1 and not name.startswith("[")  # an IPv6 address, which needs brackets
    if bare or name.endswith((":", "]")) or ":" not in name:
        host = f"[{name}]" if bare else name.removesuffix(":") or "HOST"
        return f"{target!r} has no port: write {host}:PORT, for example {host}:{_USUAL_PORT}"
    return ""


def _not_a_url(scheme: str, host: str) -> str:
    """Says what to write in the place of a URL; a password in it is not repeated."""
    tls = scheme in _TLS
    if not _PORT.search(host):
        host = f"{host.removesuffix(':')}:{443 if tls else _USUAL_PORT}"
    text = f"'{scheme}://…' is a URL, and the address of a gRPC server is none: write {host}"
    return f"{text}, and turn on upstream_tls" if tls else text
