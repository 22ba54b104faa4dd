"""Sections of the settings, as options, variables and arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BeforeValidator, Field, SecretStr, ValidationError

from gateway.options import OptionError, Parser, add_settings, read_settings, unknown_arguments
from gateway.sections import Section, all_settings, flat_settings, is_simple
from gateway.setting_files import FileReadError
from gateway.setting_groups import GROUPS
from gateway.setting_lists import list_added_to
from gateway.setting_secrets import SecretError, secret_of
from gateway.settings import Settings


class Rule(Section):
    """One rule."""

    path: str
    """Path."""
    rate: float = 1.0
    """Rate."""


class Inner(Section):
    """A section in a section."""

    name: str | None = None
    """Name."""


class Sample(Section):
    """A section."""

    origins: tuple[str, ...] = ()
    """List of scalars."""
    headers: Annotated[tuple[str, ...], BeforeValidator(list_added_to(("a",)))] = ("a",)
    """List that is added to its defaults."""
    credentials: bool = False
    """Switch."""
    max_age: int = Field(default=600, ge=0)
    """Number, with 100% of a description."""
    rules: tuple[Rule, ...] = ()
    """Only in the file and in Python."""
    inner: Inner = Inner()
    """Section in the section."""


class Sectioned(Settings):
    """Settings with a section."""

    sample: Sample = Sample()
    """A section."""


def given(*arguments: str) -> Sectioned:
    """Returns the settings of a command line."""
    parser = Parser(prog="x")
    add_settings(parser, Sectioned, flat_settings(Sectioned))
    settings = read_settings(parser.parse_args(["--descriptor-set", "x", *arguments]), Sectioned)
    assert isinstance(settings, Sectioned)
    return settings


def test_simple_fields_have_flat_names() -> None:
    """Structured ones have a dotted name, and are neither options nor variables."""
    names = [name for name in all_settings(Sectioned) if name.startswith("sample")]

    assert names == [
        *("sample_origins", "sample_headers", "sample_credentials", "sample_max_age"),
        *("sample.rules", "sample_inner_name"),
    ]
    assert [name for name in names if name not in flat_settings(Sectioned)] == ["sample.rules"]


@pytest.mark.parametrize(
    ("annotation", "simple"),
    [
        (str, True),
        (int | None, True),
        (SecretStr | None, True),
        (Path, True),
        (Literal["a", "b"], True),
        (tuple[str, ...], True),
        (tuple[Annotated[str, Field(min_length=1)], ...] | None, True),
        (tuple[Rule, ...], False),
        (Rule | None, False),
        (dict[str, str], False),
        (Mapping[str, str], False),
        (tuple[tuple[str, str], ...], False),
        (Any, False),
    ],
)
def test_simple_are_scalars_and_lists_of_them(annotation: Any, simple: bool) -> None:
    """Everything else has a structure that no option can write."""
    assert is_simple(annotation) is simple


def test_options(capsys: pytest.CaptureFixture[str]) -> None:
    """A section's fields are written flat, and read as fields outside of sections are."""
    settings = given(
        *("--sample-origins", "https://a.test", "https://b.test", "--sample-headers", "b,c"),
        *("--sample-credentials", "--sample-max-age", "5", "--sample-inner-name", "n"),
    )

    assert settings.sample == Sample(
        origins=("https://a.test", "https://b.test"),
        headers=("a", "b", "c"),
        credentials=True,
        max_age=5,
        inner=Inner(name="n"),
    )


def test_variables_and_options_over_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field by itself: an option of one field leaves the variables of the others."""
    monkeypatch.setenv("PROTOWAY_SAMPLE_ORIGINS", '["https://a.test"]')
    monkeypatch.setenv("PROTOWAY_SAMPLE_MAX_AGE", "7")
    monkeypatch.setenv("protoway_sample_inner_name", "n")

    settings = given("--sample-max-age", "8")

    assert settings.sample == Sample(origins=("https://a.test",), max_age=8, inner=Inner(name="n"))


def test_arguments_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole section is used as it is; a mapping leaves its other fields to the environment."""
    monkeypatch.setenv("PROTOWAY_SAMPLE_MAX_AGE", "7")
    rules = (Rule(path="/"),)

    whole = Sectioned(descriptor_set=Path("x"), sample=Sample(rules=rules))
    some = Sectioned.model_validate({"descriptor_set": "x", "sample": {"rules": rules}})

    assert whole.sample == Sample(rules=rules)
    assert some.sample == Sample(rules=rules, max_age=7)


def test_options_over_settings_that_are_made() -> None:
    """As behind `--app`: the other fields of the section stay."""
    made = Sectioned(descriptor_set=Path("x"), sample=Sample(max_age=1, inner=Inner(name="n")))
    parser = Parser(prog="x")
    add_settings(parser, Sectioned, flat_settings(Sectioned))

    settings = read_settings(parser.parse_args(["--sample-origins", "a"]), Sectioned, made)

    assert isinstance(settings, Sectioned)
    assert settings.sample == Sample(origins=("a",), max_age=1, inner=Inner(name="n"))


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["--sample-max-age", "x"], {}, "--sample-max-age: Input should be a valid integer"),
        ([], {"SAMPLE_MAX_AGE": "-1"}, "PROTOWAY_SAMPLE_MAX_AGE: Input should be greater than"),
        (["--sample-origins", "[1"], {}, "--sample-origins: '[1' is no list: write a,b or"),
        (
            [],
            {"SAMPLE_ORIGNS": "x"},
            "PROTOWAY_SAMPLE_ORIGNS: no such setting; did you mean PROTOWAY_SAMPLE_ORIGINS?",
        ),
        ([], {"SAMPLE_RULES": "x"}, "PROTOWAY_SAMPLE_RULES: no such setting; did you mean"),
    ],
)
def test_a_mistake_is_named_as_it_was_given(
    arguments: list[str],
    variables: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the flat name, as option or variable."""
    for name, value in variables.items():
        monkeypatch.setenv(f"PROTOWAY_{name}", value)

    with pytest.raises(OptionError, match=f"^{re.escape(says)}"):
        given(*arguments)


def test_unknown_fields_are_named_with_the_nearest() -> None:
    """In Python too."""
    with pytest.raises(ValidationError, match="orgins: no such setting; did you mean origins"):
        Sample.model_validate({"orgins": ["a"]})


def test_help_has_a_section_as_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below its heading, with descriptions and defaults; structured fields are not listed."""
    monkeypatch.setattr("gateway.options.GROUPS", {**GROUPS, "sample_origins": "Samples"})
    parser = Parser(prog="x")
    add_settings(parser, Sectioned, flat_settings(Sectioned))

    text = " ".join(parser.format_help().partition("Samples:\n")[2].split())
    assert text.startswith("--sample-origins SAMPLE_ORIGINS [SAMPLE_ORIGINS ...] List of scalars.")
    assert "Number, with 100% of a description. (default: 600)" in text
    assert "--sample-credentials, --no-sample-credentials" in text
    assert "rules" not in text


class Secretive(Section):
    """A section with a secret."""

    key: SecretStr | None = None
    """A secret."""
    key_file: Path | None = None
    """File with it."""
    number: int = 0
    """Something else."""


def test_a_secret_is_its_value_or_the_content_of_its_file(tmp_path: Path) -> None:
    """Without the line break at its end; neither is None."""
    file = tmp_path / "key"
    file.write_text(" s3cret \n")

    assert secret_of(Secretive(key_file=file), "key") == " s3cret "
    assert secret_of(Secretive(key=SecretStr("other")), "key") == "other"
    assert secret_of(Secretive(), "key") is None


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\n", "is empty"), (b"\xff", "is not UTF-8"), (b"x" * 70_000, "has more than 65536 bytes")],
)
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """With its name; one that cannot be read too."""
    file = tmp_path / "key"
    file.write_bytes(content)

    with pytest.raises(SecretError, match=f"^{file}: {says}"):
        secret_of(Secretive(key_file=file), "key")
    with pytest.raises(FileReadError, match=r"^cannot read .*absent: No such file"):
        secret_of(Secretive(key_file=tmp_path / "absent"), "key")


def test_a_secret_is_given_once() -> None:
    """As a value or as a file; and it is not in the error."""
    with pytest.raises(ValidationError, match="give key or key_file, not both") as caught:
        Secretive(key=SecretStr("s3cret"), key_file=Path("x"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"key": "s3cret", "key_file": "x"},
        {"key": "s3cret", "kye": 1},
        {"key": ["s3cret"]},
        {"key": "s3cret", "number": "x"},
    ],
)
@pytest.mark.parametrize("others", [{"descriptor_set": "x"}, {}, {"prot": 1}, {"port": "x"}])
def test_no_traceback_has_a_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, Any], others: dict[str, Any]
) -> None:
    """Of the section, of all settings, and where a file is read beside it; other values are shown."""
    file = tmp_path / "edge.yaml"
    file.write_text("{}")

    class WithSecret(Settings):
        secretive: Secretive = Secretive()
        """A section with a secret."""

    arguments = {"secretive": given, **others}
    for make in (
        lambda: Secretive.model_validate(given),
        lambda: WithSecret.model_validate(arguments),
        lambda: WithSecret.model_validate({"config": file, **arguments}),
    ):
        with pytest.raises(ValidationError) as caught:
            make()
        assert "s3cret" not in str(caught.value)
    if others == {"port": "x"}:
        assert "input_value='x'" in str(caught.value)


def test_a_secret_has_a_twin() -> None:
    """A section that has none cannot be written."""
    with pytest.raises(TypeError, match=r"Alone\.key is a secret: it needs a field key_file"):

        class Alone(Section):
            key: SecretStr | None = None


def test_a_secret_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users of the machine see options; its file is one, and both are variables. No error shows it."""

    class WithSecret(Settings):
        secretive: Secretive = Secretive()
        """A section with a secret."""

    parser = Parser(prog="x")
    add_settings(parser, WithSecret, flat_settings(WithSecret))
    options, rest = parser.parse_known_args(["--descriptor-set", "x", "--secretive-key", "s3cret"])
    assert unknown_arguments(rest, WithSecret) == (
        "--secretive-key: no such option; did you mean --secretive-key-file?"
    )

    monkeypatch.setenv("PROTOWAY_SECRETIVE_KEY", "s3cret")
    settings = read_settings(options, WithSecret)
    assert isinstance(settings, WithSecret)
    assert secret_of(settings.secretive, "key") == "s3cret"
    assert "s3cret" not in repr(settings)

    monkeypatch.setenv("PROTOWAY_SECRETIVE_KEY_FILE", "x")
    with pytest.raises(OptionError, match=r"^secretive: give key or key_file, not both$"):
        read_settings(options, WithSecret)
