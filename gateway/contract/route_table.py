"""All routes of a contract as one trie over path segments.

Literals come before `*`, `*` before `**`; a branch that ends nowhere is given up for the next one, so
that `/v1/foo` hides `/v1/{name}` for no request but its own. The work of a look-up grows with the length
of the path, not with the number of routes.

Rule: matches on the raw path (percent-encoded, as it came), and decodes what it captured afterwards: a
single segment fully, a capture of several segments all but `%2F`, which stays as it was written
(google/api/http.proto, "Path template syntax"). Nothing is normalized: an empty segment, as `//` and a `/`
at the end make, is a segment that `**` takes and nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar
from urllib.parse import unquote

from gateway.contract.http_rule import ANY_METHOD
from gateway.contract.path_template import DEEP_WILDCARD, WILDCARD, PathTemplate

T = TypeVar("T")

_ENCODED_SLASH: Final = re.compile("(%2[Ff])")


class RouteConflict(ValueError):
    """Two routes that the same requests would reach; `other` is the one that was there before."""

    def __init__(self, other: object) -> None:
        self.other = other
        super().__init__(str(other))


@dataclass(slots=True)
class RouteMatch(Generic[T]):
    """A hit: the target, and the decoded captures in the order of the template's variables."""

    target: T
    captures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoRoute:
    """A miss; `allowed` are the HTTP methods with which the path would have been found."""

    allowed: frozenset[str]


@dataclass(slots=True)
class _Leaf(Generic[T]):
    template: PathTemplate
    target: T


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    wildcard: _Node[T] | None = None
    deep: dict[tuple[str, str], _Leaf[T]] = field(default_factory=dict)
    """(HTTP method, verb) -> what is reached by a `**` here."""
    leaves: dict[tuple[str, str], _Leaf[T]] = field(default_factory=dict)
    """(HTTP method, verb) -> what is reached where the path ends here."""


class RouteTable(Generic[T]):
    """Finds the target of an HTTP method and a raw path; filled at start-up by `add`."""

    def __init__(self, *, fully_decode: bool = False) -> None:
        """Makes an empty table.

        Args:
            fully_decode: whether a capture of several segments is decoded fully, `%2F` too
                (`google.api.Http.fully_decode_reserved_expansion`).
        """
        self._keep_slashes = not fully_decode
        self._root: _Node[T] = _Node()
        self._verbs: set[str] = set()
        self._literal: dict[tuple[str, str], RouteMatch[T]] = {}
        """HTTP method and path -> what nothing else can be before: a template of literals alone."""

    def add(self, http_method: str, template: PathTemplate, target: T) -> None:
        """Adds a route.

        Raises:
            RouteConflict: a route with the same method, segments and verb is there already.
        """
        node = self._root
        segments = template.segments[:-1] if template.has_deep_wildcard else template.segments
        for segment in segments:
            node = self._child(node, segment)
        leaves = node.deep if template.has_deep_wildcard else node.leaves
        verb = unquote(template.verb)
        key = (http_method, verb)
        if key in leaves:
            raise RouteConflict(leaves[key].target)
        leaves[key] = _Leaf(template, target)
        if template.is_literal:
            self._literal[http_method, str(template)] = RouteMatch(target, ())
        if verb:
            self._verbs.add(verb)

    @staticmethod
    def _child(node: _Node[T], segment: str) -> _Node[T]:
        if segment == WILDCARD:
            if node.wildcard is None:
                node.wildcard = _Node()
            return node.wildcard
        return node.literals.setdefault(unquote(segment), _Node())

    def match(self, http_method: str, raw_path: str) -> RouteMatch[T] | NoRoute:
        """Finds the route of a request; `raw_path` is without the query."""
        literal = self._literal.get((http_method, raw_path))
        if literal is not None:
            return literal
        allowed: set[str] = set()
        for segments, verb in self._splits(raw_path):
            for leaves in _candidates(self._root, segments, 0):
                leaf = leaves.get((http_method, verb)) or leaves.get((ANY_METHOD, verb))
                if leaf is not None:
                    return RouteMatch(leaf.target, self._captures(leaf.template, segments))
                allowed.update(method for method, own_verb in leaves if own_verb == verb)
        return NoRoute(frozenset(allowed))

    def targets_of(self, raw_path: str) -> Iterator[T]:
        """Yields the target of every route that matches a path, whatever its HTTP method."""
        for segments, verb in self._splits(raw_path):
            for leaves in _candidates(self._root, segments, 0):
                yield from (leaf.target for (_, own), leaf in leaves.items() if own == verb)

    def _splits(self, raw_path: str) -> Sequence[tuple[list[str], str]]:
        """Returns the ways to read a path: with its verb split off, if some route has it, and whole."""
        if not raw_path.startswith("/"):
            return ()
        segments = raw_path[1:].split("/") if raw_path != "/" else []
        whole = (segments, "")
        if segments and ":" in segments[-1]:
            rest, _, written = segments[-1].rpartition(":")
            verb = unquote(written)
            if verb in self._verbs:
                return ([*segments[:-1], rest], verb), whole
        return (whole,)

    def _captures(self, template: PathTemplate, segments: list[str]) -> tuple[str, ...]:
        if not template.variables:
            return ()
        captures: list[str] = []
        for variable in template.variables:
            deep = template.segments[variable.end - 1] == DEEP_WILDCARD
            text = "/".join(segments[variable.start : len(segments) if deep else variable.end])
            keep_slashes = variable.multi_segment and self._keep_slashes
            captures.append(_decode(text, keep_slashes=keep_slashes) if "%" in text else text)
        return tuple(captures)


def _candidates(
    node: _Node[T], segments: list[str], at: int
) -> Iterator[dict[tuple[str, str], _Leaf[T]]]:
    """Yields what a path reaches, the most literal first."""
    if at == len(segments):
        yield node.leaves
    else:
        segment = segments[at]
        literal = node.literals.get(unquote(segment) if "%" in segment else segment)
        if literal is not None:
            yield from _candidates(literal, segments, at + 1)
        if node.wildcard is not None and segment:
            yield from _candidates(node.wildcard, segments, at + 1)
    if node.deep:
        yield node.deep


def _decode(text: str, *, keep_slashes: bool) -> str:
    if not keep_slashes:
        return unquote(text, errors="strict")
    return "".join(
        part if index % 2 else unquote(part, errors="strict")
        for index, part in enumerate(_ENCODED_SLASH.split(text))
    )
