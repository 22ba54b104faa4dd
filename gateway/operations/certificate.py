"""When a certificate expires: the `notAfter` of RFC 5280, section 4.1.2.5, and nothing else of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Final

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0
"""Tag of the version, which stands only in front of version 2 and 3."""
_UTC_TIME: Final = 0x17
_CENTURY: Final = 50
"""A year of two digits below it is 20YY (RFC 5280, 4.1.2.5.1)."""


def expiry(file: Path) -> float | None:
    """Returns the Unix time at which the first certificate of a PEM file expires; None: it has none."""
    try:
        found = _PEM.search(file.read_text("ascii"))
        return None if found is None else _not_after(PEM_cert_to_DER_cert(found[0]))
    except (OSError, ValueError, IndexError):
        return None


def _not_after(certificate: bytes) -> float:
    _, signed, _ = _read(certificate, 0)
    _, fields, _ = _read(signed, 0)
    tag, _, offset = _read(fields, 0)
    if tag == _VERSION:
        _, _, offset = _read(fields, offset)
    for _ in range(
        2
    ):  # the signature's algorithm and the issuer; before them was the serial number
        _, _, offset = _read(fields, offset)
    _, validity, _ = _read(fields, offset)
    _, _, offset = _read(validity, 0)
    tag, value, _ = _read(validity, offset)
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if int(text[:2]) < _CENTURY else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _read(data: bytes, offset: int) -> tuple[int, bytes, int]:
    """Reads one value of DER (X.690, 8.1); returns its tag, its content and the offset behind it."""
    tag, length, start = data[offset], data[offset + 1], offset + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    return tag, data[start : start + length], start + length
