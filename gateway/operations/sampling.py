"""Which lines of the access log are written, where not all are: rules `PATTERN=FRACTION`.

A pattern is a status (`200`, `2xx`), a method (`package.Service/*`) or the template of a path
(`/healthz`). The first rule that matches decides; without one the line is written. Errors are always written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from random import random
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator

_STATUS: Final = re.compile(r"[1-5](xx|\d\d)")
_METHOD: Final = re.compile(r"[A-Za-z_*][\w.*]*(/[\w*]+)?")
_PATH: Final = re.compile(r"/[^\s=]*")
_FIRST_ERROR: Final = 400
_KEPT: Final = 8192
"""Maximum entries of the cache of fractions."""


class Rule(NamedTuple):
    """One rule."""

    kind: str
    """`status`, `method` or `path`."""
    pattern: str
    fraction: float
    """Of the lines that are written, from 0 to 1."""


def parse_rule(text: str) -> Rule:
    """Reads a rule.

    Raises:
        ValueError: it is none, or it would leave out errors.
    """
    pattern, equals, number = text.rpartition("=")
    try:
        fraction = float(number)
    except ValueError:
        fraction = -1.0
    if not equals or not 0 <= fraction <= 1:
        raise ValueError(f"{text!r} is no PATTERN=FRACTION with a fraction from 0 to 1, as 2xx=0.1")
    if _STATUS.fullmatch(pattern):
        if pattern[0] in "45":
            raise ValueError(f"{text!r}: errors are always written; name a status below 400")
        return Rule("status", pattern, fraction)
    for kind, form in (("path", _PATH), ("method", _METHOD)):
        if form.fullmatch(pattern):
            return Rule(kind, pattern, fraction)
    raise ValueError(
        f"{text!r}: the pattern is no status (2xx), method (package.Service/Method) or path (/healthz)"
    )


def _checked(text: str) -> str:
    parse_rule(text)
    return text


SampleRule = Annotated[str, AfterValidator(_checked)]
"""A rule of `access_log_sample`."""


class Sampling:
    """The rules, and what they say of each method or path, which is looked up."""

    def __init__(self, rules: Iterable[str]) -> None:
        """Takes the rules as they stand in the settings."""
        self._rules = tuple(map(parse_rule, rules))
        self._fractions: dict[tuple[int, str, str], float] = {}
        """Status, method and path -> fraction; all three are the contract's or the edge's own."""

    def keep(self, http_status: int, rpc: str, route: str) -> bool:
        """Returns whether the line of an exchange that is no error is written."""
        if not self._rules or http_status >= _FIRST_ERROR:
            return True
        key = (http_status, rpc, route)
        fraction = self._fractions.get(key)
        if fraction is None:
            if len(self._fractions) >= _KEPT:  # those of contracts that were replaced, most of them
                self._fractions.clear()
            fraction = self._fractions[key] = self._fraction(*key)
        return fraction >= 1 or random() < fraction  # noqa: S311 - no secret

    def _fraction(self, http_status: int, rpc: str, route: str) -> float:
        values = {"method": rpc, "path": route}
        for rule in self._rules:
            if rule.kind == "status":
                status = str(http_status)
                matches = rule.pattern in (status, f"{status[0]}xx")
            else:
                matches = fnmatchcase(values[rule.kind], rule.pattern)
            if matches:
                return rule.fraction
        return 1.0
