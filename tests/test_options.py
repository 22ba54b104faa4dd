"""Settings as options and variables: lists, and what is said of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli import main
from gateway.sections import flat_settings, value_of
from gateway.settings import Settings
from gateway.transcoding.metadata import DEFAULT_REQUEST_HEADERS, DEFAULT_RESPONSE_HEADERS


def given(monkeypatch: pytest.MonkeyPatch, how: str, name: str, text: str) -> Any:
    """Returns a setting that is given in one of the ways."""
    made: list[Settings] = []

    def keep(settings: Settings) -> int:
        made.append(settings)
        return 0

    monkeypatch.setattr("gateway.cli._serve", keep)
    option = f"--{name.replace('_', '-')}"
    words: dict[str, list[str]] = {
        "variable": [],
        "words": [option, *text.split(",")],
        "commas": [option, text],
        "again": [each for one in text.split(",") for each in (option, one)],
    }
    if how == "variable":
        monkeypatch.setenv(f"PROTOWAY_{name.upper()}", text)
    assert main(["serve", "--descriptor-set", "x", *words[how]]) == 0
    return value_of(made[0], flat_settings(Settings)[name].path)


@pytest.mark.parametrize("how", ["variable", "words", "commas", "again"])
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("services", "a.B,c.D", ("a.B", "c.D")),
        ("cors_origins", "https://a.test", ("https://a.test",)),
        ("request_headers", "X-Tenant", (*DEFAULT_REQUEST_HEADERS, "X-Tenant")),
        ("request_headers", "X-Tenant,Authorization", (*DEFAULT_REQUEST_HEADERS, "X-Tenant")),
        ("request_headers", "none,x-tenant", ("x-tenant",)),
        ("request_headers", "none", ()),
        ("response_headers", "x-cost", (*DEFAULT_RESPONSE_HEADERS, "x-cost")),
        ("response_headers", "none,x-cost", ("x-cost",)),
        ("caller_headers", "x-api-key", ("authorization", "x-api-key")),
        ("caller_headers", "none,x-api-key", ("x-api-key",)),
    ],
)
def test_lists_are_taken_in_every_way(
    monkeypatch: pytest.MonkeyPatch, how: str, name: str, text: str, value: tuple[str, ...]
) -> None:
    """With commas, as several words, and with the option several times; `none` leaves the defaults out."""
    assert given(monkeypatch, how, name, text) == value


@pytest.mark.parametrize("how", ["variable", "commas"])
def test_lists_are_taken_as_json(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """With the same meaning as with commas; an option takes the whole as one word."""
    json = '["none", "x-tenant"]'

    assert given(monkeypatch, how, "request_headers", json) == ("x-tenant",)


@pytest.mark.parametrize("text", ["", " , "])
def test_an_empty_variable_is_an_empty_list(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """And adds nothing to a default."""
    assert given(monkeypatch, "variable", "services", text) == ()
    assert given(monkeypatch, "variable", "request_headers", text) == DEFAULT_REQUEST_HEADERS


def test_a_list_from_python_is_that_list() -> None:
    """Only text adds to the defaults."""
    settings = Settings(descriptor_set="x", request_headers=("x-tenant",))  # type: ignore[arg-type] # as text

    assert settings.request_headers == ("x-tenant",)


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["--services", '["a"'], {}, """--services: '["a"' is no list: write a,b or ["a","b"]"""),
        (
            [],
            {"SERVICES": "[1]"},
            """PROTOWAY_SERVICES: '[1]' is no list: write a,b or ["a","b"]""",
        ),
        ([], {"SERVICES": '{"a":1}'}, """PROTOWAY_SERVICES: '{"a":1}' is no list: write a,b or"""),
        (
            ["--port", "x"],
            {},
            "--port: Input should be a valid integer, unable to parse string as an",
        ),
        (
            [],
            {"PORT": "x"},
            "PROTOWAY_PORT: Input should be a valid integer, unable to parse string",
        ),
        (
            [],
            {"PORT": "tcp://10.0.0.1:8080"},
            "PROTOWAY_PORT: 'tcp://10.0.0.1:8080' is what Kubernetes sets for a Service of this name; set",
        ),
        (["--request-headers", "a b"], {}, "--request-headers: String should match pattern"),
        (["--upstraem", "x:1"], {}, "--upstraem: no such option; did you mean --upstream?"),
        (
            ["--origins", "https://a.test"],
            {},
            "--origins: no such option; did you mean --cors-origins?",
        ),
        (
            [],
            {"ORIGINS": "https://a.test"},
            "PROTOWAY_ORIGINS: no such setting; did you mean PROTOWAY_CORS_ORIGINS?",
        ),
        (
            ["--cors-origins", "*", "--cors-credentials"],
            {},
            "--cors-credentials: not with *, which is every origin: list the origins instead",
        ),
        (
            [],
            {"CORS_ORIGINS": "https://a.test/"},
            "PROTOWAY_CORS_ORIGINS: 'https://a.test/' is not an origin: ",
        ),
        (
            ["--cors-origins", "https://a.test", "--response-headers", "Access-Control-Max-Age"],
            {},
            "response_headers: Access-Control-Max-Age is what the settings cors_… are for",
        ),
        (
            ["--hsts", "1 year"],
            {},
            "--hsts: String should match pattern",
        ),
        (["--xyzzy"], {}, "--xyzzy: no such option"),
        (["--upstrea", "x:1"], {}, "--upstrea: no such option; did you mean --upstream?"),
        (["x.binpb", "--xyzzy=1"], {}, "--xyzzy: no such option"),
        (["--port"], {}, "argument --port: expected one argument; `protoway serve --help` lists"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    variables: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It names the option or the variable as it was given; the exit status is 2."""
    for name, value in variables.items():
        monkeypatch.setenv(f"PROTOWAY_{name}", value)
    try:
        status: object = main(["serve", "--descriptor-set", "x", *arguments])
    except SystemExit as end:
        status = end.code

    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith(f"protoway: {says}")
    assert error.count("\n") == 1
