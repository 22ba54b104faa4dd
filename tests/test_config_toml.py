"""A settings file in TOML: it gives the same as one in YAML, and what is wrong with it has its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example as one
from hypothesis import given as examples
from hypothesis import settings as limits
from hypothesis import strategies as st

from gateway import health
from gateway.config_file.toml_tree import read_toml
from gateway.config_file.tree import Place, read_document
from gateway.options import OptionError, Parser, add_settings, read_settings
from gateway.sections import flat_settings
from gateway.settings import Settings

RULES = """\
[server]
port = 9000

[metadata]
request_headers = ["x-a",  # a comment, and ]
                   "x-b"]

[upstream]
address = "core:50051"  # [not a table]

[[limits.rules]]
name = "one"
limit = 5

[[limits.rules]]
name = "two"
limit = 7
costs = {"shop.Orders/Search" = 5, "*" = 1}

[[rights.rules]]
requests = ["*"]
claims.level.at_least = 3
"""


def read(text: str, *arguments: str, name: str = "edge.toml") -> Any:
    """Returns the settings of a command line with a file."""
    Path(name).write_text(text)
    parser = Parser(prog="x")
    add_settings(parser, Settings, flat_settings(Settings))
    options = parser.parse_args(["--config", name, "--descriptor-set", "x", *arguments])
    return read_settings(options, Settings)


def refused(text: str) -> list[str]:
    """Returns the lines that are said of a file."""
    with pytest.raises(OptionError) as caught:
        read(text)
    return [str(each) for each in caught.value.args]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["edge.toml", "EDGE.TOML"])
def test_sections_are_tables(name: str) -> None:
    """Rules are arrays of tables; options win, as over YAML."""
    settings = read(RULES, "--port", "9001", name=name)

    assert (settings.port, settings.upstream) == (9001, "core:50051")
    assert settings.request_headers[-2:] == ("x-a", "x-b")
    assert [(rule.name, rule.limit) for rule in settings.limits.rules] == [("one", 5), ("two", 7)]
    assert settings.limits.rules[1].costs == {"shop.Orders/Search": 5, "*": 1}
    assert settings.rights.rules[0].claims["level"].at_least == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1", "edge.toml:2: server.prot: no such setting; did you mean port?"),
        ("\n\n[sever]\nport = 1", "edge.toml:3: sever: no such section; did you mean server?"),
        ("[server]\nport = true", "edge.toml:2: server.port: should be a number, got true"),
        ("[server]\nport = 1\nport = 2", "edge.toml:3: not TOML: Cannot overwrite a value"),
        ("[server]\nport = ", "edge.toml:2: not TOML: Invalid value"),
        ("server:\n  port: 1", "edge.toml:1: not TOML: Expected '=' after a key"),
        ('[server]\nhost = """', "edge.toml:2: not TOML: "),
        ("server.port = 70000", "edge.toml:1: server.port: "),
        ("[server]\nx = 2024-01-01", "edge.toml:2: server.x: is a date or a time"),
        (
            "[[limits.rules]]\nname = 'a'\nlimit = 1\n[[limits.rules]]\nname = 'b'\nlimt = 1",
            "edge.toml:6: limits.rules[1].limt: no such setting; did you mean limit?",
        ),
        (
            "limits.rules = [\n{name = 'a', limit = 1}, # [\n{name = 'b', limt = 1},\n]",
            "edge.toml:1: limits.rules[1].limt: no such setting; did you mean limit?",
        ),
        (
            "[messages]\ntimeout_seconds = '''\n\n3[\\''''\n[server]\nprot = 1",
            "edge.toml:6: server.prot: no such setting; did you mean port?",
        ),
    ],
)
def test_what_is_wrong_has_its_line(text: str, said: str) -> None:
    """File, line and key; inside of a value of several lines the line in which that begins."""
    assert any(line.startswith(said) for line in refused(text)), refused(text)


def test_everything_is_said_at_once() -> None:
    """As of a file in YAML."""
    said = refused("[server]\nprot = 1\n[upstream]\nadress = 'x'\n[nothing]")

    assert [line.split(" ")[0] for line in said] == ["edge.toml:2:", "edge.toml:4:", "edge.toml:5:"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff", (0, "not TOML: byte 0 is not UTF-8")),
        (b"a = " + b"[" * 10_000, (0, "is nested too deeply")),
        (b"#" * (1024 * 1024 + 1), (0, "has more than 1048576 bytes")),
    ],
)
def test_what_is_no_document(content: bytes, problem: tuple[int, str]) -> None:
    """It is said, and nothing raised."""
    assert read_document("x.toml", content).problems == [problem]


def test_the_health_check_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the edge listens."""
    Path("edge.toml").write_text("[server]\nport = 9123\n[paths]\nhealth_path = '/alive'")

    assert health.url_of({"PROTOWAY_CONFIG": "edge.toml"}) == "http://127.0.0.1:9123/alive"


def leaves(value: Any, place: Place = ()) -> list[Place]:
    """Returns the places of all scalars."""
    if isinstance(value, dict):
        return [each for name, inner in value.items() for each in leaves(inner, (*place, name))]
    if isinstance(value, list):
        return [each for at, inner in enumerate(value) for each in leaves(inner, (*place, at))]
    return [place]


VALUES = st.sampled_from(
    [
        "1",
        "'#'",
        '"]\\""',
        "[1, [2]]",
        "[\n1, # ]\n{a = 2}\n]",
        '"""\n["\n"""',
        "'''\n\\'''",
        "{a.b = 1}",
    ]
)
KEYS = st.sampled_from(["a", "b", "a.b", '"a.b"', "'#'"])
HEADERS = st.sampled_from(
    ["", "# x\n", "[c]\n", "[[d]]\n", "[d.e]\n", "[[d.f]]\n", "[ d . f . g ]\n"]
)


@limits(deadline=None)
@examples(st.lists(st.tuples(HEADERS, KEYS, VALUES), max_size=6))
def test_each_value_has_the_line_of_its_key(parts: list[tuple[str, str, str]]) -> None:
    """Of a valid document; each value is written behind a comment that says its line."""
    text = ""
    for header, key, value in parts:
        text += header
        text += f"{key} = {value}\n"
    tree = read_toml(text.encode())

    if any(problem.startswith("not TOML") for _, problem in tree.problems):
        return  # the same key twice, or a table that is none
    written = text.split("\n")
    for place in leaves(tree.value or {}):
        line = written[tree.lines[place] - 1]
        names = [str(name) for name in place if isinstance(name, str)]
        assert any(f"{name}" in line.partition("=")[0] for name in names), (place, line)


@limits(deadline=None)
@examples(st.text(alphabet="ab.=[]{}\"'#,\n \t\\1-:T", max_size=60))
@one('a = """"""""')
@one("a = " + "1" * 5000)
def test_no_text_raises(text: str) -> None:
    """Built of TOML's own characters."""
    read_toml(text.encode())
