"""Reads whole requests of HTTP/1.1 whose head is plain, which is nearly all that browsers and services send.

Clients repeat most lines of their heads to the byte: `User-Agent`, `Accept`, `Host`. What such lines mean
together is cached, by the lines; the others are read each time. So a head that never came before, with its
own token, cookie, trace and query, costs little more than a repeated one.

Rule: only lines of headers that say nothing about who calls are cached (`_SHARED`), so no credentials are.

Rule: this accepts a subset of what httptools accepts, and reads it the same; tests compare the two. A request
with anything unusual is left to httptools: another version, a target that is no path, folded lines, transfer
codings, upgrades, `Connection: close`.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from gateway.exchange.request import parse_head
from gateway.transcoding.host import is_host
from gateway.transcoding.metadata import PREFIX, Metadata, MetadataFilter, metadata_value
from gateway.transcoding.request_head import READERS, REQUEST_ID, RequestHead, is_request_id
from gateway.transcoding.status import StatusError

_REQUEST_LINE: Final = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (/[!\"$->@-~]*)(?:\?([!\"$-~]*))? HTTP/1\.1"
)
"""RFC 9112, section 3; the target in origin form, without a fragment."""
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, section 5.6.2."""
_CONTROLS: Final = bytes((*range(9), *range(10, 32), 127))
"""No line has one of these (RFC 9110, section 5.5)."""
_BLANKS: Final = b" \t"
_UNUSUAL: Final = frozenset(
    {b"transfer-encoding", b"upgrade", b"expect", b"trailer", b"te", b"proxy-connection"}
)
"""Headers that change how a request is read, or how its connection is used."""
_SHARED: Final = frozenset(
    {
        *(b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"cache-control"),
        *(b"connection", b"content-type", b"dnt", b"host", b"origin", b"pragma", b"priority"),
        *(b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform", b"sec-fetch-dest"),
        *(b"sec-fetch-mode", b"sec-fetch-site", b"sec-fetch-user", b"sec-gpc"),
        *(b"upgrade-insecure-requests", b"user-agent"),
    }
)
"""Headers whose lines are cached: no credentials, and nothing that only one caller would send."""
MAX_ENTRIES: Final = 1024
"""Maximum entries of each cache; a full cache is emptied."""
_MAX_LINES: Final = 100
"""Maximum lines of a plain head."""
_MAX_LINE: Final = 512
"""Maximum bytes of a cached line, and of a header's name in the cache of names."""
_MAX_DIGITS: Final = 19
"""Maximum digits of a `Content-Length`."""
END_OF_HEAD: Final = b"\r\n\r\n"


_Pair: TypeAlias = tuple[str, str | bytes]


class _Use(Enum):
    """What is done with a line, by the name of its header."""

    SHARED = "its line is cached"
    IGNORED = "the edge does not read it"
    LENGTH = "it says how long the body is"
    REQUEST_ID = "it names the request"
    METADATA = "it becomes metadata"
    UNUSUAL = "it is left to httptools"


class _ReadAllError(Exception):
    """The lines of a head have to be read together."""


class PlainRequest(NamedTuple):
    """A request with a plain head, of which all has come."""

    http_method: str
    path: str
    """As it came, percent-encoded, without the query."""
    query: bytes
    body: bytes
    head: RequestHead
    """Without what is the request's own: id, metadata that are not cached, length of the body."""
    error: StatusError | None
    """What is wrong with the headers."""
    request_id: str
    """The caller's; empty if it gave none, or one that cannot travel."""
    metadata: Metadata
    """Without an id that the edge makes."""
    is_shared: bool = False
    """Whether the head says nothing about who calls, so that it may be cached as a whole."""


class _Head(NamedTuple):
    """What shared lines mean together."""

    head: RequestHead
    error: StatusError | None
    metadata: Metadata


class PlainHeads:
    """Reads plain heads, with caches of lines and of what they mean together."""

    def __init__(self, allowed: MetadataFilter) -> None:
        """Makes empty caches; `allowed` says which headers become metadata."""
        self._allowed = allowed
        self._lines: dict[bytes, tuple[bytes, bytes]] = {}
        """Shared line -> name in lower case, value."""
        self._names: dict[bytes, tuple[_Use, str]] = {}
        """Name as it is written -> use, and key of the metadata."""
        self._heads: dict[tuple[bytes, ...], _Head] = {}

    def parse(self, data: bytes) -> PlainRequest | None:
        """Returns the request that some bytes are.

        None if they are not exactly one request, or its head is not plain.
        """
        end = data.find(END_OF_HEAD)
        if end < 0:
            return None
        head = data[:end]
        first, *lines = head.split(b"\r\n")
        request_line = _REQUEST_LINE.fullmatch(first)
        if (
            request_line is None
            or len(lines) > _MAX_LINES
            or len(head.translate(None, _CONTROLS)) + 2 * len(lines) != end
        ):
            return None
        known = self._lines
        if len(known) >= MAX_ENTRIES:
            known.clear()
        own_lines = [line for line in lines if line not in known]
        try:
            own = self._read_own(own_lines)
        except _ReadAllError:
            return self._read_all(request_line, lines, data[end + 4 :])
        if own is None:
            return None
        shared_lines = tuple([line for line in lines if line in known] if own_lines else lines)
        shared = self._heads.get(shared_lines) or self._join(shared_lines)
        length, request_id, metadata = own
        body = data[end + 4 :]
        if shared is None or len(body) != max(length, 0):
            return None
        method, path, query = request_line.groups(b"")
        return PlainRequest(
            *(method.decode(), path.decode(), query, body),
            *(shared.head, shared.error, request_id, (*shared.metadata, *metadata)),
            is_shared=not query and len(own_lines) == (length >= 0),
        )

    def _read_own(self, lines: list[bytes]) -> tuple[int, str, list[_Pair]] | None:
        """Returns length of the body, request id and metadata that lines say which are not cached.

        The length is -1 if no line says it. None if one is not plain. A line that can be shared is cached.

        Raises:
            _ReadAllError: the head has to be read as a whole.
        """
        length, request_id = -1, ""
        metadata: list[_Pair] = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                return None
            use, key = self._names.get(name) or self._learn(name)
            if use is _Use.IGNORED:
                continue
            value = value.strip(_BLANKS)
            if use is _Use.LENGTH:
                if length >= 0 or len(value) > _MAX_DIGITS or not value.isdigit():
                    return None
                length = int(value)
            elif use is _Use.METADATA:
                metadata.append((key, _metadata_value(key, value)))
            elif use is _Use.REQUEST_ID:
                text = value.decode("latin-1")
                if is_request_id(text):
                    request_id = text
                    metadata += ((key, text),) if key else ()
            elif use is not _Use.SHARED or not self._share(line, name.lower(), value):
                return None
        return length, request_id, metadata

    def headers(self, data: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """Returns all headers of a request that `parse` has read."""
        _, *lines = data[: data.find(END_OF_HEAD)].split(b"\r\n")
        return _cut(lines)

    def _learn(self, name: bytes) -> tuple[_Use, str]:
        """Returns the use of a header, and remembers it.

        Raises:
            _ReadAllError: the edge reads the header, with all others.
        """
        use = self._use(name)
        if len(name) <= _MAX_LINE:
            if len(self._names) >= MAX_ENTRIES:
                self._names.clear()
            self._names[name] = use
        return use

    def _use(self, name: bytes) -> tuple[_Use, str]:
        lower = name.lower()
        key = self._allowed.request.get(lower, "")
        if lower in _SHARED:
            return _Use.SHARED, key
        if lower == b"content-length":
            if key:
                raise _ReadAllError
            return _Use.LENGTH, ""
        if lower == REQUEST_ID:
            return _Use.REQUEST_ID, key
        if lower in _UNUSUAL or not _TOKEN.fullmatch(name):
            return _Use.UNUSUAL, ""
        if lower in READERS or lower.startswith(PREFIX):
            raise _ReadAllError
        return (_Use.METADATA, key) if key else (_Use.IGNORED, "")

    def _share(self, line: bytes, name: bytes, value: bytes) -> bool:
        """Caches a line; returns False if it is too long, or not plain."""
        if (
            len(line) > _MAX_LINE
            or (name == b"connection" and value.lower() != b"keep-alive")
            or (name == b"host" and not is_host(value))
        ):
            return False
        self._lines[line] = (name, value)
        return True

    def _join(self, lines: tuple[bytes, ...]) -> _Head | None:
        """Returns what shared lines mean together, and remembers it; None if they have not one `Host`."""
        headers = [self._lines[line] for line in lines]
        if [name for name, _ in headers].count(b"host") != 1:
            return None
        head, error = parse_head(headers, self._allowed)
        joined = _Head(head, error, tuple(head.metadata))
        if error is None:
            if len(self._heads) >= MAX_ENTRIES:
                self._heads.clear()
            self._heads[lines] = joined
        return joined

    def _read_all(
        self, request_line: re.Match[bytes], lines: list[bytes], body: bytes
    ) -> PlainRequest | None:
        """Reads a head of which the order of all lines matters, or in which something is wrong."""
        headers = _cut(lines)
        names = [name for name, _ in headers]
        if (
            not all(b":" in line for line in lines)
            or not all(map(_TOKEN.fullmatch, names))
            or not _UNUSUAL.isdisjoint(names)
            or (names.count(b"host"), names.count(b"content-length") > 1) != (1, False)
            or any(n == b"connection" and v.lower() != b"keep-alive" for n, v in headers)
            or not all(is_host(v) for n, v in headers if n == b"host")
        ):
            return None
        head, error = parse_head(headers, self._allowed)
        length = dict(headers).get(b"content-length", b"0")
        if not length.isdigit() or len(body) != int(length):
            return None
        method, path, query = request_line.groups(b"")
        return PlainRequest(
            *(method.decode(), path.decode(), query, body),
            *(head, error, head.request_id, tuple(head.metadata)),
        )


def _cut(lines: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Returns the names in lower case, and the values."""
    cut = (line.partition(b":") for line in lines)
    return tuple((name.lower(), value.strip(_BLANKS)) for name, _, value in cut)


def _metadata_value(key: str, value: bytes) -> str | bytes:
    try:
        return metadata_value(key, value)
    except ValueError as error:
        raise _ReadAllError from error
