"""The README's commands, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parity.edges import envoy_path, why_no_envoy
from tests.tutorial.page import blocks, save
from tests.tutorial.terminal import Terminal
from tests.whole.conftest import ROOT, Demo, free_ports

_SECTIONS = re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
SECTIONS = {
    section.partition("\n")[0]: [
        line
        for block in re.findall(r"^ *```sh\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
        for line in map(str.strip, block.splitlines())
        if line and not line.startswith("#")
    ]
    for section in _SECTIONS
}
"""The commands below each heading."""
MAKE, *COMMANDS = SECTIONS["Try it in sixty seconds"]
CHECK, SERVE = SECTIONS["Your own `.proto`"]
*DOCKER, RENDER, ENVOY = SECTIONS["Docker and Envoy"]
EXPECTED = {
    "-d '{": r'"convertedAmount":[\d.]+,"rate":[\d.]+,"timestamp":"[^"]+Z"',
    "/convert?": r'"convertedAmount":[\d.]+',
    "hello": r'^{"message":"Hello, World!"}$',
    "/rates/": r'data: {"currency":"EUR","rate":[\d.]+}\n\nid: .*\ndata: {"currency":"GBP"',
    "batch": r'{"totalConverted":[\d.]+,"count":2}',
    "live": r'"convertedAmount":[\d.]+(?s:.*)1000 \(OK\)',
    "Connect-Protocol-Version": r'^{"convertedAmount":[\d.]+,"rate":[\d.]+,"timestamp":"[^"]+Z"}$',
}


def test_every_command_is_tested() -> None:
    """The tables of this file and the README have the same lines; Docker's are tests/e2e's."""
    tested = [MAKE, *COMMANDS, CHECK, SERVE, *DOCKER, RENDER, ENVOY]

    assert [line for lines in SECTIONS.values() for line in lines] == tested
    assert len(COMMANDS) == len(EXPECTED)


@pytest.mark.parametrize("target", re.findall(r"`?\bmake ([a-z-]+)", "".join(_SECTIONS)))
def test_make_has_the_target(target: str) -> None:
    """Each target that the README names is there; `make demo` starts what these tests start."""
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 0, done.stderr
    if target == "demo":
        assert "scripts/demo.py --core-port 50051 --gateway-port 8080" in done.stdout


@pytest.mark.parametrize(("command", "key"), list(zip(COMMANDS, EXPECTED, strict=False)))
def test_the_commands_work(demo: Demo, command: str, key: str) -> None:
    """Each line gives what it promises when it is pasted into a shell."""
    assert key in command
    command = command.replace("localhost:8080", f"localhost:{demo.gateway_port}")
    command = command.replace(".venv/bin/python", sys.executable)
    if "/rates/" in command:
        command = f"timeout 3 {command}"  # it has no end
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=30
    )

    assert re.search(EXPECTED[key], done.stdout), done


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in a folder with the tutorial's contract, with this environment's commands."""
    (tmp_path / "library").mkdir()
    for block in blocks((ROOT / "docs" / "tutorial" / "first-service.md").read_text()):
        if block.attributes.get("title") == "library.proto":
            save(block, tmp_path / "library")
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    with Terminal(tmp_path / "library", os.environ | {"PATH": path}) as opened:
        yield opened


def test_an_own_contract_is_served(terminal: Terminal) -> None:
    """The steps lead to an edge that serves."""
    core, edge = map(str, free_ports(2))

    assert "no problems" in terminal.run(CHECK)
    terminal.start(SERVE.replace("50051", core).replace("8080", edge))
    terminal.wait_for(re.compile(rf"(?s).*http://127\.0\.0\.1:{edge}\b.*\n"))


@pytest.mark.skipif(bool(why_no_envoy()), reason=why_no_envoy())
def test_an_own_contract_is_served_by_envoy(terminal: Terminal) -> None:
    """Envoy accepts the configuration that the README's command writes."""
    terminal.run(RENDER)

    checked = ENVOY.replace("envoy -c", f"{envoy_path()} --mode validate -c")
    assert "OK" in terminal.run(checked)
