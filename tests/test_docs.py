"""The documents say what the code does."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import pytest

from gateway import __version__
from gateway.settings import GROUPS, EnvoySettings
from gateway.settings import Settings as EdgeSettings
from gateway.transcoding.status import HTTP_STATUS, code_name
from grpc_core.settings import Settings as CoreSettings
from grpc_wire.limits import DEFAULT as LIMITS

ROOT = Path(__file__).parents[1]
SETTINGS = (ROOT / "docs" / "reference" / "settings.md").read_text()
WIRE = (ROOT / "docs" / "reference" / "grpc-wire.md").read_text()
WIRES = (ROOT / "docs" / "reference" / "wires.md").read_text()


@pytest.mark.parametrize(
    ("settings", "heading", "inherited"),
    [
        (EdgeSettings, "## The edge", ()),
        (EnvoySettings, "## Envoy", EdgeSettings.model_fields.keys() - {"port"}),
        (CoreSettings, "## The core", ()),
    ],
)
def test_every_setting_is_documented(
    settings: type[EdgeSettings | CoreSettings], heading: str, inherited: Collection[str]
) -> None:
    """Each setting has a row, and no row is of a setting that there is not."""
    section = SETTINGS.split(heading)[1].split("\n## ")[0]

    own = [name for name in settings.model_fields if name not in inherited]
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == own


def test_settings_are_documented_in_their_groups() -> None:
    """Each group of `protoway serve --help` is a section of the page, with the same settings."""
    section = SETTINGS.split("## The edge")[1].split("\n## ")[0]
    headings = {
        heading: re.findall(r"^\| `(\w+)`", text, re.MULTILINE)
        for heading, text in re.findall(r"^### (.+)\n((?:(?!### ).*\n)*)", section, re.MULTILINE)
    }

    first = {rows[0]: heading for heading, rows in headings.items() if rows}
    assert first == {name: heading for name, heading in GROUPS.items() if heading != "Envoy"}


def test_every_limit_of_the_wire_is_documented() -> None:
    """In their order, each with its default."""
    section = WIRE.split("## Limits")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\d,.]+) ?(\w*) \|", section, re.MULTILINE)
    units = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024 * 1024}

    told = {name: float(number.replace(",", "")) * units[unit] for name, number, unit in rows}
    assert list(told.items()) == list(asdict(LIMITS).items())


@pytest.mark.parametrize("code", HTTP_STATUS)
def test_every_code_is_documented(code: int) -> None:
    """The table of statuses in the page is the table in the code."""
    assert f"{code_name(code)} {code} | {HTTP_STATUS[code]}" in WIRES


def test_links_lead_somewhere() -> None:
    """Every relative link in the pages is to a file that is there."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"


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
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))

    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
