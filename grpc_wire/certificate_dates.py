"""When certificates end, from their PEM (RFC 5280, section 4.1.2.5; X.690 for DER)."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Final

_PEM: Final = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.+?)-----END", re.DOTALL)
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_PIVOT: Final = 50
"""Two digits of a year from which it is of the 20th century."""


def ends_of(pem: bytes) -> list[float]:
    """Returns when each certificate of a PEM ends, in their order, as POSIX time.

    Raises:
        ValueError: one of them is no certificate.
    """
    try:
        return [_end(base64.b64decode(found)) for found in _PEM.findall(pem)]
    except (IndexError, binascii.Error) as error:
        raise ValueError("a certificate is cut short") from error


def _end(data: bytes) -> float:
    _, at, _ = _header(data, 0)  # Certificate
    _, at, _ = _header(data, at)  # TBSCertificate
    tag, _, end = _header(data, at)
    if tag == _VERSION:
        at = end
    for _ in range(3):  # serialNumber, signature, issuer
        at = _header(data, at)[2]
    _, at, _ = _header(data, at)  # validity
    at = _header(data, at)[2]  # notBefore
    tag, start, end = _header(data, at)
    text = data[start:end].decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _PIVOT else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Returns the tag at an offset, and where its value starts and ends."""
    tag, length, start = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        start += count
        length = int.from_bytes(data[at + 2 : start], "big")
    return tag, start, start + length
