"""Names in client certificates, and lists of those that are allowed.

Rule: a name is compared to the byte with names of its own kind alone, so that a DNS name that looks like a
SPIFFE ID is none. Sources: SPIFFE ID 2 (syntax), X509-SVID 2 and 5.2; RFC 5280, section 4.2.1.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_SPIFFE: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)")
_MAX_SPIFFE_BYTES: Final = 2048
_BELOW: Final = "/*"
"""End of a pattern for all paths below another."""


def is_spiffe_id(text: str) -> bool:
    """Whether a URI is a SPIFFE ID of a workload: with a path, of which no segment is `.` or `..`."""
    match = _SPIFFE.fullmatch(text)
    if match is None or len(text) > _MAX_SPIFFE_BYTES or not match[2]:
        return False
    return not {".", ".."} & set(match[2].split("/"))


def spiffe_id(uris: tuple[str, ...]) -> str | None:
    """Returns the SPIFFE ID among the URIs of a certificate; None if it has none, or more than one URI."""
    return uris[0] if len(uris) == 1 and is_spiffe_id(uris[0]) else None


def check_pattern(kind: str, pattern: str) -> str:
    """Returns what is wrong with an item of a list of allowed names; empty: nothing."""
    if kind == "spiffe":
        name = pattern.removesuffix(_BELOW)
        domain_alone = name != pattern and _SPIFFE.fullmatch(name)
        if not (domain_alone or is_spiffe_id(name)):
            return f"{pattern!r} is no SPIFFE ID: write spiffe://DOMAIN/PATH, or /* for all below"
    elif "*" in pattern:
        return f"{pattern!r} has a *, which only SPIFFE IDs may have; name each"
    return ""


class AllowedNames:
    """A list of allowed names; an empty one allows all."""

    __slots__ = ("_below", "_exact")

    def __init__(self, patterns: Iterable[str]) -> None:
        """Takes patterns that `check_pattern` has nothing against."""
        patterns = tuple(patterns)
        self._exact = frozenset(each for each in patterns if not each.endswith(_BELOW))
        self._below = tuple(each[:-1] for each in patterns if each.endswith(_BELOW))

    def allow(self, name: str) -> bool:
        """Whether a name is allowed."""
        if not (self._exact or self._below):
            return True
        return name in self._exact or name.startswith(self._below)
