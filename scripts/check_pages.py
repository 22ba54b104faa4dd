"""Checks the Markdown pages: links, headings and words. No network is used.

python scripts/check_pages.py

A relative link leads to a file, and its `#anchor` to a heading of that file. Links lead from README.md to
every page. A page has one title, no heading twice, and headings in sentence case. The words come from
CONTRIBUTING.md: its glossary names what not to say for each term, and its table of riddles the phrases that
had to be read twice.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from posixpath import dirname, normpath
from typing import Final
from urllib.parse import unquote

ROOT: Final = Path(__file__).resolve().parent.parent
START: Final = "README.md"
RULES: Final = "CONTRIBUTING.md"
_SKIPPED_FOLDERS: Final = frozenset({"build", "node_modules"})
_NOT_SPOKEN: Final = frozenset({"CHANGELOG.md"})
"""Pages that tell history, whose words are not checked."""

_FENCE: Final = re.compile(r"^ *(```|~~~).*?^ *\1[^\n]*$", re.MULTILINE | re.DOTALL)
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE: Final = re.compile(r"(`+)(?!`)(?:(?!\n\n).)+?(?<!`)\1(?!`)", re.DOTALL)
_HEADING: Final = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.MULTILINE)
_LINK: Final = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\(<?([^)>\s]*)>?(?: +\"[^\"]*\")?\)")
_REFERENCE: Final = re.compile(r"^ *\[[^\]]+\]: *<?([^>\s]+)", re.MULTILINE)
_ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_ROW: Final = re.compile(r"^\|(.+)\|$", re.MULTILINE)
_SPAN: Final = re.compile(r"`([^`]+)`")
_WORD: Final = re.compile(r"[A-Za-z][\w'-]*")
_CAPITALISED: Final = re.compile(r"[A-Z][a-z]+(?:-[A-Za-z]+)*$")


@dataclass(frozen=True)
class Rule:
    """A phrase that is not used, and what is said instead."""

    phrase: str
    instead: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the phrase and its plural; case counts where that is all that is wrong."""
        words = r"\s+".join(map(re.escape, self.phrase.split()))
        same = self.phrase.lower() == self.instead.lower()
        return re.compile(rf"(?<!\w){words}(?:e?s)?(?!\w)", re.NOFLAG if same else re.IGNORECASE)


@dataclass(frozen=True)
class Style:
    """What CONTRIBUTING.md says of words."""

    rules: tuple[Rule, ...]
    names: frozenset[str]
    """Words that begin with a capital wherever they stand in a heading."""


def main() -> int:
    """Prints every problem of every page; returns the exit status."""
    pages = {path: (ROOT / path).read_text() for path in markdown_files(ROOT)}
    problems = list(check(pages, ROOT))
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(pages)} pages, no problems")
    return 1 if problems else 0


def markdown_files(root: Path) -> list[str]:
    """Returns the paths of all Markdown files below a folder, but for hidden and built ones."""
    paths = (path.relative_to(root) for path in root.rglob("*.md"))
    return sorted(
        path.as_posix()
        for path in paths
        if not any(part.startswith(".") or part in _SKIPPED_FOLDERS for part in path.parts[:-1])
    )


def check(pages: Mapping[str, str], root: Path) -> Iterator[str]:
    """Yields the problems of pages, each as `path:line: what is wrong`.

    Args:
        pages: text of each page by its path below `root`; README.md and CONTRIBUTING.md are among them.
        root: where the files are that links lead to.
    """
    for path in sorted(pages.keys() - reached(pages, START)):
        yield f"{path}:1: no link leads here from {START}"
    style = read_style(pages[RULES])
    anchors = {path: frozenset(heading_anchors(text)) for path, text in pages.items()}
    for path, text in pages.items():
        found = [*bad_links(path, text, anchors, root), *bad_headings(text, style.names)]
        if path not in _NOT_SPOKEN:
            found += bad_words(text, style.rules)
        for at, problem in sorted(found):
            yield f"{path}:{text.count(chr(10), 0, at) + 1}: {problem}"


def read_style(text: str) -> Style:
    """Reads the glossary (term, meaning, not to say), the riddles (not to say, say) and the names.

    Raises:
        ValueError: one of the three sections is missing.
    """
    rules = [
        Rule(phrase, cells[0].strip("* "))
        for cells in _rows(text, "Glossary")
        for phrase in _SPAN.findall(cells[-1])
    ]
    rules += [
        Rule(phrase, cells[1].strip())
        for cells in _rows(text, "Riddles")
        for phrase in _SPAN.findall(cells[0])
    ]
    return Style(tuple(rules), frozenset(_SPAN.findall(_section(text, "Names in headings"))))


def _rows(text: str, heading: str) -> Iterator[list[str]]:
    """Yields the rows of the table below a heading, without its head."""
    yield from [row.split("|") for row in _ROW.findall(_section(text, heading))][2:]


def _section(text: str, heading: str) -> str:
    """Returns what is between a heading and the next one."""
    parts = re.split(rf"^#+ {heading}$", text, maxsplit=1, flags=re.MULTILINE)
    if len(parts) == 1:
        raise ValueError(f"{RULES} has no heading {heading!r}")
    return re.split(r"^#+ ", parts[1], maxsplit=1, flags=re.MULTILINE)[0]


def blanked(text: str, *, code_spans: bool = False) -> str:
    """Returns a text of the same length in which code is blank: blocks, and spans where told."""
    patterns = [_FENCE, _COMMENT, *([_CODE] if code_spans else [])]
    for pattern in patterns:
        text = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    return text


def headings(text: str) -> list[tuple[int, int, str]]:
    """Returns the headings of a page: offset, level and Markdown text of each."""
    return [(found.start(), len(found[1]), found[2]) for found in _HEADING.finditer(blanked(text))]


def heading_anchors(text: str) -> Iterator[str]:
    """Yields the anchors of a page as GitHub makes them of its headings; a repeated one is numbered."""
    seen: Counter[str] = Counter()
    for _, _, heading in headings(text):
        shown = _LINK.sub(r"\1", heading).replace("`", "")
        anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor
        seen[anchor] += 1


def bad_links(
    path: str, text: str, anchors: Mapping[str, frozenset[str]], root: Path
) -> Iterator[tuple[int, str]]:
    """Yields offset and problem of each relative link that leads nowhere."""
    for at, target in relative_links(text):
        page, anchor = resolved(path, target)
        if not (root / page).exists():
            yield at, f"the link to {target} leads to no file"
        elif anchor and anchor not in anchors.get(page, ()):
            yield at, f"the link to {target} leads to no heading"


def relative_links(text: str) -> Iterator[tuple[int, str]]:
    """Yields offset and target of each link and image of a page that leads to no other host."""
    prose = blanked(text, code_spans=True)
    for pattern in (_LINK, _REFERENCE):
        for found in pattern.finditer(prose):
            target = found[found.lastindex or 0]
            if not _ELSEWHERE.match(target):
                yield found.start(), target


def resolved(path: str, target: str) -> tuple[str, str]:
    """Returns the path below the root, and the anchor, that a link of a page leads to."""
    name, _, anchor = unquote(target).partition("#")
    return normpath(f"{path}/../{name}") if name else path, anchor


def reached(pages: Mapping[str, str], start: str) -> set[str]:
    """Returns the pages that links lead to from one of them, over any number of others.

    A link to a folder leads to the pages in it, which whoever shows the folder lists.
    """
    found, new = set[str](), {start}
    while new:
        path = new.pop()
        found.add(path)
        targets = {resolved(path, target)[0] for _, target in relative_links(pages[path])}
        new |= {page for page in pages if {page, dirname(page)} & targets} - found
    return found


def bad_headings(text: str, names: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Yields offset and problem of each heading that is there twice, or not as headings are."""
    found = headings(text)
    if [level for _, level, _ in found].count(1) != 1 or found[0][1] != 1:
        yield 0, "a page has one title, which is its first heading"
    for (_, upper, _), (at, lower, heading) in pairwise(found):
        if lower > upper + 1:
            yield at, f"the heading {heading!r} skips a level"
    seen: set[str] = set()
    for at, _, heading in found:
        if heading in seen:
            yield at, f"the heading {heading!r} is there twice"
        seen.add(heading)
        if heading.endswith((".", ":", ",")):
            yield at, f"the heading {heading!r} ends with a mark"
        for word in _title_case(heading, names):
            yield at, f"the heading {heading!r} is not in sentence case: {word}"


def _title_case(heading: str, names: frozenset[str]) -> Iterator[str]:
    """Yields the words of a heading, but for the first of each sentence, that have a capital for nothing."""
    sentences = re.split(r"[.:] ", blanked(_LINK.sub(r"\1", heading), code_spans=True))
    for sentence in sentences:
        for number, word in enumerate(_WORD.findall(sentence)):
            first = number == 0 and sentence.lstrip().startswith(word)
            if not first and _CAPITALISED.match(word) and word not in names:
                yield word


def bad_words(text: str, rules: tuple[Rule, ...]) -> Iterator[tuple[int, str]]:
    """Yields offset and problem of each phrase that CONTRIBUTING.md says not to use, outside code."""
    prose = blanked(text, code_spans=True)
    prose = re.sub(r"\]\([^)]*\)", lambda found: " " * len(found[0]), prose)
    for rule in rules:
        for found in rule.pattern.finditer(prose):
            yield found.start(), f"not {' '.join(found[0].split())!r}: say {rule.instead}"


if __name__ == "__main__":
    sys.exit(main())
