"""What `pip install protoway` brings: the edge, its transport, and the packages that these two import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gateway", "grpc_wire", "server_process")
DISTRIBUTIONS = {
    "google.api": "googleapis-common-protos",
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "grpc": "grpcio",
    "jwt": "pyjwt",
    "opentelemetry": "opentelemetry-api",
    "opentelemetry.exporter.otlp.proto.grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "yaml": "pyyaml",
}
"""What a distribution is called, where it has another name than what is imported of it."""
NOT_IMPORTED = {"fastapi-swagger", "grpcio-tools", "uvloop"}
"""Packages that are used without an import of ours: files, the compiler's process, an import of uvicorn."""


def build(target: str, source: Path, folder: Path) -> Path:
    """Builds a wheel or an sdist with what is installed, so without a network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=50)
    return next(folder.glob("*.whl" if target == "wheel" else "*.tar.gz"))


def names(wheel: Path) -> set[str]:
    """Returns the names of a wheel's files."""
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """The wheel's metadata."""
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def modules() -> Iterator[str]:
    """Yields the absolute name of each module, or of what is imported of it, that the edge imports."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    yield from (f"{node.module}.{alias.name}" for alias in node.names)


def distribution(module: str) -> str | None:
    """Returns the distribution that has a module; None for the standard library and this project."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] in PACKAGES:
        return None
    for size in range(len(parts), 0, -1):
        if (found := DISTRIBUTIONS.get(".".join(parts[:size]))) is not None:
            return found
    return parts[0].replace("_", "-")


def test_the_wheel_has_the_edge_and_what_it_imports_and_no_core(wheel: Path) -> None:
    """Every source file of these packages is in it, wherever it lies, and nothing of other folders."""
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py*")
    }
    files = {name for name in names(wheel) if ".dist-info/" not in name}

    assert {name.partition("/")[0] for name in files} == set(PACKAGES)
    assert {name for name in files if ".py" in name} == {
        name for name in expected if "__pycache__" not in name
    }


@pytest.mark.parametrize(
    "name",
    [
        *("gateway/py.typed", "grpc_wire/py.typed", "server_process/py.typed"),
        *("gateway/v1/options.proto", "gateway/doors/static/viewer.js"),
        *("gateway/project/templates/gitignore.template",),
        *("gateway/project/templates/tests/conftest.py.template",),
    ],
)
def test_the_wheel_has_more_than_modules(wheel: Path, name: str) -> None:
    """Types (PEP 561), the stream options, the script of `/docs`, and what `protoway init` writes."""
    assert name in names(wheel)


def test_the_options_are_those_of_the_contract(wheel: Path) -> None:
    """The file that a user's protoc reads is the one that the edge was made from."""
    with ZipFile(wheel) as archive:
        options = archive.read("gateway/v1/options.proto")

    assert options == (ROOT / "protos/gateway/v1/options.proto").read_bytes()


def test_the_wheel_requires_what_is_imported_and_nothing_else(metadata: Message) -> None:
    """No package is missing in an empty environment, and none is installed for nothing."""
    imported = {name for name in map(distribution, modules()) if name is not None}
    requirements = metadata.get_all("Requires-Dist") or ()
    extra = {each for each in requirements if "extra ==" in each}
    required = {re.split(r"[<>=!~; ]", each)[0] for each in requirements if each not in extra}
    optional = {re.split(r"[<>=!~; ]", each)[0] for each in extra}

    assert required | optional == imported | NOT_IMPORTED
    assert not required & optional
    assert metadata.get_all("Provides-Extra") == ["authorizer", "jwt", "otel", "protoc", "redis"]


def test_the_wheel_has_one_command(wheel: Path) -> None:
    """The core is run from a checkout, and has none."""
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        text = archive.read(name).decode()

    assert text.split() == ["[console_scripts]", "protoway", "=", "gateway.cli:main"]


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """What is on PyPI as source is all that the build needs, without the core and without tests."""
    sdist = build("sdist", ROOT, tmp_path)
    with tarfile.open(sdist) as archive:
        # Python 3.11.2 has no filters, 3.14 has this one by default
        filters: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path / "unpacked", **filters)
    source = next((tmp_path / "unpacked").iterdir())
    again = build("wheel", source, tmp_path)

    assert {path.name for path in source.iterdir() if path.is_dir()} == {*PACKAGES, "protos"}
    assert names(again) == names(wheel)
