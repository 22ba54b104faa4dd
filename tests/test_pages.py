"""The pages keep the rules of CONTRIBUTING.md, and the checker finds what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_pages import ROOT, RULES, check, heading_anchors, markdown_files, reached

STYLE = """\
# Contributing

## Glossary

| Term | Meaning | Not |
| --- | --- | --- |
| **backpressure** | a slow reader makes the writer wait | `back-pressure` |
| **WebSocket** | RFC 6455 | `websocket` |
| **a name that says what a thing does** | codec, pool | `helper` |

## Riddles

| Not | Say |
| --- | --- |
| `is asked whether it is there` | keepalive ping |

## Names in headings

`Envoy`.
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    """Returns what is wrong with one page, without its path."""
    (tmp_path / "page.md").write_text(text)
    (tmp_path / "there.md").write_text("# There\n")  # what its headings are is in `pages`
    pages = {
        "README.md": f"# Start\n\n[a](page.md) [b](there.md) [c]({RULES})\n",
        "page.md": text,
        "there.md": "# There\n\n## A `b` & c\n\n## Two\n",
        RULES: STYLE,
    }
    (tmp_path / RULES).write_text(STYLE)
    return [found.removeprefix("page.md:") for found in check(pages, tmp_path)]


def test_all_pages_are_right() -> None:
    """Links, headings and words of every page of the project."""
    pages = {path: (ROOT / path).read_text() for path in markdown_files(ROOT)}

    assert list(check(pages, ROOT)) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[a](nowhere.md)", "the link to nowhere.md leads to no file"),
        ("[a](there.md#three)", "the link to there.md#three leads to no heading"),
        ("[a](#three)", "the link to #three leads to no heading"),
        ("[a]: nowhere.md", "the link to nowhere.md leads to no file"),
        ("![a](nowhere.png)", "the link to nowhere.png leads to no file"),
        ("[a [b]](nowhere.md)", "the link to nowhere.md leads to no file"),
        ("has back-pressure", "not 'back-pressure': say backpressure"),
        ("two Helpers", "not 'Helpers': say a name that says what a thing does"),
        ("a websocket", "not 'websocket': say WebSocket"),
        (
            "it is asked whether it is there",
            "not 'is asked whether it is there': say keepalive ping",
        ),
        ("## Page", "the heading 'Page' is there twice"),
        ("## Title Case", "the heading 'Title Case' is not in sentence case: Case"),
        ("## An end.", "the heading 'An end.' ends with a mark"),
        ("### Deep", "the heading 'Deep' skips a level"),
        ("# Other", "a page has one title, which is its first heading"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, line: str, problem: str) -> None:
    """Each problem is told once, with its line where it has one."""
    (found,) = problems(tmp_path, f"# Page\n\n{line}\n")

    assert found.partition(": ")[2] == problem
    assert found.startswith(("3:", "1: a page has one title"))


@pytest.mark.parametrize(
    "line",
    [
        "[a](there.md) [b](there.md#a-b--c) [c](there.md#two) [d](#page) ![e](there.md)",
        "[a](https://example.org/nowhere#at-all) <https://example.org>",
        "`[a](nowhere.md)` and `helper`",
        "```\n[a](nowhere.md) helper\n# Page\n```",
        "a WebSocket with backpressure",
        "## Before Envoy",
        "## `Some Name`, and a URL",
        "## A sentence. Another one",
    ],
)
def test_what_is_right_is_passed(tmp_path: Path, line: str) -> None:
    """Code is not read, nor what is on other hosts; terms and names are as the glossary has them."""
    assert problems(tmp_path, f"# Page\n\n{line}\n") == []


def test_pages_are_reached_by_links() -> None:
    """Over other pages and folders too, and not by links in code."""
    pages = {
        "README.md": "[a](docs/a.md#x) `[c](docs/c.md)` [all](folder/)",
        "docs/a.md": "[b](../b.md) [self](#x) [host](https://docs/c.md)",
        "b.md": "",
        "docs/c.md": "[a](a.md)",
        "folder/d.md": "",
    }

    assert reached(pages, "README.md") == {"README.md", "docs/a.md", "b.md", "folder/d.md"}


def test_anchors_are_those_of_github() -> None:
    """Lower case, no punctuation, hyphens for spaces, and a number where one is there already."""
    page = "# Déjà vu\n\n## `a_b`: what, [where](x.md)?\n\n## A & b\n\n## A & B\n"

    assert list(heading_anchors(page)) == ["déjà-vu", "a_b-what-where", "a--b", "a--b-1"]
