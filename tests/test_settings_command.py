"""`protoway settings`: what is in force, where it came from, and the schema of the file."""

from __future__ import annotations

import json
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings as limits
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import Field, SecretStr

from gateway.cli import main
from gateway.config_file.printing import print_settings
from gateway.config_file.schema import file_schema
from gateway.config_file.yaml_tree import read_yaml
from gateway.sections import Section, all_settings
from gateway.setting_groups import GROUPS
from gateway.settings import EnvoySettings, Settings

FILE = """\
contract: {descriptor_set: api.binpb, services: [a.B]}
server:
  port: 9000
  workers: 2
metadata: {request_headers: [x-tenant]}
messages: {timeout_seconds: null}
"""


class Kind(Enum):
    """A choice."""

    ONE = "one"


class Rule(Section):
    """An item of a list that only the file has."""

    path: str
    """Path."""
    kind: Kind = Kind.ONE
    """Choice."""
    rates: tuple[float, ...] = ()
    """Numbers."""
    labels: dict[str, Any] = Field(default_factory=dict)
    """Anything."""
    nested: tuple[Section, ...] = ()
    """Items in an item."""
    key: SecretStr | None = None
    """Secret."""
    key_file: Path | None = None
    """File with it."""


class Inner(Section):
    """A section in a section."""

    name: str | None = None
    """Name."""


class Sample(Section):
    """A section of a policy."""

    names: frozenset[str] = frozenset()
    """A set."""
    rules: tuple[Rule, ...] = ()
    """Structured."""
    key: SecretStr | None = None
    """Secret."""
    key_file: Path | None = None
    """File with it."""
    inner: Inner = Inner()
    """Section in the section."""


class Sectioned(Settings):
    """Settings with a section."""

    sample: Sample = Sample()
    """A section."""

    @classmethod
    def every_setting(cls) -> type[Settings]:
        """Returns itself."""
        return cls


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder of its own."""
    monkeypatch.chdir(tmp_path)


def printed(settings: Settings, *, changed: bool = False) -> str:
    """Prints settings, all from the same place."""
    return print_settings(settings, type(settings).layout(), lambda _: "x", changed=changed)


def read_again(text: str, kind: type[Settings] = Settings) -> Settings:
    """Makes settings of what was printed."""
    Path("again.yaml").write_text(text)
    settings = kind.model_validate({"config": "again.yaml"})
    return settings.model_copy(update={"config": None})


def test_each_value_has_its_origin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Default, line of the file, variable or option: the one that counts."""
    Path("edge.yaml").write_text(FILE)
    monkeypatch.setenv("PROTOWAY_CONFIG", "edge.yaml")
    monkeypatch.setenv("PROTOWAY_WORKERS", "3")
    monkeypatch.setenv("PROTOWAY_MAX_HEADERS", "50")

    assert main(["settings", "--host", "::1", "--max-headers", "60"]) == 0

    text = capsys.readouterr().out
    for line in (
        "  descriptor_set: api.binpb  # edge.yaml:1",
        "  services: [a.B]  # edge.yaml:1",
        "  port: 9000  # edge.yaml:3",
        "  workers: 3  # PROTOWAY_WORKERS",
        "  host: ::1  # --host",
        "  max_headers: 60  # --max-headers",
        "  timeout_seconds: null  # edge.yaml:6",
        '  root_path: ""  # default',
        "  unary_reserve: 0.1  # default",
    ):
        assert f"\n{line}\n" in text
    assert ", x-tenant]  # edge.yaml:5\n" in text


def test_what_is_printed_is_a_file_with_the_same_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All of it, and what has changed alone."""
    Path("edge.yaml").write_text(FILE)
    expected = Settings.model_validate({"config": "edge.yaml"}).model_copy(update={"config": None})

    for arguments in ([], ["--changed"]):
        assert main(["settings", "--config", "edge.yaml", *arguments]) == 0
        text = capsys.readouterr().out
        assert read_again(text) == expected
    assert text.splitlines()[:3] == [
        "contract:",
        "  descriptor_set: api.binpb  # edge.yaml:1",
        "  services: [a.B]  # edge.yaml:1",
    ]
    assert "default" not in text


def test_a_file_can_be_begun_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a contract too, which the file that is begun with it is to name."""
    assert main(["settings"]) == 0

    text = capsys.readouterr().out
    assert text.startswith("contract:\n  descriptor_set: null  # default\n")
    Path("edge.yaml").write_text(text)
    settings = Settings.model_validate({"config": "edge.yaml", "descriptor_set": "x"})
    assert settings.model_copy(update={"config": None}) == Settings(descriptor_set=Path("x"))


def test_structured_settings_are_printed_in_lines() -> None:
    """As the file has them: what was given, not the defaults of items."""
    rules = (
        Rule(path="/a: b", rates=(1, 0.5), labels={"x y": {"z": [1, None, True]}, "empty": {}}),
        Rule(path="no #", kind=Kind.ONE, nested=(Section(), Section())),
    )
    sample = Sample(names=frozenset("ba"), rules=rules, inner=Inner(name="*n"))
    settings = Sectioned(descriptor_set=Path("x"), sample=sample)

    text = printed(settings, changed=True)

    assert text.partition("sample:\n")[2].splitlines() == [
        "  names: [a, b]  # x",
        "  rules:  # x",
        '    - path: "/a: b"',
        "      rates: [1, 0.5]",
        "      labels:",
        "        x y:",
        "          z: [1, null, true]",
        "        empty: {}",
        '    - path: "no #"',
        "      kind: one",
        "      nested:",
        "        - {}",
        "        - {}",
        "  inner:",
        '    name: "*n"  # x',
    ]
    assert read_again(text, Sectioned) == settings


def test_secrets_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever they are; a mask that is read again is refused."""
    secret = SecretStr("s3cret")
    sample = Sample(key=secret, rules=(Rule(path="/", key=secret),))
    text = printed(Sectioned(descriptor_set=Path("x"), sample=sample))

    assert "s3cret" not in text
    assert '  key: "**********"  # x' in text
    assert '      key: "**********"' in text
    with pytest.raises(ValueError, match=r"sample.key: is masked: write the secret itself"):
        read_again(text, Sectioned)


@limits(deadline=None)
@examples(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_as_it_was(value: str) -> None:
    """With quotes where YAML needs them."""
    settings = Settings(descriptor_set=Path("x"), www_authenticate="")
    changed = settings.model_copy(update={"upstream": value})

    text = printed(changed)

    tree = read_yaml(text.encode())
    assert tree.problems == []
    assert tree.value["upstream"]["address"] == value


def test_wrong_settings_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """As by `serve`: all at once, with status 2, and nothing is printed."""
    Path("edge.yaml").write_text("server: {port: x}\nsever: {}\n")

    assert main(["settings", "--config", "edge.yaml", "--workers", "0"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[1] for line in err.splitlines()] == [
        "edge.yaml:1",
        "edge.yaml:2",
        "--workers",
    ]


def test_the_schema_is_one_and_knows_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Draft 2020-12; each setting has a description, also those of `protoway envoy`."""
    assert main(["settings", "--schema"]) == 0

    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    for keys in EnvoySettings.layout().settings:
        inner = schema
        for key in keys:
            assert inner["description"] if inner is not schema else True
            inner = inner["properties"][key]
        assert inner["description"]
        assert "title" not in inner


@pytest.mark.parametrize("kind", [Settings, Sectioned])
def test_what_is_printed_is_valid_by_the_schema(kind: type[Settings]) -> None:
    """With structured settings too; wrong names and types are not."""
    values: dict[str, Any] = {"descriptor_set": Path("x")}
    if kind is Sectioned:
        rule = Rule(path="/", labels={"a": 1}, rates=(1.5,))
        values["sample"] = Sample(rules=(rule,), names=frozenset("a"), key=SecretStr("x"))
    schema = Draft202012Validator(file_schema(kind, kind.layout(), GROUPS))

    document = read_yaml(printed(kind(**values)).encode()).value

    assert list(schema.iter_errors(document)) == []
    assert len(kind.layout().settings) == len(all_settings(kind)) - 1  # config
    mistakes: list[dict[str, Any]] = [
        {"sever": {}},
        {"server": {"prot": 1}},
        {"server": {"port": "x"}},
        {"server": 1},
    ]
    for wrong in mistakes:
        assert list(schema.iter_errors(wrong))


def test_the_command_is_a_process() -> None:
    """The file may be a pipe, and is read once; a reader of the output that has read enough is no error."""
    Path("edge.yaml").write_text(FILE)
    command = f"{sys.executable} -m gateway settings --config <(cat edge.yaml) | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("contract:\n", "")
