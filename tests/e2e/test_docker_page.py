"""The how-to page on one's own contract in Docker, followed with an engine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT, Reader
from tests.whole.conftest import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_PROJECT = {"COMPOSE_PROJECT_NAME": "protoway-e2e-page"}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody in an empty folder, whose containers and images are taken down behind them."""
    (port,) = free_ports(1)

    def rewrite(text: str) -> str:
        return (
            text.replace("127.0.0.1:8080:", f"127.0.0.1:{port}:")
            .replace("localhost:8080", f"localhost:{port}")
            .replace("protoway-gateway .", f"protoway-gateway {ROOT}")
        )

    reader = Reader(tmp_path, environment=_PROJECT, rewrite=rewrite, seconds=600)
    yield reader
    subprocess.run(
        ["docker", "compose", "down", "--volumes", "--remove-orphans", "--rmi", "local"],
        cwd=tmp_path,
        env=reader.whole_environment(),
        check=True,
    )


def test_ones_own_contract(reader: Reader) -> None:
    """The page's images are built, its containers become healthy, and the method answers."""
    reader.follow(ROOT / "docs" / "how-to" / "docker.md")
