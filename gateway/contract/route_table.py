"""The routes of a contract: a trie over path segments.

Literals are tried before `*`, and `*` before `**`; the matcher backtracks. So `/v1/foo` hides `/v1/{name}`
only for the path `/v1/foo`. The cost of a match depends on the length of the path, not on the number of
routes.

Rule: the raw, percent-encoded path is matched, then captures are decoded: a single segment completely, a
multi-segment capture without `%2F` (google/api/http.proto, "Path template syntax"). Paths are not normalized:
an empty segment, from `//` or a trailing `/`, matches only `**`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import unquote

from gateway.contract.http_rule import ANY_METHOD
from gateway.contract.path_template import DEEP_WILDCARD, WILDCARD, PathTemplate

T = TypeVar("T")

_MAX_NEAR_LENGTH: Final = 256
"""Maximum characters of a path for which a near template is looked for."""
_MAX_NEAR_STEPS: Final = 256
"""Maximum nodes and literals that are compared with one path."""
_ENCODED_SLASH: Final = re.compile("(%2[Ff])")


class RouteConflict(ValueError):
    """Two routes match the same requests; `other` is the target of the earlier one."""

    def __init__(self, other: object) -> None:
        self.other = other
        super().__init__(str(other))


class RouteMatch(Generic[T]):
    """The matched target, and the decoded captures in the order of the template's variables."""

    __slots__ = ("captures", "target")

    def __init__(self, target: T, captures: tuple[str, ...]) -> None:
        self.target = target
        self.captures = captures


@dataclass(frozen=True, slots=True)
class NoRoute:
    """No route matched; `allowed` are the HTTP methods for which the path has a route."""

    allowed: frozenset[str]


class _Leaf(Generic[T]):
    __slots__ = ("target", "template")

    def __init__(self, template: PathTemplate, target: T) -> None:
        self.template = template
        self.target = target


class _Node(Generic[T]):
    __slots__ = ("deep", "leaves", "literals", "wildcard")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.wildcard: _Node[T] | None = None
        self.deep: dict[tuple[str, str], _Leaf[T]] = {}
        """(HTTP method, verb) -> route that ends in `**` at this node."""
        self.leaves: dict[tuple[str, str], _Leaf[T]] = {}
        """(HTTP method, verb) -> route that ends at this node."""


class RouteTable(Generic[T]):
    """Maps an HTTP method and a raw path to a target; filled at start-up by `add`."""

    def __init__(self, *, fully_decode: bool = False) -> None:
        """Makes an empty table.

        Args:
            fully_decode: whether `%2F` in a multi-segment capture is decoded
                (`google.api.Http.fully_decode_reserved_expansion`).
        """
        self._keep_slashes = not fully_decode
        self._root: _Node[T] = _Node()
        self._verbs: set[str] = set()
        self.literal: dict[tuple[str, str], RouteMatch[T]] = {}
        """(HTTP method, path) -> route without wildcards, which precedes any other."""

    def add(self, http_method: str, template: PathTemplate, target: T) -> None:
        """Adds a route.

        Raises:
            RouteConflict: a route with the same method, segments and verb exists.
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
            self.literal[http_method, str(template)] = RouteMatch(target, ())
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
        """Finds the route of a request.

        Args:
            http_method: the request's method.
            raw_path: the percent-encoded path without the query.

        Raises:
            UnicodeDecodeError: a capture is not UTF-8.
        """
        literal = self.literal.get((http_method, raw_path))
        if literal is not None:
            return literal
        allowed: set[str] = set()
        for segments, verb in self._splits(raw_path):
            for leaves in _candidates(self._root, segments, 0):
                leaf = leaves.get((http_method, verb)) or leaves.get((ANY_METHOD, verb))
                if leaf is not None:
                    return RouteMatch(leaf.target, self._captures(leaf.template, segments))
                allowed.update(method for method, leaf_verb in leaves if leaf_verb == verb)
        return NoRoute(frozenset(allowed))

    def targets_of(self, raw_path: str) -> Iterator[T]:
        """Yields the target of every route that matches a path, whatever its HTTP method."""
        for segments, verb in self._splits(raw_path):
            for leaves in _candidates(self._root, segments, 0):
                yield from (
                    leaf.target for (_, leaf_verb), leaf in leaves.items() if leaf_verb == verb
                )

    def near(self, raw_path: str) -> PathTemplate | None:
        """Finds the template of a route that a path without a route misses by one slip.

        A slip is a trailing slash, or one character too many, too few, wrong or swapped in one literal
        segment or in the verb. Cost and length of the path are bounded, since anybody can send such paths.
        """
        if len(raw_path) > _MAX_NEAR_LENGTH or not raw_path.startswith("/"):
            return None
        *parents, last = raw_path[1:].split("/")
        if not last:
            return self._first(self._root, parents, "")
        rest, _, verb = last.rpartition(":")
        for known in self._verbs if rest else ():
            if is_near(unquote(verb), known):
                found = self._first(self._root, [*parents, rest], known)
                if found is not None:
                    return found
        steps = iter(range(_MAX_NEAR_STEPS))
        for segments, verb in self._splits(raw_path):
            for node, index in _corrected(self._root, segments, 0, steps):
                found = self._first(node, segments, verb, index)
                if found is not None:
                    return found
        return None

    @staticmethod
    def _first(
        node: _Node[T], segments: list[str], verb: str, index: int = 0
    ) -> PathTemplate | None:
        """Returns the first template that matches from a node on, whatever its HTTP method."""
        for leaves in _candidates(node, segments, index):
            for (_, leaf_verb), leaf in leaves.items():
                if leaf_verb == verb:
                    return leaf.template
        return None

    def _splits(self, raw_path: str) -> Sequence[tuple[list[str], str]]:
        """Returns the segments and verb of a path: split at a verb that a route has, then without a verb."""
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
    node: _Node[T], segments: list[str], index: int
) -> Iterator[dict[tuple[str, str], _Leaf[T]]]:
    """Yields the routes that match the segments from `index` on, most literal first."""
    if index == len(segments):
        yield node.leaves
    else:
        segment = segments[index]
        literal = node.literals.get(unquote(segment) if "%" in segment else segment)
        if literal is not None:
            yield from _candidates(literal, segments, index + 1)
        if node.wildcard is not None and segment:
            yield from _candidates(node.wildcard, segments, index + 1)
    if node.deep:
        yield node.deep


def _corrected(
    node: _Node[T], segments: list[str], index: int, steps: Iterator[int]
) -> Iterator[tuple[_Node[T], int]]:
    """Yields the nodes that a path reaches if one of its segments is replaced by a near literal.

    Args:
        node: where the search starts.
        segments: of the path.
        index: of the first segment that is compared.
        steps: one is taken for each node and each literal; at their end the search ends.
    """
    if index == len(segments) or next(steps, None) is None:
        return
    segment = unquote(segments[index])
    for literal, child in node.literals.items():
        if next(steps, None) is None:
            return
        if literal == segment:
            yield from _corrected(child, segments, index + 1, steps)
        elif is_near(segment, literal):
            yield child, index + 1
    if node.wildcard is not None and segment:
        yield from _corrected(node.wildcard, segments, index + 1, steps)


def is_near(text: str, other: str) -> bool:
    """Whether two texts differ by one edit: a character added, removed, replaced, or swapped with the next.

    Texts that differ only in case are near; single characters are not.
    """
    if min(len(text), len(other)) < 2 or abs(len(text) - len(other)) > 1:
        return False
    if text.casefold() == other.casefold():
        return True
    start = _common(text, other)
    rest, other_rest = text[start:], other[start:]
    end = _common(rest[::-1], other_rest[::-1])
    middle, other_middle = rest[: len(rest) - end], other_rest[: len(other_rest) - end]
    one_edit = max(len(middle), len(other_middle)) == 1
    return one_edit or (len(middle) == 2 and middle == other_middle[::-1])


def _common(text: str, other: str) -> int:
    """Returns the length of the common prefix."""
    pairs = zip(text, other, strict=False)
    shorter = min(len(text), len(other))
    return next((index for index, (one, two) in enumerate(pairs) if one != two), shorter)


def _decode(text: str, *, keep_slashes: bool) -> str:
    if not keep_slashes:
        return unquote(text, errors="strict")
    return "".join(
        part if index % 2 else unquote(part, errors="strict")
        for index, part in enumerate(_ENCODED_SLASH.split(text))
    )
