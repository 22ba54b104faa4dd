"""Reads whole requests of HTTP/1.1 whose head is plain, which is nearly all that browsers and services send.

Clients repeat most lines of their heads to the byte: `User-Agent`, `Accept`, `Host`. What such lines mean
together is cached, by the lines; the others are read each time. So a head that never came before, with its
own token, cookie, trace and query, costs little more than a repeated one.

Rule: only lines of headers that say nothing about who calls are cached (`header_uses`): no credentials.

Rule: this accepts a subset of what httptools accepts, and reads it the same; tests compare the two. A request
with anything unusual is left to httptools: another version, a target that is no path, folded lines, transfer
codings, upgrades, `Connection: close`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote

from gateway.doors.http.header_uses import ReadAllError, Use, use_of
from gateway.doors.http1.lines import BLANKS, CONTROLS, SharedLines, cut, is_plain
from gateway.doors.http1.rpc_heads import RpcHeads
from gateway.exchange.request import Request, parse_head
from gateway.exchange.routing import below_root
from gateway.exchange.served import ServedContract
from gateway.transcoding.host import is_host
from gateway.transcoding.metadata import Metadata, MetadataFilter
from gateway.transcoding.request_head import RequestHead, is_request_id
from gateway.transcoding.status import StatusError

_REQUEST_LINE: Final = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (/[!\"$->@-~]*) HTTP/1\.1"
)
"""RFC 9112, section 3; the target in origin form, without a query or a fragment."""
_VERSION: Final = b" HTTP/1.1"
_VERSION_SIZE: Final = len(_VERSION)
_IN_QUERY: Final = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
MAX_ENTRIES: Final = 1024
"""Maximum entries of each cache; a full cache is emptied."""
_MAX_HEADERS: Final = 100
_CONTROLS_AND_TAB: Final = CONTROLS + b"\t"
_MAX_LINE: Final = 512
"""Maximum bytes of a cached line, and of a header's name in the cache of names."""
_MAX_DIGITS: Final = 19
"""Maximum digits of a `Content-Length`."""
END_OF_HEAD: Final = b"\r\n\r\n"
_NOTHING: Final[Mapping[bytes, Sequence[bytes]]] = MappingProxyType({})
# Names of their own: to look a member of an enum up costs more than to compare it.
_IGNORED: Final = Use.IGNORED
_LENGTH: Final = Use.LENGTH
_METADATA: Final = Use.METADATA
_ID: Final = Use.REQUEST_ID
_SHARED: Final = Use.SHARED

_made: Final = tuple.__new__
"""Makes a request in half the time that its class takes."""
_Pair: TypeAlias = tuple[str, str | bytes]


class PlainRequest(NamedTuple):
    """A request with a plain head, of which all has come."""

    request: Request
    query: bytes
    length: int
    """Bytes of its body."""
    request_id: str
    """The caller's; empty if it gave none, or one that cannot travel."""
    metadata: Metadata
    """Without an id that the edge makes."""
    own_lines: Sequence[bytes]
    """Lines of its headers that are not cached."""
    shared: Mapping[bytes, Sequence[bytes]]
    """Names and values of the others."""
    is_shared: bool = False
    """Whether the head says nothing about who calls, so that it may be cached as a whole."""


class _Head(NamedTuple):
    """What shared lines mean together."""

    head: RequestHead
    error: StatusError | None
    metadata: Metadata
    values: Mapping[bytes, Sequence[bytes]]


class PlainHeads:
    """Reads plain heads, with caches of lines and of what they mean together.

    Attributes:
        misses: heads whose lines had to be read together, because no cache had what they mean.
    """

    def __init__(
        self,
        allowed: MetadataFilter,
        served: ServedContract,
        root_path: str = "",
        *,
        secure: bool = False,
    ) -> None:
        """Makes empty caches.

        Args:
            allowed: says which headers become metadata.
            served: the contract in force.
            root_path: a proxy's prefix of all paths, or empty.
            secure: whether all requests come over TLS.
        """
        self.misses = 0
        self._secure = secure
        self._allowed = allowed
        self._root_path = root_path
        self._served: ServedContract
        self._literal: frozenset[bytes]
        """Request lines whose paths have no variables, without a query: all callers share them."""
        self._lines = SharedLines()
        self._names: dict[bytes, tuple[Use, str]] = {}
        """Name as it is written -> use, and key of the metadata."""
        self._heads: dict[tuple[int, ...], _Head] = {}
        self._requests: dict[tuple[bytes, tuple[int, ...]], tuple[Request, _Head]] = {}
        """Literal request line and shared lines -> what they ask for."""
        self._rpc = RpcHeads(allowed, root_path, secure=secure)
        self.follow(served)

    def follow(self, served: ServedContract) -> None:
        """Looks up routes in the table of another contract; what lines mean has nothing to do with it."""
        self._served = served
        self._literal = frozenset(
            f"{method} {root}{path} HTTP/1.1".encode()
            for method, path in served.router.literal_paths
            for root in {"", quote(self._root_path)}
        )
        self._requests.clear()
        self._rpc.follow(served)

    def parse(self, data: bytes, end: int, max_headers: int = _MAX_HEADERS) -> PlainRequest | None:
        """Returns the request that some bytes are; None if they are not exactly one, or it is not plain.

        Args:
            data: what has come.
            end: of the head in it, where `END_OF_HEAD` begins.
            max_headers: a head with more is left to httptools.
        """
        first, *lines = data[:end].split(b"\r\n")
        length = len(data) - end - len(END_OF_HEAD)
        path = self._rpc.lines.get(first)
        call = None if path is None else self._call(path, lines, length, max_headers)
        return call or self._parse(first, lines, length, max_headers)

    def _call(
        self, path: str, lines: list[bytes], length: int, max_headers: int
    ) -> PlainRequest | None:
        """Returns a call on a wire of RPC; None if it is none."""
        found = None if len(lines) > max_headers else self._rpc.read(path, lines, length)
        if found is None:
            return None
        request, head = found.request, found.request.head
        values = (request, b"", length, head.request_id, tuple(head.metadata), lines, _NOTHING)
        return PlainRequest(*values, found.is_shared)

    def _parse(
        self, first: bytes, lines: list[bytes], length: int, max_headers: int
    ) -> PlainRequest | None:
        start, question, query = first.partition(b"?")
        if question:
            query, version = query[:-_VERSION_SIZE], query[-_VERSION_SIZE:]
            first = b"" if query.translate(None, _IN_QUERY) else start + version
        if len(self._lines) >= MAX_ENTRIES:
            self._forget()
        shared_lines, own_lines = self._lines.split(lines)
        text = b"".join(own_lines)
        if len(lines) > max_headers:
            return None
        if not text.isascii() or len(text.translate(None, _CONTROLS_AND_TAB)) != len(text):
            return self._read_all(first, query, lines, length)
        try:
            own = self._read_own(own_lines)
        except ReadAllError:
            return self._read_all(first, query, lines, length)
        if own is None:
            return None
        said, request_id, metadata = own
        if length != max(said, 0):
            return None
        if self._lines.grew:
            self._lines.grew = False
            shared_lines, _ = self._lines.split(lines)
        shared = self._requests.get((first, shared_lines)) or self._join(first, shared_lines)
        if shared is None:
            return None
        request, known_head = shared
        shared_metadata = known_head.metadata
        is_shared = (
            not question
            and first in self._literal
            and request.error is None
            and len(own_lines) == (said >= 0)
        )
        all_metadata = (*shared_metadata, *metadata) if metadata else shared_metadata
        all_values = (request, query, length, request_id, all_metadata, own_lines)
        return _made(PlainRequest, (*all_values, known_head.values, is_shared))

    def _forget(self) -> None:
        """Empties the cache of lines, and those whose keys have the lines' numbers."""
        self._lines.clear()
        self._heads.clear()
        self._requests.clear()

    def _read_own(self, lines: list[bytes]) -> tuple[int, str, list[_Pair]] | None:
        """Returns length of the body, request id and metadata that lines say which are not cached.

        The length is -1 if no line says it. None if one is not plain. A line that can be shared is cached.

        Args:
            lines: in ASCII, without control characters.

        Raises:
            ReadAllError: the head has to be read as a whole.
        """
        length, request_id = -1, ""
        metadata: list[_Pair] = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                return None
            use, key = self._names.get(name) or self._learn(name)
            if use is _IGNORED:
                continue
            value = value.strip(BLANKS)
            if use is _METADATA:
                metadata.append((key, value.decode()))
            elif use is _LENGTH:
                if length >= 0 or len(value) > _MAX_DIGITS or not value.isdigit():
                    return None
                length = int(value)
            elif use is _ID:
                text = value.decode("latin-1")
                if is_request_id(text):
                    request_id = text
                    metadata += ((key, text),) if key else ()
            elif use is not _SHARED or not self._share(line, name.lower(), value):
                return None
        return length, request_id, metadata

    def headers(self, data: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """Returns all headers of a request that `parse` has read."""
        _, *lines = data[: data.find(END_OF_HEAD)].split(b"\r\n")
        return cut(lines)

    def _learn(self, name: bytes) -> tuple[Use, str]:
        """Returns the use of a header, and remembers it.

        Raises:
            ReadAllError: the edge reads the header, with all others.
        """
        use = use_of(name, self._allowed)
        if len(name) <= _MAX_LINE:
            _keep(self._names, name, use)
        return use

    def _share(self, line: bytes, name: bytes, value: bytes) -> bool:
        """Caches a line; returns False if it is too long, or not plain."""
        if (
            len(line) > _MAX_LINE
            or (name == b"connection" and value.lower() != b"keep-alive")
            or (name == b"host" and not is_host(value))
        ):
            return False
        self._lines.add(line, name, value)
        return True

    def _join(self, first: bytes, lines: tuple[int, ...]) -> tuple[Request, _Head] | None:
        """Returns what a request line and shared lines ask for, and remembers what they mean together.

        None if it is no request line, or the lines have not one `Host`.
        """
        head = self._heads.get(lines)
        if head is None:
            self.misses += 1
            headers = self._lines.headers(lines)
            if [name for name, _ in headers].count(b"host") != 1:
                return None
            read, error = parse_head(headers, self._allowed)
            values: dict[bytes, list[bytes]] = {}
            for name, value in headers:
                values.setdefault(name, []).append(value)
            head = _Head(read, error, tuple(read.metadata), values)
            if error is None:
                _keep(self._heads, lines, head)
        request = self._request(first, head.head, head.error)
        if request is None:
            return None
        joined = request, head
        if first in self._literal and head.error is None:
            _keep(self._requests, (first, lines), joined)
        return joined

    def _request(
        self, first: bytes, head: RequestHead, error: StatusError | None
    ) -> Request | None:
        request_line = _REQUEST_LINE.fullmatch(first)
        if request_line is None:
            return None
        method, path = request_line.group(1).decode(), request_line.group(2).decode()
        path = below_root(path, self._root_path)
        served = self._served
        if served.router.is_rpc(path, head):
            return None
        route = served.router.find(method, path)
        return Request(method, path, head, route, served, error, secure=self._secure)

    def _read_all(
        self, first: bytes, query: bytes, lines: list[bytes], length: int
    ) -> PlainRequest | None:
        """Reads a head of which the order of all lines matters, or in which something is wrong."""
        self.misses += 1
        headers = cut(lines)
        if not is_plain(lines, headers, length):
            return None
        head, error = parse_head(headers, self._allowed)
        request = self._request(first, head, error)
        if request is None:
            return None
        return PlainRequest(
            *(request, query, length, head.request_id, tuple(head.metadata)), lines, _NOTHING
        )


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _keep(cache: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Adds an entry; a full cache is emptied first."""
    if len(cache) >= MAX_ENTRIES:
        cache.clear()
    cache[key] = value
