"""The documents say what the code does."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from gateway import __version__
from gateway.cli import main
from gateway.sections import all_settings
from gateway.setting_groups import FILE_SECTIONS, GROUPS
from gateway.settings import EnvoySettings
from gateway.settings import Settings as EdgeSettings
from gateway.transcoding.metadata import DEFAULT_REQUEST_HEADERS
from gateway.transcoding.status import HTTP_STATUS, code_name
from gateway.transcoding.websocket_protocol import (
    CLOSE_GOING_AWAY,
    CLOSE_OK,
    CLOSE_TOO_BIG,
    close_code,
)
from gateway.upstream_settings import (
    AddedMetadata,
    RetrySettings,
    UpstreamSettings,
)
from grpc_core.settings import Settings as CoreSettings
from grpc_wire.http2.limits import DEFAULT as LIMITS
from tests.contracts import compile_text
from tests.edge.asgi import ask, running

ROOT = Path(__file__).parents[1]
SETTINGS = (ROOT / "docs" / "reference" / "settings.md").read_text()
UPSTREAMS = (ROOT / "docs" / "reference" / "upstreams.md").read_text()
CLI = (ROOT / "docs" / "reference" / "cli.md").read_text()
WIRE = (ROOT / "docs" / "reference" / "grpc-wire.md").read_text()
ERRORS = (ROOT / "docs" / "reference" / "errors.md").read_text()
PYTHON_API = (ROOT / "docs" / "reference" / "python-api.md").read_text()
PUBLIC = re.findall(r"^\| `(gateway\.[\w.]+)` \|", PYTHON_API, re.MULTILINE)
LIBRARY = """
syntax = "proto3"; package library; import "google/api/annotations.proto";
service Library { rpc GetBook(Book) returns (Book) {
  option (google.api.http) = {get: "/v1/{name=shelves/*/books/*}"}; } }
message Book { string name = 1; }
"""


@pytest.mark.parametrize(
    ("settings", "heading", "inherited"),
    [
        (EdgeSettings, "## The edge", ()),
        (
            EnvoySettings,
            "## Envoy",
            all_settings(EdgeSettings).keys() - {"port", "max_connections", "admin_port"},
        ),
        (CoreSettings, "## The core", ()),
    ],
)
def test_every_setting_is_documented(
    settings: type[EdgeSettings | CoreSettings], heading: str, inherited: Collection[str]
) -> None:
    """Each setting has a row, and no row is of a setting that there is not."""
    section = SETTINGS.split(heading)[1].split("\n## ")[0]

    own = [name for name in all_settings(settings) if name not in inherited]
    assert re.findall(r"^\| `([\w.]+)`", section, re.MULTILINE) == own


def test_settings_are_documented_in_their_groups() -> None:
    """Each group of `protoway serve --help` is a section of the page, with the same settings."""
    section = SETTINGS.split("## The edge")[1].split("\n## ")[0]
    headings = {
        heading: re.findall(r"^\| `([\w.]+)`", text, re.MULTILINE)
        for heading, text in re.findall(r"^### (.+)\n((?:(?!### ).*\n)*)", section, re.MULTILINE)
    }

    first = {rows[0]: heading for heading, rows in headings.items() if rows}
    assert first == {name: heading for name, heading in GROUPS.items() if heading != "Envoy"}


def test_every_section_of_the_file_is_documented() -> None:
    """In the order of the groups, each with the keys that do not follow the rule."""
    section = SETTINGS.split("### The settings file")[1].split("\n### ")[0]
    rows = {
        name: dict(re.findall(r"`(\w+)`: `(\w+)`", others))
        for name, others in re.findall(r"^\| `(\w+):` \| [^|]+ \|(.*)\|$", section, re.MULTILINE)
    }
    expected: dict[str, dict[str, str]] = {name: {} for name in FILE_SECTIONS.values() if name}
    for keys, setting in EnvoySettings.layout().settings.items():
        if len(setting.path) == 1 and setting.name not in (keys[-1], "_".join(keys)):
            expected[keys[0]][keys[1]] = setting.name

    assert list(rows.items()) == list(expected.items())


@pytest.mark.parametrize(
    ("kind", "heading"),
    [
        (UpstreamSettings, "## An entry"),
        (AddedMetadata, "## Metadata"),
        (RetrySettings, "## Retries"),
    ],
)
def test_every_field_of_an_upstream_is_documented(kind: type[BaseModel], heading: str) -> None:
    """The page of upstreams has a row for each field, in their order, and no other."""
    section = UPSTREAMS.split(heading)[1].split("\n## ")[0]

    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == list(kind.model_fields)


def test_the_file_on_the_page_is_read(tmp_path: Path) -> None:
    """As it stands there."""
    section = SETTINGS.split("### The settings file")[1].split("\n### ")[0]
    file = tmp_path / "edge.yaml"
    file.write_text(section.split("```yaml\n")[1].split("```")[0])

    settings = EdgeSettings.model_validate({"config": file})
    assert (settings.upstream, settings.upstream_ca) == ("core:50051", Path("/tls/ca.pem"))
    assert (settings.port, settings.workers) == (9000, 4)
    assert settings.request_headers == (*DEFAULT_REQUEST_HEADERS, "x-tenant")


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """The page of the command line has a section for each command, and for nothing else."""
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    ([\w-]+) +\w", capsys.readouterr().out, re.MULTILINE)
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for package in ("gateway", "grpc_core")
        for path in sorted((ROOT / package).rglob("*.py"))
        if '__name__ == "__main__"' in path.read_text() or path.stem == "__main__"
    ]

    expected = [f"protoway {name}" for name in commands]
    expected += [f"python -m {name}" for name in modules if name != "gateway"]
    assert sorted(re.findall(r"^## `(.+)`$", CLI, re.MULTILINE)) == sorted(expected)
    assert "`python -m gateway` is the same command" in CLI


def test_every_limit_of_the_wire_is_documented() -> None:
    """In their order, each with its default."""
    section = WIRE.split("## Limits")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\d,.]+) ?(\w*) \|", section, re.MULTILINE)
    units = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024 * 1024}

    told = {name: float(number.replace(",", "")) * units[unit] for name, number, unit in rows}
    assert list(told.items()) == list(asdict(LIMITS).items())


@pytest.mark.parametrize("code", HTTP_STATUS)
def test_every_code_is_documented(code: int) -> None:
    """The page has the HTTP status and the close code that the code has."""
    row = f"| {code_name(code)} {code} | {HTTP_STATUS[code]} | {close_code(code)} |"

    assert ERRORS.count(row) == 1


def test_every_http_status_of_an_error_is_documented() -> None:
    """Each status that the edge's code names, or has for a code, has a row with a code beside it."""
    rows = set(map(int, re.findall(r"^\| (\d{3}) \| [\d, ]+ \|", ERRORS, re.MULTILINE)))
    source = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    named = set(map(int, re.findall(r"http_status=(\d{3})", source)))

    assert rows == (named | set(HTTP_STATUS.values())) - {200}


def test_every_close_code_is_documented() -> None:
    """Those that RFC 6455 defines and the edge sends."""
    section = ERRORS.split("## WebSocket close codes")[1].split("\n## ")[0]
    rows = set(map(int, re.findall(r"^\| (\d{4}) \|", section, re.MULTILINE)))

    assert rows >= {CLOSE_OK, CLOSE_GOING_AWAY, CLOSE_TOO_BIG}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_exist(name: str) -> None:
    """Each is there under its name, and says what it is; so do its public methods."""
    module, _, last = name.rpartition(".")
    found: Any = (
        import_module(name) if last.endswith("_pb2") else getattr(import_module(module), last)
    )

    assert found.__doc__ or last.endswith("_pb2")
    for method, value in vars(found).items() if isinstance(found, type) else ():
        assert method.startswith("_") or not callable(value) or value.__doc__, f"{name}.{method}"


async def test_the_snippets_of_the_python_api_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy refuses, the mounted edge answers below its root, and the test on the page passes."""
    (tmp_path / "library.binpb").write_bytes(compile_text(LIBRARY))
    monkeypatch.chdir(tmp_path)
    one, policed, mounted, testing = re.findall(
        r"^```python\n(.*?)^```", PYTHON_API, re.MULTILINE | re.DOTALL
    )
    names: list[dict[str, Any]] = [{}, {}, {}, {}]
    for snippet, given in zip((one, policed, mounted, testing), names, strict=True):
        exec(snippet, given)

    assert isinstance(names[0]["app"], FastAPI)
    async with running(names[1]["app"]) as app:
        assert (await ask(app, "GET", "/v1/shelves/1/books/2")).status == 401
    assert names[1]["count"].ended == [("/v1/shelves/1/books/2", 401)]
    async with running(names[2]["app"]) as app:
        assert (await ask(app, "GET", "/api/healthz")).json == {"status": "SERVING"}
        document = (await ask(app, "GET", "/api/openapi.json")).json
    assert document["servers"] == [{"url": "/api"}]
    assert document["paths"].keys() == {"/v1/shelves/{name}/books/{name_1}"}
    await names[3]["test_a_missing_book_is_404"]()


def test_the_readme_counts_the_requests_of_the_comparison() -> None:
    """As many as docs/reference/parity.md, which is generated."""
    total = re.search(
        r"\| \*\*all\*\* \| \*\*(\d+)\*\*", (ROOT / "docs" / "reference" / "parity.md").read_text()
    )

    assert total is not None
    assert f"the same {total[1]} requests" in (ROOT / "README.md").read_text()


def test_the_changelog_knows_the_version() -> None:
    """A version is released with its section, or is still to be."""
    text = (ROOT / "CHANGELOG.md").read_text()

    assert f"## {__version__}" in text or "## Unreleased" in text


def test_decisions_are_numbered_without_a_gap() -> None:
    """The records count up from 1."""
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))

    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


def test_the_index_of_decisions_has_each_once_in_order() -> None:
    """With the number that its record has."""
    folder = ROOT / "docs" / "decisions"
    rows = re.findall(r"^\| \[(\d+)\]\(([^)]+)\)", (folder / "README.md").read_text(), re.MULTILINE)

    assert [name for _, name in rows] == sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert all(int(number) == int(name[:4]) for number, name in rows)


def test_the_index_leads_to_every_page() -> None:
    """Following links from docs/index.md, a reader comes to each page below docs/."""
    docs = ROOT / "docs"
    reached: set[Path] = set()
    waiting = [docs / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.is_relative_to(docs):
            reached.add(page)
            waiting += [(page.parent / link).resolve() for link in _links(page.read_text())]

    assert sorted(docs.rglob("*.md")) == sorted(reached)


def test_the_index_names_every_page() -> None:
    """docs/index.md itself has a link to each page but the single decisions."""
    docs = ROOT / "docs"
    linked = {(docs / link).resolve() for link in _links((docs / "index.md").read_text())}
    pages = {path for path in docs.rglob("*.md") if not path.name[0].isdigit()}

    assert pages - {docs / "index.md"} <= linked


def _links(text: str) -> list[str]:
    """Returns the relative links to other pages, without their anchors; comments have none."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return re.findall(r"\]\((?!https?:)([^)#]+\.md)", text)


def test_the_readme_is_short() -> None:
    """It is read in one go: less than 120 lines."""
    assert (ROOT / "README.md").read_text().count("\n") < 120
