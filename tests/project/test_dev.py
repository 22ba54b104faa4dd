"""`protoway dev` as a process: what it says, what it starts again, and that nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli import main
from tests.pages import ROOT
from tests.tutorial.terminal import Terminal
from tests.whole.conftest import free_ports

pytestmark = pytest.mark.timeout(120)
COMMAND = f"{sys.executable} -m gateway dev"


@contextmanager
def project(folder: Path, *options: str, **environment: str) -> Iterator[tuple[Terminal, str]]:
    """Runs `protoway dev` in a new project, or in a folder that is one; yields it, and the edge's URL."""
    if not folder.exists():
        assert main(["init", "orders", str(folder)]) == 0
    server, edge = free_ports(2)
    settings = {
        "PYTHONPATH": str(ROOT),
        "PORT": str(server),
        "PROTOWAY_PORT": str(edge),
        "PROTOWAY_UPSTREAM": f"localhost:{server}",
    }
    with Terminal(folder, os.environ | settings | environment) as terminal:
        terminal.start(" ".join((COMMAND, *options)))
        yield terminal, f"http://127.0.0.1:{edge}"
        terminal.interrupt()
    for port in (server, edge):
        with socket.create_server(("127.0.0.1", port)):
            pass  # nobody listens there any more


def said(terminal: Terminal, *texts: str) -> None:
    """Waits until these texts were printed, in this order."""
    for text in texts:
        terminal.wait_for(re.compile(rf"(?s).*?{text}[^\n]*\n"))


def started(terminal: Terminal) -> None:
    """Waits until both serve, in whatever order."""
    terminal.wait_for(
        re.compile(r"(?s)(?=.*server +\| listening[^\n]*\n).*?edge +\| protoway: 5 routes[^\n]*\n")
    )


def post(url: str, body: str) -> str:
    """Sends a request; returns the response's body."""
    with urllib.request.urlopen(url, body.encode(), timeout=20) as response:
        return str(response.read().decode())


def until_served(url: str, body: str) -> str:
    """Sends a request until its path is served, for 30 seconds; returns the response's body."""
    end = time.monotonic() + 30
    while True:
        try:
            return post(url, body)
        except urllib.error.HTTPError as error:
            error.close()
            assert time.monotonic() < end, url
            time.sleep(0.1)


@pytest.mark.long
def test_changes_are_served(tmp_path: Path) -> None:
    """Code and contract start the server again, settings the edge; what is wrong stops neither."""
    folder = tmp_path / "orders"
    with project(folder) as (terminal, url):
        started(terminal)
        assert post(f"{url}/v1/items", '{"title":"tea"}') == '{"id":1,"title":"tea"}'

        server = folder / "server.py"
        server.write_text(server.read_text().replace("title=request.title", 'title="milk"'))
        said(terminal, r"dev +\| server.py changed", r"server +\| listening")
        assert post(f"{url}/v1/items", '{"title":"tea"}') == '{"id":1,"title":"milk"}'

        contract = folder / "orders.proto"
        text = contract.read_text()
        contract.write_text(text.replace("string title = 2;", "strin title = 2;"))
        said(terminal, r"dev +\| orders.proto changed", r"orders.proto:38:3", "does not compile")
        assert post(f"{url}/v1/items", '{"title":"tea"}') == '{"id":2,"title":"milk"}'

        contract.write_text(text.replace('"/v1/items" body', '"/v2/items" body'))
        said(terminal, "orders.proto changed", r"server +\| listening")
        assert until_served(f"{url}/v2/items", '{"title":"tea"}') == '{"id":1,"title":"milk"}'

        settings = folder / "protoway.yaml"
        settings.write_text(f"{settings.read_text()}json:\n  print_enum_numbers: true\n")
        said(terminal, "protoway.yaml changed", "protoway: 5 routes")
        assert post(f"{url}/v2/items", '{"title":"tea"}') == '{"id":2,"title":"milk"}'


@pytest.mark.long
def test_a_server_that_ends_is_started_by_a_change(tmp_path: Path) -> None:
    """The edge goes on meanwhile; the line has the exit status."""
    folder = tmp_path / "orders"
    with project(folder) as (terminal, url):
        started(terminal)
        server = folder / "server.py"
        text = server.read_text()
        server.write_text(f"raise SystemExit(3)\n{text}")
        said(terminal, "the server has ended with status 3; a change")
        server.write_text(text)
        said(terminal, r"server +\| listening")
        assert post(f"{url}/v1/items", '{"title":"tea"}') == '{"id":1,"title":"tea"}'


@pytest.mark.long
def test_a_change_during_a_change_is_seen(tmp_path: Path) -> None:
    """What is saved while the contract is compiled is not lost."""
    folder = tmp_path / "orders"
    assert main(["init", "orders", str(folder)]) == 0
    slow = folder / "slow.sh"
    slow.write_text(f"echo begins; sleep 3; exec {sys.executable} generate.py\n")
    with project(folder, "--generate", "'sh slow.sh'") as (terminal, _):
        started(terminal)
        for name in ("orders.proto", "server.py"):
            path = folder / name
            path.write_text(f"{path.read_text()}\n")
            if name == "orders.proto":
                said(terminal, r"dev +\| orders.proto changed", r"compile +\| begins")
        said(terminal, r"dev +\| server.py changed")


def test_an_edge_that_does_not_start_ends_all(tmp_path: Path) -> None:
    """Where nothing that changes would help, the exit status is 1, and no program is left."""
    folder = tmp_path / "orders"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["init", "orders", str(folder)]) == 0
        environment = {"PYTHONPATH": str(ROOT), "PORT": "0", "PROTOWAY_PORT": port}
        with Terminal(folder, os.environ | environment) as terminal:
            output = terminal.run(f"{COMMAND} || echo status $?")
    assert f"edge    | protoway: cannot listen on 127.0.0.1:{port}" in output
    assert output.endswith("status 1\n")


def test_settings_are_checked_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is a line of this command, before anything is started."""
    assert main(["dev", "a.proto", "--port", "x", "--server", "echo started"]) == 2
    assert main(["dev", "a.proto", "--server", "'"]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--port" in printed.err
    assert '--server: "\'": No closing quotation' in printed.err


def test_a_command_that_does_not_exist_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has the name of the program, and the reason."""
    monkeypatch.chdir(tmp_path)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # another test may have left its own
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    assert main(["dev", "a.proto", "--server", "no-such-command"]) == 1

    assert "the command of the server cannot be run: [Errno 2]" in capsys.readouterr().out
    assert {number: signal.getsignal(number) for number in previous} == previous
