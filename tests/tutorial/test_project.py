"""`protoway init` and `protoway dev` from protoway's wheel: from an empty folder to all four kinds."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.tutorial import wheels
from tests.tutorial.terminal import Terminal
from tests.whole.conftest import free_ports


def answers(url: str) -> None:
    """Calls a method of each kind."""
    with urllib.request.urlopen(f"{url}/v1/items", b'{"title":"tea"}', timeout=20) as response:
        assert json.load(response) == {"id": 1, "title": "tea"}
    with urllib.request.urlopen(f"{url}/v1/items:watch", timeout=20) as response:
        assert json.loads(response.readline()) == {"id": 1, "title": "tea"}
    lines = b'{"title":"milk"}\n{"title":"sugar"}\n'
    with urllib.request.urlopen(f"{url}/v1/items:import", lines, timeout=20) as response:
        assert json.load(response) == {"count": 2}
    with connect(f"{url.replace('http', 'ws', 1)}/v1/items:find") as socket:
        socket.send('{"word":"milk"}')
        assert json.loads(socket.recv(20)) == {"items": [{"id": 2, "title": "milk"}]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "source",
    [
        pytest.param("what is installed here", marks=pytest.mark.long),
        pytest.param("the index", marks=pytest.mark.tutorial),
    ],
)
def test_a_project(tmp_path: Path, wheel: Path, environment: dict[str, str], source: str) -> None:
    """Two commands, and all four kinds are answered; the project's own tests pass."""
    environment |= wheels.pip_variables(
        wheel, tmp_path / "wheels", ["grpcio-tools", "pytest"], index=source == "the index"
    )
    server, edge = map(str, free_ports(2))
    environment |= {"PORT": server, "PROTOWAY_UPSTREAM": f"localhost:{server}"}
    environment |= {"PROTOWAY_PORT": edge, "PYTHONUNBUFFERED": "1"}
    folder = tmp_path / "empty"
    folder.mkdir()
    with Terminal(folder, environment) as terminal:
        terminal.run("python3 -m venv .venv")
        terminal.run(". .venv/bin/activate")
        terminal.run("pip install protoway grpcio-tools pytest")
        begin = time.monotonic()
        terminal.run("protoway init x")
        terminal.run("cd x")
        terminal.start("protoway dev")
        both = r"(?s)(?=.*server +\| listening[^\n]*\n).*?edge +\| protoway: 5 routes[^\n]*\n"
        terminal.wait_for(re.compile(both))
        answers(f"http://127.0.0.1:{edge}")
        print(f"\nprotoway init, protoway dev, all four kinds: {time.monotonic() - begin:.1f} s")
        terminal.interrupt()
        assert "8 passed" in terminal.run("python -m pytest -q")
