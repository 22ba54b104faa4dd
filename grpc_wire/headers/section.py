"""Header sections, and the rules that HTTP/2 has for those of requests, of responses, and for trailers.

Source: RFC 9113, sections 8.1.1 (malformed messages), 8.2.2 (connection-specific fields), 8.3
(pseudo-header fields). Single names and values (8.2.1) are checked by the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Fields in the order in which they came or are sent: names in lower case, pseudo-headers first."""

_REQUEST_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_EXTENDED_PSEUDO: Final = _REQUEST_PSEUDO | {b":protocol"}
"""Those of a request where extended CONNECT is allowed (RFC 8441, section 4)."""
_RESPONSE_PSEUDO: Final = frozenset({b":status"})
_TRAILER_PSEUDO: Final[frozenset[bytes]] = frozenset()
_SWITCHING_PROTOCOLS: Final = 101
_OK: Final = 200
_WITHOUT_CONTENT: Final = frozenset({204, 304})
"""Statuses whose content-length is that of another response (RFC 9110, 8.6)."""
FIELD_OVERHEAD: Final = 32
"""Bytes that each field counts for beside its own (RFC 9113, 6.5.2)."""
_COLON: Final = ord(":")
_CONNECTION_SPECIFIC: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_CHECKED_NAMES: Final = _CONNECTION_SPECIFIC | {b"te", b"content-length", b"host"}


def list_size(headers: Headers) -> int:
    """Returns the size of a header section as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, 6.5.2)."""
    size = FIELD_OVERHEAD * len(headers)
    for name, value in headers:
        size += len(name) + len(value)
    return size


class _Checked:
    """Result of checking a section; sections that share a prefix share it if their suffix adds nothing.

    Attributes:
        fields: pseudo-headers, and host.
        length: value of content-length; None if there is none.
        pseudo_allowed: whether a pseudo-header may still follow.
        is_request: whether the rules of a request were checked, too.
    """

    __slots__ = ("fields", "is_request", "length", "pseudo_allowed")

    def __init__(
        self, fields: dict[bytes, bytes], length: int | None, *, pseudo_allowed: bool
    ) -> None:
        self.fields = fields
        self.length = length
        self.pseudo_allowed = pseudo_allowed
        self.is_request = False


_NOTHING_CHECKED: Final = _Checked({}, None, pseudo_allowed=True)


@dataclass(slots=True, eq=False, init=False)
class HeaderSection:
    """A decoded header section. Decoder and checks cache it: a repeated block is checked once.

    A section may have a prefix that other sections share; then only its suffix is checked.
    """

    headers: Headers
    fault: str
    """Why a name or value is malformed (RFC 9113, 8.2.1); empty if none is. A stream error."""
    too_large: bool
    """Whether it exceeds the limit; then `headers` is incomplete."""
    size: int
    """Size as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, 6.5.2)."""
    length: int
    """Bytes of the encoded block."""
    prefix: HeaderSection | None
    """Section of the shared prefix; None if there is none."""
    _allowed: frozenset[bytes] | None
    _checked: _Checked
    """Result for the pseudo-headers in `_allowed`."""
    response: tuple[int, int | None] | None
    """What `check_response` returned; None before."""
    is_plain_response: bool
    """Whether that was 200 without a content-length, as of nearly all responses."""
    is_trailers: bool
    """Whether `check_trailers` found nothing wrong."""
    is_request: bool
    """Whether `check_request` found nothing wrong."""
    content_length: int | None
    """What `check_request` returned."""

    def __init__(
        self,
        headers: Headers,
        fault: str = "",
        too_large: bool = False,  # noqa: FBT001, FBT002 - as the fields
        size: int = 0,
        length: int = 0,
        prefix: HeaderSection | None = None,
    ) -> None:
        self.headers = headers
        self.fault = fault
        self.too_large = too_large
        self.size = size
        self.length = length
        self.prefix = prefix
        self._allowed = None
        self._checked = _NOTHING_CHECKED
        self.response = None
        self.is_plain_response = self.is_trailers = self.is_request = False
        self.content_length = None

    def check_request(self, *, extended_connect: bool = False) -> int | None:
        """Checks the section of a request; returns its content-length, None if there is none.

        Args:
            extended_connect: whether CONNECT with `:protocol` is allowed (RFC 8441), on this connection.

        Raises:
            ValueError: the request is malformed; why.
        """
        if not self.is_request:
            checked = self.check_fields(_EXTENDED_PSEUDO if extended_connect else _REQUEST_PSEUDO)
            if not checked.is_request:
                _check_request(checked.fields)
                checked.is_request = True
            self.content_length = checked.length
            self.is_request = True
        return self.content_length

    def check_response(self) -> tuple[int, int | None]:
        """Checks the section of a response.

        Returns:
            Its status, and its content-length; None if there is none.

        Raises:
            ValueError: the response is malformed; why.
        """
        if self.response is None:
            checked = self.check_fields(_RESPONSE_PSEUDO)
            text = checked.fields.get(b":status", b"")
            if len(text) != 3 or not text.isdigit():
                raise ValueError("there is no :status of three digits")
            status = int(text)
            if status < 100 or status == _SWITCHING_PROTOCOLS:
                raise ValueError(f":status {status} is not for HTTP/2")
            length = None if status in _WITHOUT_CONTENT else checked.length
            self.response = status, length
            self.is_plain_response = status == _OK and length is None
        return self.response

    def check_trailers(self) -> None:
        """Checks trailers.

        Raises:
            ValueError: the trailers are malformed; why.
        """
        if not self.is_trailers:
            self.check_fields(_TRAILER_PSEUDO)
            self.is_trailers = True

    def check_fields(self, allowed: frozenset[bytes]) -> _Checked:
        """Checks the fields of a section in which these pseudo-headers are allowed.

        Raises:
            ValueError: it is malformed; why.
        """
        if self._allowed is not allowed:
            if self.prefix is None:
                self._checked = _check_suffix(self.headers, allowed, _NOTHING_CHECKED)
            else:
                more = self.headers[len(self.prefix.headers) :]
                self._checked = _check_suffix(more, allowed, self.prefix.check_fields(allowed))
            self._allowed = allowed
        return self._checked


def _check_request(fields: dict[bytes, bytes]) -> None:
    if (fields.get(b":method") == b"CONNECT") != (b":protocol" in fields):
        raise ValueError("CONNECT is not served, or has no :protocol")
    if not (b":method" in fields and b":scheme" in fields and fields.get(b":path")):
        raise ValueError("a pseudo-header is missing")
    host = fields.get(b"host")
    if host is not None and host.lower() != fields.get(b":authority", host).lower():
        raise ValueError("host and :authority are not the same")


def _add_host(fields: dict[bytes, bytes], value: bytes) -> None:
    if fields.setdefault(b"host", value) != value:
        raise ValueError("there are two hosts")


def _add_length(before: int | None, value: bytes) -> int:
    if value.isdigit():
        length = int(value)
        if before is None or before == length:
            return length
    raise ValueError("content-length is not one number")


def _check_suffix(headers: Headers, allowed: frozenset[bytes], before: _Checked) -> _Checked:
    """Checks the fields behind a prefix; returns the prefix's result if they add nothing to it."""
    pseudo_allowed = before.pseudo_allowed
    for name, _ in headers:
        if pseudo_allowed or name[0] == _COLON or name in _CHECKED_NAMES:
            return _check_all(headers, allowed, before)
    return before


def _check_all(headers: Headers, allowed: frozenset[bytes], before: _Checked) -> _Checked:
    fields, length, pseudo_allowed = before.fields.copy(), before.length, before.pseudo_allowed
    for name, value in headers:
        if name[0] == _COLON:
            if not pseudo_allowed or name not in allowed or name in fields:
                raise ValueError(f"{name.decode()} is not allowed, or not there")
            fields[name] = value
            continue
        pseudo_allowed = False
        if name in _CHECKED_NAMES:
            if name in _CONNECTION_SPECIFIC:
                raise ValueError(f"{name.decode()} is not for HTTP/2")
            if name == b"te":
                if value != b"trailers":
                    raise ValueError("te is something else than trailers")
            elif name == b"host":
                _add_host(fields, value)
            else:
                length = _add_length(length, value)
    return _Checked(fields, length, pseudo_allowed=pseudo_allowed)
