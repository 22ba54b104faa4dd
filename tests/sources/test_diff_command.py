"""`protoway diff`: what it prints, and its exit status."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gateway.cli import main

SERVICE = """
syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
service Shop {{ rpc Get(Query) returns (Book) {{ option (google.api.http) = {{ get: "{path}" }}; }} }}
message Query {{ string id = 1; {query} }}
message Book {{ string title = 1; {book} }}
"""


def revision(
    folder: Path, name: str, path: str = "/books/{id}", query: str = "", book: str = ""
) -> str:
    """Writes a revision of a contract; returns its path."""
    file = folder / name / "shop.proto"
    file.parent.mkdir()
    file.write_text(SERVICE.format(path=path, query=query, book=book))
    return str(file.parent)


TYPE = "the type changed from int32 to string"
OLD = {"query": "string shelf = 2;", "book": "int32 pages = 2;"}
CHANGES = {
    "nothing": (OLD, 0, []),
    "source": (
        {**OLD, "book": 'reserved 2; reserved "pages";'},
        3,
        ["source: shop.v1.Book.pages: the field 2 was deleted (FIELD_NO_DELETE, AIP-180)"],
    ),
    "http": (
        {**OLD, "path": "/v1/books/{id}"},
        4,
        [
            "http: shop.v1.Shop.Get: GET /books/{id} moved to GET /v1/books/{id} (HTTP_BINDING_SAME_PATH)"
        ],
    ),
    "json": (
        {**OLD, "book": "int32 n = 2;"},
        5,
        [
            "json: shop.v1.Book.pages: the JSON name changed from pages to n (FIELD_SAME_JSON_NAME, AIP-180)",
            "json: shop.v1.Book.pages: the name of field 2 changed to n (FIELD_SAME_NAME, AIP-180)",
        ],
    ),
    "wire": (
        {**OLD, "book": "string pages = 2;"},
        6,
        [
            f"wire: shop.v1.Book.pages: {TYPE} (FIELD_WIRE_COMPATIBLE_TYPE, AIP-180)",
        ],
    ),
}


@pytest.mark.parametrize("level", CHANGES)
def test_the_exit_status_is_that_of_the_worst_level(
    level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And each difference is one line: level, element, words, rule and AIP."""
    new, status, lines = CHANGES[level]
    arguments = ["diff", revision(tmp_path, "old", **OLD), revision(tmp_path, "new", **new)]

    assert main(arguments) == status
    *printed, last = capsys.readouterr().out.splitlines()
    assert printed == lines
    assert last == (f"broken: {len(lines)} {level}" if lines else "nothing is broken")


def test_lower_levels_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--level` names the lowest one that is reported and that fails."""
    old = revision(tmp_path, "old", **OLD)
    new = revision(tmp_path, "new", "/v1/{id}", query="string room = 2;", book=OLD["book"])

    statuses = [
        main(["diff", old, new, "--level", level]) for level in ("source", "http", "json", "wire")
    ]
    assert statuses == [5, 5, 5, 0]
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is broken"


def test_json_is_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object for each difference; the AIP where one says it."""
    old, new = revision(tmp_path, "old", **OLD), revision(tmp_path, "new", "/v1/{id}", **OLD)

    assert main(["diff", old, new, "--format", "json"]) == 4
    assert json.loads(capsys.readouterr().out) == {
        "differences": [
            {
                "level": "http",
                "rule": "HTTP_BINDING_SAME_PATH",
                "element": "shop.v1.Shop.Get",
                "text": "GET /books/{id} moved to GET /v1/{id}",
            }
        ]
    }


def test_rules_beside_the_contract_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--old-http-rules` for the one, `--http-rules` for the other, or for both."""
    api = revision(tmp_path, "old", **OLD)
    for name in "ab":
        rule = f"selector: shop.v1.Shop.Get\n    get: /{name}"
        (tmp_path / f"{name}.yaml").write_text(f"http:\n  rules:\n  - {rule}\n")
    a, b = str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")

    assert main(["diff", api, api, "--http-rules", a]) == 0
    assert main(["diff", api, api, "--old-http-rules", a, "--http-rules", b]) == 4
    assert "GET /a moved to GET /b" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["diff"], 2, "the following arguments are required: OLD, NEW"),
        (["diff", "a", "b", "c"], 2, "c: not an option"),
        (["diff", "a.binpb", "b.binpb"], 1, "cannot read a.binpb: No such file or directory"),
        (["diff", "git:x", "b"], 1, "git:x:: write git:REVISION:PATH"),
        (["diff", "a", "b", "--level", "x"], 2, "argument --level: invalid choice"),
        (["diff", "reflect:http://x:1", "b"], 1, "upstream: "),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and no differences."""
    with pytest.raises(SystemExit) as raised:
        sys.exit(main(arguments))
    assert raised.value.code == status
    captured = capsys.readouterr()
    assert captured.err.startswith(f"protoway: {text}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
