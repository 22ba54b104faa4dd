"""Patterns that say which requests a rule is for.

| Pattern | Requests |
| --- | --- |
| `*` | all |
| `package.Service/*`, `package.*` | the methods of a service; those below a package |
| `package.Service/Method`, `package.Service.Method` | one method, by each of its bindings |
| `GET /v1/books/{id}`, `/v1/books/{id}` | one binding, by its template; the names of variables do not count |
| `/docs`, `GET /app/*`, `/app/**` | requests by their path: `*` is one segment, `**` any number, none too |
| `pages` | what is neither the contract's nor a path of the edge's own: files, routes of the application |

A template is compared with a path pattern as a whole: one that takes in only some of a binding's requests is
an error, so that a binding has one decision.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import unquote

from gateway.contract.http_rule import ANY_METHOD, Binding
from gateway.contract.path_template import DEEP_WILDCARD, WILDCARD, WILDCARDS, PathTemplate

_METHODS: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\.\*|/\*|/[A-Za-z_]\w*)?", re.ASCII)
_PATH: Final = re.compile(r"(?:([A-Z][A-Z0-9-]*)\s+)?(/.*)", re.ASCII)
_SYNTAX: Final = (
    "write *, pages, package.Service/*, package.Service/Method, GET /path/{variable} or /path/**"
)


_ANY_PATH: Final = PathTemplate((DEEP_WILDCARD,))


class Kind(Enum):
    """What a pattern compares."""

    ALL = "*"
    PAGES = "pages"
    METHODS = "methods"
    BINDING = "binding"
    PATH = "path"


class Covers(Enum):
    """How much of something a pattern takes in."""

    NONE = 0
    SOME = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern."""

    text: str
    kind: Kind
    http_method: str = ""
    """HTTP method; empty: any. GET takes in HEAD."""
    template: PathTemplate = _ANY_PATH
    """Of a binding or a path."""

    def covers(self, binding: Binding) -> Covers:
        """Returns how many of a binding's requests it takes in."""
        if self.kind is Kind.ALL:
            return Covers.ALL
        if self.kind is Kind.PAGES:
            return Covers.NONE
        if self.kind is Kind.METHODS:
            return Covers.ALL if self._names(binding) else Covers.NONE
        if self.kind is Kind.BINDING:
            same = _shape(self.template) == _shape(binding.template)
            found = Covers.ALL if same else Covers.NONE
        else:
            found = _path_covers(self.template, binding.template)
        if found is Covers.NONE or self.http_method in ("", binding.http_method):
            return found
        return Covers.SOME if binding.http_method == ANY_METHOD else Covers.NONE

    def _names(self, binding: Binding) -> bool:
        name = binding.method.full_name
        wanted = self.text.replace("/", ".")
        return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted

    def matches(self, http_method: str, segments: Sequence[str]) -> bool:
        """Whether a request with a decoded path, given by its segments, is taken in by its path."""
        wanted = self.http_method
        if wanted and wanted != http_method and (wanted, http_method) != ("GET", "HEAD"):
            return False
        return self.takes_path(segments)

    def takes_path(self, segments: Sequence[str]) -> bool:
        """Whether it takes in a decoded path."""
        if self.kind in (Kind.ALL, Kind.PAGES):
            return True
        if self.kind is not Kind.PATH:
            return False
        own = literals(self.template)
        if own[-1:] == (DEEP_WILDCARD,):
            own = own[:-1]
            segments = segments[: len(own)]
        return len(own) == len(segments) and all(
            (literal == WILDCARD and segment) or literal == segment
            for literal, segment in zip(own, segments, strict=True)
        )

    def hides(self, other: Pattern) -> bool:
        """Whether it takes in all paths of another one."""
        if self.kind in (Kind.ALL, Kind.PAGES):
            return True
        if self.kind is not Kind.PATH:
            return False
        if self.http_method not in ("", other.http_method):
            return False
        return _path_covers(self.template, other.template) is Covers.ALL


def parse_pattern(text: str) -> Pattern:
    """Reads a pattern.

    Raises:
        ValueError: it is none; the text says what to write.
    """
    if text in (Kind.ALL.value, Kind.PAGES.value):
        return Pattern(text, Kind(text))
    if found := _PATH.fullmatch(text):
        try:
            template = PathTemplate.parse(found[2])
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None
        kind = Kind.BINDING if template.variables else Kind.PATH
        return Pattern(text, kind, found[1] or "", template)
    if _METHODS.fullmatch(text):
        return Pattern(text, Kind.METHODS)
    raise ValueError(f"{text!r} is no pattern of requests: {_SYNTAX}")


def literals(template: PathTemplate) -> tuple[str, ...]:
    """Returns the segments of a path pattern, decoded, the verb with the last."""
    segments = [unquote(segment) for segment in template.segments]
    if template.verb:
        segments[-1] += f":{unquote(template.verb)}"
    return tuple(segments)


def _shape(template: PathTemplate) -> tuple[tuple[str, ...], str]:
    return tuple(map(unquote, template.segments)), unquote(template.verb)


def _path_covers(pattern: PathTemplate, template: PathTemplate) -> Covers:
    """Returns how many paths of a template a path pattern takes in."""
    ours, theirs = pattern.segments, template.segments
    found = Covers.ALL
    for index, one in enumerate(ours):
        if one == DEEP_WILDCARD:
            return found
        if index == len(theirs):
            return Covers.NONE
        other = theirs[index]
        if other == DEEP_WILDCARD:
            return Covers.SOME
        if one == WILDCARD:
            continue
        if other == WILDCARD:
            found = Covers.SOME
        elif unquote(one) != unquote(other):
            return Covers.NONE
    if len(theirs) > len(ours):
        return Covers.SOME if theirs[len(ours)] == DEEP_WILDCARD else Covers.NONE
    return found if _verbs_agree(pattern, template) else Covers.NONE


def _verbs_agree(pattern: PathTemplate, template: PathTemplate) -> bool:
    """Whether the verb of a template may follow a pattern: `*` takes in a verb, as a part of its segment."""
    if unquote(pattern.verb) == unquote(template.verb):
        return True
    return not pattern.verb and pattern.segments[-1:] in [(each,) for each in WILDCARDS]
