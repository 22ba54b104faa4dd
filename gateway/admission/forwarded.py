"""What proxies say about a request: `X-Forwarded-*`, and `Forwarded` (RFC 7239), read from the right.

Each proxy appends to the lists, so what is on the right was written by the one nearest to the edge. Several
lines of a header are one list (RFC 9110, section 5.3).

Rule: nothing is believed here; who has written an entry is for `gateway.admission.proxies` to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from gateway.admission.networks import canonical_address
from gateway.transcoding.host import is_host

MAX_HOPS: Final = 32
"""Maximum entries of a list that are read, from the right."""
MAX_LINE: Final = 4096
"""Maximum bytes of a line of `Forwarded`."""

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_NODE: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
)
"""RFC 7239, section 6: an address, perhaps with a port; IPv6 in brackets."""
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9\-._~]+)*/?")
_BLANKS: Final = b" \t"
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR: Final = re.compile(
    rb'(%b)=(?:(%b)|"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*)")' % ((_TOKEN,) * 2)
)
"""RFC 7239, section 4: `token "=" value`, without blanks."""
_SEPARATOR: Final = re.compile(rb"[ \t]*([;,])[ \t]*|[ \t]*\Z")
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)


def address_of(text: str) -> str | None:
    """Returns the IP address that an entry names, with or without a port; None if it names none.

    An IPv6 address with a port has brackets. `unknown`, obfuscated names (`_x`) and zones name none.
    """
    node = _NODE.fullmatch(text)
    if node is None:
        return canonical_address(text) if text.count(":") > 1 and "[" not in text else None
    if node["v6"] is not None:
        return canonical_address(node["v6"]) if ":" in node["v6"] else None
    return canonical_address(node["v4"])


def scheme_of(text: str) -> str | None:
    """Returns `http` or `https`; None if a text is none of HTTP's schemes."""
    return _SCHEMES.get(text.lower())


def host_of(text: str) -> str | None:
    """Returns a host, perhaps with a port; None if `Host` cannot have it, or it is empty."""
    return text if text and is_host(text.encode("latin-1")) else None


def prefix_of(text: str) -> str | None:
    """Returns a path prefix without a slash at its end, as `root_path` is; None if a text is none.

    It has no characters that need percent-encoding, and no segment `.` or `..`; `/` is the empty one.
    """
    if not text.startswith("/") or not _PREFIX.fullmatch(text):
        return None
    return None if {".", ".."} & set(text.split("/")) else text.rstrip("/")


def entries(values: Sequence[bytes]) -> list[str]:
    """Returns the last entries of a list in several lines, the last one first; at most MAX_HOPS."""
    whole = values[0] if len(values) == 1 else b",".join(values)
    if not whole.strip(_BLANKS):
        return []
    parts = whole.rsplit(b",", MAX_HOPS)[-MAX_HOPS:]
    return [part.strip(_BLANKS).decode("latin-1") for part in reversed(parts)]


def entry_at(values: Sequence[bytes], hops: int) -> str | None:
    """Returns the entry that the proxy `hops` from the right has written; of a shorter list the first.

    None if there is no entry.
    """
    found = entries(values)
    return found[min(hops, len(found)) - 1] if found else None


class Element(NamedTuple):
    """What one proxy has said in `Forwarded`."""

    address: str | None
    """None if `for` is missing or names no address."""
    scheme: str | None
    host: str | None


def elements(lines: Iterable[bytes]) -> Iterator[Element]:
    """Yields the elements of `Forwarded`, the last one first; at most MAX_HOPS.

    Each line is read for itself, so what a client has written in a line of its own is not mixed with a
    proxy's.

    Args:
        lines: the values of the header's lines, in their order.

    Raises:
        ValueError: a line that is reached breaks the grammar of RFC 7239, section 4, or is longer than
            MAX_LINE.
    """
    left = MAX_HOPS
    for line in reversed(list(lines)):
        for pairs in reversed(_parsed(line)):
            if not left:
                return
            left -= 1
            yield Element(
                address_of(pairs.get(b"for", "")),
                scheme_of(pairs.get(b"proto", "")),
                host_of(pairs.get(b"host", "")),
            )


def _parsed(line: bytes) -> list[dict[bytes, str]]:
    """Returns the pairs of each element of one line, by their lower-case names."""
    if len(line) > MAX_LINE:
        raise ValueError(f"a line is longer than {MAX_LINE} bytes")
    found: list[dict[bytes, str]] = [{}]
    position, line = 0, line.strip(_BLANKS)
    while True:
        pair = _PAIR.match(line, position)
        if pair is not None:
            name, token, quoted = pair.groups()
            value = token if quoted is None else _ESCAPE.sub(rb"\1", quoted)
            if name.lower() in found[-1]:
                raise ValueError("an element has a parameter twice")
            found[-1][name.lower()] = value.decode("latin-1")
            position = pair.end()
        separator = _SEPARATOR.match(line, position)
        if separator is None:
            raise ValueError("it is no list of NAME=VALUE")
        if separator[1] is None:
            break
        if separator[1] == b",":
            found.append({})
        position = separator.end()
    return [pairs for pairs in found if pairs]  # empty elements of a list count for nothing


def node_of(address: str) -> str:
    """Returns an address as `for` has it, quoted where that is needed (RFC 7239, section 6)."""
    if not address:
        return "unknown"
    return f'"[{address}]"' if ":" in address else address
