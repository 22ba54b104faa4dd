r"""The path templates of `google.api.http`, parsed by the productions of their grammar.

    Template = "/" Segments [ Verb ] ;
    Segments = Segment { "/" Segment } ;
    Segment  = "*" | "**" | LITERAL | Variable ;
    Variable = "{" FieldPath [ "=" Segments ] "}" ;
    FieldPath = IDENT { "." IDENT } ;
    Verb     = ":" LITERAL ;

Source: google/api/http.proto, "Path template syntax", and its prose: `{var}` is `{var=*}`, variables do not
nest, and `**` is the last segment before the verb. One extension: the template `/` is the root path, as in
Google's parsers. One restriction: `.` and `..` segments, encoded or not, are errors, because clients remove
them from a path (RFC 3986, 5.2.4).

Rule: every error is a `TemplateError` with the column of the problem.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

WILDCARD: Final = "*"
DEEP_WILDCARD: Final = "**"
WILDCARDS: Final = (WILDCARD, DEEP_WILDCARD)

_IDENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# RFC 3986 pchar, without the characters of the template syntax: `*`, `=` and `:`
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;@]|%[0-9A-Fa-f]{2})+")
_DOT_SEGMENTS: Final = (".", "..")


class TemplateError(ValueError):
    """A path template that does not follow the grammar; `column` starts at 1."""

    def __init__(self, problem: str, template: str, column: int) -> None:
        self.problem = problem
        self.template = template
        self.column = column
        super().__init__(f"path template {template!r}, column {column}: {problem}")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable; it captures the path segments from `start` to `end` (exclusive)."""

    field_path: str
    start: int
    end: int
    multi_segment: bool
    """Whether it may capture several segments; then `%2F` is not decoded in its value."""
    column: int = field(default=0, compare=False, repr=False)
    """Column of its name in the template, from 1."""


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A parsed template: its segments, the variables over them, and the verb (empty: none)."""

    segments: tuple[str, ...]
    variables: tuple[Variable, ...] = ()
    verb: str = ""

    @classmethod
    def parse(cls, text: str) -> PathTemplate:
        """Parses a path template.

        Raises:
            TemplateError: the text does not follow the grammar or the prose of http.proto.
        """
        return _Parser(text).template()

    @property
    def has_deep_wildcard(self) -> bool:
        """Whether the last segment is `**`, which matches zero or more segments."""
        return bool(self.segments) and self.segments[-1] == DEEP_WILDCARD

    @property
    def is_literal(self) -> bool:
        """Whether it matches exactly one path, apart from percent-encoding."""
        return not self.variables and not any(s in WILDCARDS for s in self.segments)

    def __str__(self) -> str:
        starts = {variable.start: variable for variable in self.variables}
        shown: list[str] = []
        index = 0
        while index < len(self.segments):
            if variable := starts.get(index):
                pattern = "/".join(self.segments[variable.start : variable.end])
                equals = "" if pattern == WILDCARD else f"={pattern}"
                shown.append(f"{{{variable.field_path}{equals}}}")
                index = variable.end
            else:
                shown.append(self.segments[index])
                index += 1
        return "/" + "/".join(shown) + (f":{self.verb}" if self.verb else "")


class _Parser:
    """A recursive descent parser with one method per production."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        """Offset of the next character."""
        self._segments: list[str] = []
        self._variables: list[Variable] = []

    def template(self) -> PathTemplate:
        self._expect("/")
        if self._at < len(self._text):
            self._segments_(in_variable=False)
        verb = self._verb()
        if self._at < len(self._text):
            raise self._error(f"unexpected {self._peek()!r}")
        self._check_deep_wildcard()
        return PathTemplate(tuple(self._segments), tuple(self._variables), verb)

    def _segments_(self, *, in_variable: bool) -> None:
        self._segment(in_variable=in_variable)
        while self._peek() == "/":
            self._at += 1
            self._segment(in_variable=in_variable)

    def _segment(self, *, in_variable: bool) -> None:
        if self._peek() == "{":
            if in_variable:
                raise self._error("a variable inside a variable")
            self._variable()
        elif self._text.startswith(DEEP_WILDCARD, self._at):
            self._wildcard(DEEP_WILDCARD)
        elif self._peek() == WILDCARD:
            self._wildcard(WILDCARD)
        else:
            start = self._at
            segment = self._literal("a segment")
            if unquote(segment) in _DOT_SEGMENTS:
                raise self._error(f"clients remove the segment {segment!r} from a path", at=start)
            self._segments.append(segment)

    def _wildcard(self, text: str) -> None:
        self._at += len(text)
        self._segments.append(text)
        if self._peek() not in ("", "/", ":", "}"):
            raise self._error(f"{text!r} is a whole segment, or none of one")

    def _variable(self) -> None:
        opened = self._at
        self._expect("{")
        field_path = self._field_path()
        if any(variable.field_path == field_path for variable in self._variables):
            raise self._error(f"the field {field_path!r} is captured twice", at=opened + 1)
        start = len(self._segments)
        if self._peek() == "=":
            self._at += 1
            self._segments_(in_variable=True)
        else:
            self._segments.append(WILDCARD)
        self._expect("}", f"the {{ at column {opened + 1} is not closed")
        captured = self._segments[start:]
        multi_segment = len(captured) > 1 or captured == [DEEP_WILDCARD]
        self._variables.append(
            Variable(field_path, start, len(self._segments), multi_segment, opened + 2)
        )
        if self._peek() not in ("", "/", ":"):
            raise self._error("a variable is a whole segment, or none of one")

    def _field_path(self) -> str:
        names = [self._ident()]
        while self._peek() == ".":
            self._at += 1
            names.append(self._ident())
        return ".".join(names)

    def _ident(self) -> str:
        return self._token(_IDENT, "a field name")

    def _verb(self) -> str:
        if self._peek() != ":":
            return ""
        self._at += 1
        return self._literal("a verb")

    def _literal(self, what: str) -> str:
        return self._token(_LITERAL, what)

    def _token(self, pattern: re.Pattern[str], what: str) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise self._error(f"expected {what}, found {self._found()}")
        self._at = match.end()
        return match.group()

    def _check_deep_wildcard(self) -> None:
        if DEEP_WILDCARD in self._segments[:-1]:
            column = self._text.index(DEEP_WILDCARD) + 1
            raise TemplateError("'**' must be the last segment", self._text, column)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _found(self) -> str:
        return repr(self._peek()) if self._peek() else "the end"

    def _expect(self, character: str, problem: str = "") -> None:
        if self._peek() != character:
            raise self._error(problem or f"expected {character!r}, found {self._found()}")
        self._at += 1

    def _error(self, problem: str, *, at: int | None = None) -> TemplateError:
        return TemplateError(problem, self._text, (self._at if at is None else at) + 1)
