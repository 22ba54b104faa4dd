"""What `protoway init` writes for containers, built and asked as its README says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.compose import docker
from tests.whole.conftest import ROOT, free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PROJECT = "protoway-e2e-init"


def compose(folder: Path, *arguments: str) -> None:
    """Runs `docker compose` for the project that was written."""
    file = str(folder / "compose.yaml")
    docker("compose", "-p", PROJECT, "-f", file, *arguments)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A project in containers, on a port that is free; it is taken down behind the test."""
    command = [sys.executable, "-m", "gateway", "init", "orders"]
    subprocess.run(command, cwd=tmp_path, check=True, env={"PYTHONPATH": str(ROOT)})
    folder = tmp_path / "orders"
    (port,) = free_ports(1)
    file = folder / "compose.yaml"
    text = file.read_text()
    assert "127.0.0.1:8080:8080" in text
    file.write_text(text.replace("127.0.0.1:8080:8080", f"127.0.0.1:{port}:8080"))
    docker("build", "-q", "--target", "gateway", "-t", "protoway-gateway", ".")
    try:
        compose(folder, "up", "--build", "--wait")
        yield port
    finally:
        compose(folder, "down", "--volumes", "--rmi", "local")
        docker("rmi", "protoway-gateway")


def test_it_serves_all_four_kinds(port: int) -> None:
    """Server and edge are healthy, and an item that was added is found by each kind of call."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        assert client.post("/v1/items", json={"title": "tea"}).json() == {"id": 1, "title": "tea"}
        assert client.get("/v1/items/1").json()["title"] == "tea"
        imported = client.post("/v1/items:import", content='{"title":"milk"}\n{"title":"sugar"}\n')
        assert imported.json() == {"count": 2}
        found = client.post("/v1/items:find", content='{"word":"milk"}\n')
        assert "milk" in found.text
        with client.stream(
            "GET", "/v1/items:watch", headers={"accept": "application/x-ndjson"}
        ) as all_items:
            assert json.loads(next(all_items.iter_lines()))["title"] == "tea"
