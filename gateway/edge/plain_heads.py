"""Reads whole requests of HTTP/1.1 whose head is plain, which is nearly all that browsers and services send.

A head is cut into lines, and each line is looked up: browsers and services repeat most of theirs to the
byte. So a new head costs little more than a known one, and no head is kept: only lines of headers that say
nothing about who calls (`_CACHED`).

Rule: this accepts a subset of what httptools accepts, and reads it the same; tests compare the two. A request
with anything unusual is left to httptools: another version, a target that is no path, folded lines, blanks
around a value, transfer codings, upgrades, `Connection: close`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.transcoding.host import is_host
from gateway.transcoding.metadata import PREFIX, MetadataFilter
from gateway.transcoding.request_head import READERS

_REQUEST_LINE: Final = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (/[!-\"$-~]*) HTTP/1\.1"
)
"""RFC 9112, section 3; the target in origin form, without a fragment."""
_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)"
)
"""RFC 9112, section 5; the value without blanks around it."""
_UNUSUAL: Final = frozenset(
    {b"transfer-encoding", b"upgrade", b"expect", b"trailer", b"te", b"proxy-connection"}
)
"""Headers that change how a request is read, or its connection is used."""
_CACHED: Final = frozenset(
    {
        *(b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"cache-control"),
        *(b"connection", b"content-length", b"content-type", b"dnt", b"host", b"origin"),
        *(b"pragma", b"priority", b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform"),
        *(b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site", b"sec-fetch-user"),
        *(b"sec-gpc", b"upgrade-insecure-requests", b"user-agent"),
    }
)
"""Headers whose lines are cached. None has credentials, nor anything that only one caller would send."""
_MAX_LINES: Final = 1024
"""Maximum entries of the cache; when it is full it is emptied."""
_MAX_CACHED_LINE: Final = 256
"""Maximum bytes of a cached line."""
_END_OF_HEAD: Final = b"\r\n\r\n"


class Line(NamedTuple):
    """One line of a head."""

    name: bytes
    """In lower case."""
    value: bytes
    matters: bool
    """Whether the edge reads it, or it may become metadata."""


class PlainHead(NamedTuple):
    """The head of a request of which all has come."""

    http_method: str
    path: str
    """As it came, percent-encoded, without the query."""
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """Those that matter (`Line.matters`), in order; names in lower case."""


class PlainHeads:
    """Reads plain heads, with a cache of their lines."""

    def __init__(self, allowed: MetadataFilter) -> None:
        """Makes an empty cache; `allowed` says which headers become metadata."""
        self._allowed = allowed.request
        self._lines: dict[bytes, Line] = {}

    def parse(self, data: bytes) -> tuple[PlainHead, bytes] | None:
        """Returns the head and the body of the request that some bytes are.

        None if they are not exactly one request, or its head is not plain.
        """
        end = data.find(_END_OF_HEAD)
        if end < 0:
            return None
        first, *rest = data[:end].split(b"\r\n")
        request_line = _REQUEST_LINE.fullmatch(first)
        if request_line is None:
            return None
        headers: list[tuple[bytes, bytes]] = []
        length, hosts = -1, 0
        known = self._lines
        for text in rest:
            line = known.get(text) or self._read(text)
            if line is None:
                return None
            name, value, matters = line
            if matters:
                headers.append((name, value))
                if name == b"host":
                    hosts += 1
                elif name == b"content-length":
                    if length >= 0:
                        return None
                    length = int(value)
        body = data[end + 4 :]
        if hosts != 1 or len(body) != max(length, 0):
            return None
        method, target = request_line.groups()
        path, _, query = target.partition(b"?")
        return PlainHead(method.decode(), path.decode(), query, headers), body

    def headers(self, data: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """Returns all headers of a request that `parse` has read."""
        _, *lines = data[: data.find(_END_OF_HEAD)].split(b"\r\n")
        read = (self._read(text) for text in lines)
        return tuple((line.name, line.value) for line in read if line is not None)

    def _read(self, text: bytes) -> Line | None:
        """Returns what a line says; None if it is not plain."""
        match = _LINE.fullmatch(text)
        if match is None:
            return None
        name, value = match[1].lower(), match[2]
        if (
            name in _UNUSUAL
            or (name == b"connection" and value.lower() != b"keep-alive")
            or (name == b"host" and not is_host(value))
            or (name == b"content-length" and not (value.isdigit() and len(value) < 20))
        ):
            return None
        matters = name in READERS or name in self._allowed or name.startswith(PREFIX)
        line = Line(name, value, matters)
        if name in _CACHED and len(text) <= _MAX_CACHED_LINE:
            if len(self._lines) >= _MAX_LINES:
                self._lines.clear()
            self._lines[text] = line
        return line
