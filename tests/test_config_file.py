"""The settings file: what it gives, what wins over it, and what is said of what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given as examples
from hypothesis import settings as limits
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from gateway.cli import main
from gateway.config_file.layout import layout_of
from gateway.config_file.yaml_tree import plain_scalar, read_yaml
from gateway.options import OptionError, Parser, add_settings, read_settings
from gateway.sections import Section, flat_settings
from gateway.setting_files import FileReadError
from gateway.setting_groups import FILE_KEYS, FILE_SECTIONS
from gateway.settings import EnvoySettings, Settings
from gateway.transcoding.metadata import DEFAULT_REQUEST_HEADERS


class Issuer(Section):
    """An item of a list that only the file has."""

    name: str
    """Name."""
    leeway: float = 0
    """Number."""
    algorithms: tuple[Literal["RS256", "ES256"], ...] = ("RS256",)
    """List in an item."""
    key: SecretStr | None = None
    """Secret."""
    key_file: Path | None = None
    """File with it."""


class Sample(Section):
    """A section of a policy."""

    origins: tuple[str, ...] = ()
    """List of scalars."""
    max_age: int = 600
    """Number."""
    issuers: tuple[Issuer, ...] = ()
    """Structured."""
    claims: Mapping[str, Any] = {}
    """Mapping of anything."""
    key: SecretStr | None = None
    """Secret."""
    key_file: Path | None = None
    """File with it."""


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


def written(text: str, name: str = "edge.yaml") -> Path:
    """Writes a file, with a contract that nobody reads."""
    path = Path(name)
    path.write_text(text)
    return path


def read(text: str, *arguments: str, kind: type[Settings] = Sectioned) -> Any:
    """Returns the settings of a command line with a file."""
    parser = Parser(prog="x")
    add_settings(parser, kind, flat_settings(kind))
    path = str(written(text))
    options = parser.parse_args(["--config", path, "--descriptor-set", "x", *arguments])
    return read_settings(options, kind)


def refused(text: str, *arguments: str, kind: type[Settings] = Sectioned) -> list[str]:
    """Returns the lines that are said of a file."""
    with pytest.raises(OptionError) as caught:
        read(text, *arguments, kind=kind)
    return [str(each) for each in caught.value.args]


def test_every_setting_has_a_place() -> None:
    """Each but `config`, in one place; a section of the settings has its own name."""
    for kind in (Settings, EnvoySettings, Sectioned):
        layout = layout_of(kind, FILE_SECTIONS, FILE_KEYS)
        names = [setting.name for setting in layout.settings.values()]

        assert {*flat_settings(kind)} - {"config"} <= {*names}
        assert len(names) == len(set(names))
    assert layout.settings["upstream", "tls"].name == "upstream_tls"
    assert layout.settings["upstream", "address"].name == "upstream"
    assert layout.settings["sample", "origins"].name == "sample_origins"
    assert layout.settings["sample", "issuers"].name == "sample.issuers"


def test_sections_give_settings() -> None:
    """Numbers, switches, text, lists and None; a section may be empty."""
    settings = read(
        """
        # a comment
        upstream: {address: "core:50051", tls: yes}
        server:
          port: 9000
          host: 0.0.0.0
        messages:
          timeout_seconds: null
        contract:
          services:
            - a.B
            - c.D
        websockets:
        sample:
          origins: https://a.test,https://b.test
          claims: {level: 3, name: no, on: true}
          issuers:
            - name: one
              leeway: 1.5
            - {name: two, algorithms: [ES256], key: s3cret}
        """
    )

    assert (settings.upstream, settings.upstream_tls) == ("core:50051", True)
    assert (settings.port, settings.host, settings.timeout_seconds) == (9000, "0.0.0.0", None)
    assert settings.services == ("a.B", "c.D")
    assert settings.sample.origins == ("https://a.test", "https://b.test")
    assert settings.sample.claims == {"level": 3, "name": "no", "on": True}
    assert settings.sample.issuers == (
        Issuer(name="one", leeway=1.5),
        Issuer(name="two", algorithms=("ES256",), key=SecretStr("s3cret")),
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "server:\n", "server: {}\n"])
def test_an_empty_file_gives_nothing(text: str) -> None:
    """As a section without settings."""
    assert read(text).port == 8080


def test_lists_add_to_their_defaults_as_text_does() -> None:
    """`none` first leaves them out."""
    text = "metadata:\n  request_headers: [{}x-tenant]\n"

    assert read(text.format("")).request_headers == (*DEFAULT_REQUEST_HEADERS, "x-tenant")
    assert read(text.format("none, ")).request_headers == ("x-tenant",)


def test_variables_win_over_the_file_and_options_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting by itself, in sections too."""
    monkeypatch.setenv("PROTOWAY_WORKERS", "2")
    monkeypatch.setenv("PROTOWAY_DRAIN_SECONDS", "2")
    monkeypatch.setenv("PROTOWAY_SAMPLE_MAX_AGE", "2")
    text = """
    server: {port: 1, workers: 1, drain_seconds: 1}
    sample: {max_age: 1, origins: [a], issuers: [{name: n}]}
    """

    settings = read(text, "--drain-seconds", "3")

    assert (settings.port, settings.workers, settings.drain_seconds) == (1, 2, 3)
    assert settings.sample == Sample(max_age=2, origins=("a",), issuers=(Issuer(name="n"),))


def test_python_reads_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `config=` or by the variable; arguments win, and a whole section is used as it is."""
    file = written(
        "server: {port: 1, workers: 2}\nsample: {max_age: 1}\ncontract: {descriptor_set: x}\n"
    )

    settings = Sectioned.model_validate({"config": file, "port": 3})
    assert (settings.port, settings.workers, settings.sample.max_age) == (3, 2, 1)

    monkeypatch.setenv("PROTOWAY_CONFIG", str(file))
    monkeypatch.setenv("PROTOWAY_WORKERS", "4")
    settings = Sectioned.model_validate({"sample": Sample(origins=("a",))})
    assert (settings.port, settings.workers) == (1, 4)
    assert settings.sample == Sample(origins=("a",))
    assert Sectioned.model_validate({"config": None, "descriptor_set": "y"}).port == 8080


def test_a_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options over settings that are made, as behind `--app`, do not read it again."""
    made = read("server: {port: 1, workers: 2}")
    Path("edge.yaml").unlink()
    parser = Parser(prog="x")
    add_settings(parser, Sectioned, flat_settings(Sectioned))

    settings = read_settings(parser.parse_args(["--port", "3"]), Sectioned, made)

    assert (settings.port, settings.workers, settings.config) == (3, 2, Path("edge.yaml"))


def test_an_error_in_python_names_the_line() -> None:
    """If the file gives the value; an argument's error is located at the argument."""
    file = written("server: {workers: 0}\ncontract: {descriptor_set: x}\n")

    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"config": file, "port": -1})

    told = {item["loc"]: item["msg"] for item in caught.value.errors()}
    assert told == {
        (): "edge.yaml:1: server.workers: Input should be greater than or equal to 1, got 0",
        ("port",): "Input should be greater than or equal to 0",
    }


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("sever: {}", ["1: sever: no such section; did you mean server?"]),
        ("xyzzy: {}", ["1: xyzzy: no such section"]),
        ("server:\n  prot: 1", ["2: server.prot: no such setting; did you mean port?"]),
        ("server:\n  xyzzy: 1", ["2: server.xyzzy: no such setting"]),
        ("port: 1", ["1: port: no such section; did you mean server.port?"]),
        ("upstream_tls: 1", ["1: upstream_tls: no such section; did you mean upstream.tls?"]),
        (
            "upstream: {upstream_tls: 1}",
            ["1: upstream.upstream_tls: no such setting; did you mean upstream.tls?"],
        ),
        ("upstream: {host: x}", ["1: upstream.host: no such setting; did you mean server.host?"]),
        (
            "upstream: c:1",
            [
                "1: upstream: is a section, so its settings stand below it; did you mean upstream.address?"
            ],
        ),
        ("config: x", ["1: config: no such section; did you mean server.log_config?"]),
        ("server: [1]", ["1: server: is a section, so its settings stand below it"]),
        (
            "server: {port: x}",
            [
                (
                    "1: server.port: Input should be a valid integer, unable to parse string as an"
                    " integer, got 'x'"
                )
            ],
        ),
        (
            "server: {port: 70000}",
            ["1: server.port: Input should be less than or equal to 65535, got 70000"],
        ),
        ("server: {port: true}", ["1: server.port: should be a number, got true"]),
        ("server: {port: }", ["1: server.port: has no value; leave it out for the default"]),
        ("server: {host: 7}", ["1: server.host: Input should be a valid string, got 7"]),
        ("server:\n\n  port: [1]", ["3: server.port: Input should be a valid integer, got [1]"]),
        (
            "metadata:\n  request_headers:\n    - a b",
            [
                "2: metadata.request_headers: String should match pattern '^[0-9A-Za-z_.-]+$', got 'a b'"
            ],
        ),
        ("server: {port: 1}\nserver: {port: 2}", ["2: server: stands here twice, first in line 1"]),
        ("server:\n  port: 1\n  port: 2", ["3: server.port: stands here twice, first in line 2"]),
        ("server: &a {port: 1}\nsample: *a", ["2: alias *a: write the value itself"]),
        (
            "server: !!python/object:os.system {port: 1}",
            ["1: tag tag:yaml.org,2002:python/object:os.system: tags are not read"],
        ),
        ("server: {? [port] : 1}", ["1: a key is a mapping or a list: write a name"]),
        ("server:\n\tport: 1", ["2: not YAML: a tab, where only spaces may stand"]),
        (
            "server: {port: 1",
            [
                "1: not YAML: while parsing a flow mapping, expected ',' or '}', but got '<stream end>'"
            ],
        ),
        (
            "server: {}\n---\nserver: {}",
            ["2: not YAML: expected a single document in the stream, but found another document"],
        ),
        ("- server", ["1: is no mapping: write sections, as `server:`"]),
        ("server", ["1: is no mapping: write sections, as `server:`"]),
        (
            "envoy: {descriptor_set_ot: 1}",
            ["1: envoy.descriptor_set_ot: no such setting; did you mean descriptor_set_out?"],
        ),
        (
            "sample:\n  issuers:\n    - nam: x\n      name: x",
            ["3: sample.issuers[0].nam: no such setting; did you mean name?"],
        ),
        (
            "sample:\n  issuers:\n    - name: x\n    - leeway: 1",
            ["4: sample.issuers[1].name: Field required"],
        ),
        (
            "sample:\n  issuers:\n    - name: x\n      leeway: true",
            ["4: sample.issuers[0].leeway: should be a number, got true"],
        ),
        (
            "sample:\n  issuers:\n    - name: x\n      algorithms: [none]",
            ["4: sample.issuers[0].algorithms[0]: Input should be 'RS256' or 'ES256'"],
        ),
        (
            "sample:\n  issuers:\n    - {name: x, key: s3cret, key_file: y}",
            ["3: sample.issuers[0]: give key or key_file, not both"],
        ),
        ("sample:\n  key: s3cret\n  key_file: y", ["1: sample: give key or key_file, not both"]),
        ("sample:\n  key: [s3cret]", ["2: sample.key: Input should be a valid string"]),
        (
            "sample:\n  key: '**********'",
            ["2: sample.key: is masked: write the secret itself, or the file that has it"],
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, lines: list[str]) -> None:
    """And with its key, and the nearest name where there is one; a secret is not shown."""
    kind = Settings if "envoy" in text else Sectioned

    assert refused(text, kind=kind) == [f"edge.yaml:{line}" for line in lines]


def test_all_mistakes_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the variables, of the file by its lines, and of the options; one line each, status 2."""
    monkeypatch.setenv("PROTOWAY_UPSTRAEM", "x")
    monkeypatch.setenv("PROTOWAY_MAX_HEADERS", "x")
    written(
        "server:\n  port: x\n  prot: 1\n  workers: 0\nsever: {}\nmessages: {timeout_seconds: x}\n"
    )

    status = main(["check", "--config", "edge.yaml", "--descriptor-set", "x", "--health-path", "x"])

    found = re.findall(
        r"^protoway: ((?:edge.yaml:\d+: )?[\w.-]+): ", capsys.readouterr().err, re.MULTILINE
    )
    assert status == 2
    assert found == [
        "PROTOWAY_UPSTRAEM",
        "edge.yaml:2: server.port",
        "edge.yaml:3: server.prot",
        "edge.yaml:4: server.workers",
        "edge.yaml:5: sever",
        "edge.yaml:6: messages.timeout_seconds",
        "PROTOWAY_MAX_HEADERS",
        "--health-path",
    ]


def test_a_value_that_is_overruled_is_still_checked_for_its_name_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The value that counts is the one that is judged, where it stands."""
    monkeypatch.setenv("PROTOWAY_PORT", "x")

    (line,) = refused("server: {port: y}")
    assert line.startswith("PROTOWAY_PORT: Input should be a valid integer")


def test_a_file_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Is one line, with status 1; in Python a FileReadError."""
    assert main(["check", "--config", "absent.yaml"]) == 1
    assert (
        capsys.readouterr().err == "protoway: cannot read absent.yaml: No such file or directory\n"
    )
    with pytest.raises(FileReadError):
        Settings.model_validate({"config": "absent.yaml"})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"server: {port: 1}\n\xff", "edge.yaml: not YAML: "),
        (b"server:\n  host: \x07", "edge.yaml: not YAML: unacceptable character #x0007"),
        (b"[" * 5000, "edge.yaml: is nested too deeply"),
        (b"#" * 2_000_000, "edge.yaml: has more than 1048576 bytes"),
        (
            b"server: {port: " + b"9" * 5000 + b"}",
            "edge.yaml:1: server.port: Input should be a finite number, got inf",
        ),
    ],
)
def test_hostile_files_are_one_line(content: bytes, says: str) -> None:
    """Neither encoding, depth, size nor a number ends in a traceback."""
    Path("edge.yaml").write_bytes(content)
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"config": "edge.yaml", "descriptor_set": "x"})

    (item,) = caught.value.errors()
    assert item["msg"].startswith(says)


def test_aliases_do_not_multiply() -> None:
    """Each list names the one above ten times. Each alias is refused, and none is followed."""
    text = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20)
    )

    tree = read_yaml(text.encode())

    assert len(tree.problems) == 190
    assert len(repr(tree.value)) < 20_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("1.10", 1.1),
        (".5e3", 500.0),
        ("-.inf", float("-inf")),
        ("1.2.3", "1.2.3"),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    """YAML 1.2.2, 10.3; not the wider ones of YAML 1.1."""
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


@limits(deadline=None)
@examples(st.binary(max_size=200))
def test_no_bytes_raise(content: bytes) -> None:
    """Whatever a file has in it."""
    read_yaml(content)


@limits(deadline=None)
@examples(st.text(alphabet="a:-[]{}&*!?|>'\"%@`#,\n \t1", max_size=60))
def test_no_text_raises(text: str) -> None:
    """Built of YAML's own characters."""
    read_yaml(text.encode())
