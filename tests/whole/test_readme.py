"""The README's commands, run as they stand there."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.whole.conftest import ROOT, Demo

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line and not line.startswith("#")
]
EXPECTED = {
    "-d '{": r'"convertedAmount":[\d.]+,"rate":[\d.]+,"timestamp":"[^"]+Z"',
    "/convert?": r'"convertedAmount":[\d.]+',
    "/rates/": r'data: {"currency":"EUR","rate":[\d.]+}\n\nid: .*\ndata: {"currency":"GBP"',
    "batch": r'{"totalConverted":[\d.]+,"count":2}',
    "live": r'"convertedAmount":[\d.]+(?s:.*)1000 \(OK\)',
    "hello": r'^{"message":"Hello, World!"}$',
}


def test_there_is_a_line_for_each_kind() -> None:
    """The table above and the README have the same lines."""
    assert len(COMMANDS) == len(EXPECTED)


@pytest.mark.parametrize(("command", "key"), list(zip(COMMANDS, EXPECTED, strict=False)))
def test_the_commands_work(demo: Demo, command: str, key: str) -> None:
    """Each line gives what it promises when it is pasted into a shell."""
    assert key in command
    command = command.replace("localhost:8080", f"localhost:{demo.gateway_port}")
    if "/rates/" in command:
        command = f"timeout 3 {command}"  # it has no end
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=30
    )

    assert re.search(EXPECTED[key], done.stdout), done
