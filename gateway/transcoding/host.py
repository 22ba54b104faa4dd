"""The value of the header `Host` (RFC 9110, section 7.2)."""

from __future__ import annotations

import re
from typing import Final

_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::[0-9]*)?")
"""`uri-host [ ":" port ]`; empty too."""


def is_host(value: bytes) -> bool:
    """Returns whether a value is one that `Host` can have."""
    return _HOST.fullmatch(value) is not None
