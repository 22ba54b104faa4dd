"""Pages are read as tests/tutorial/page.py says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tutorial.page import Block, Command, blocks, expected, save

PAGE = """\
Text, <http://localhost:8080/docs>.

```console terminal="2" first="unary"
$ one \\
  --more
printed
$ two
```
"""
SERVICE = "service A {\n  rpc B(C) returns (D);\n}\n\nmessage C {\n}\n"


def test_blocks_and_links_come_in_order() -> None:
    """A link is a block, too; a command has its continuation lines and its output."""
    link, block = blocks(PAGE)

    assert (link.language, link.text) == ("link", "http://localhost:8080/docs")
    assert (block.language, block.line) == ("console", 3)
    assert block.attributes == {"terminal": "2", "first": "unary"}
    assert block.commands() == [Command("one \\\n  --more", "printed"), Command("two", "")]


@pytest.mark.parametrize(
    ("output", "printed", "same"),
    [
        ("a b", "a b\n", True),
        ("a b", "a c\n", False),
        ("a … b", "a x y b\n", True),
        ("a …", "b\n", False),
        ("…\nz", "x\ny\nz\n", True),
        ("…\nz", "z\n", True),
        ("a", "a\nb\n", False),
        ("", "", True),
        ("", "warning\n", False),
    ],
)
def test_an_output_is_exact_but_for_dots(output: str, printed: str, *, same: bool) -> None:
    """`…` is any text of a line, or any lines."""
    assert bool(expected(output).fullmatch(printed)) == same


@pytest.mark.parametrize(
    ("attributes", "result"),
    [
        ({}, "x\n"),
        ({"append": ""}, SERVICE + "x\n"),
        ({"replace": "rpc B"}, SERVICE.replace("  rpc B(C) returns (D);\n", "x\n")),
        ({"replace": "service A"}, "x\n\nmessage C {\n}\n"),
        ({"after": "service A"}, SERVICE.replace("\n\nmessage", "\nx\n\nmessage")),
    ],
)
def test_a_file_is_edited_as_the_page_says(
    tmp_path: Path, attributes: dict[str, str], result: str
) -> None:
    """A part is the line that begins so, and what is indented below it."""
    (tmp_path / "f").write_text(SERVICE)
    save(Block("proto", "x\n", 1, {"title": "f"} | attributes), tmp_path)

    assert (tmp_path / "f").read_text() == result
