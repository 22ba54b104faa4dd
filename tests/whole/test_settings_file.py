"""The command with a settings file: `serve`, with workers, with `--app`; the other commands; and health."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.whole import processes
from tests.whole.forking import run
from tests.whole.processes import DESCRIPTOR_SET
from tests.worker_processes import workers_of

FILE = f"""\
contract:
  descriptor_set: {DESCRIPTOR_SET}
upstream:
  address: 127.0.0.1:9
server:
  port: 0
  log_level: warning
paths:
  health_path: /-/alive
"""
OWN_EDGE = """
from gateway.app import create_app
from gateway.settings import Settings
app = create_app(Settings())
other = create_app(Settings(config=None, descriptor_set={!r}))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with all that `serve` needs."""
    return write(tmp_path / "edge.yaml", FILE)


def write(path: Path, text: str) -> Path:
    """Writes a file; returns its path."""
    path.write_text(text)
    return path


def command(
    *arguments: str, folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; in a folder, it begins with a new interpreter, which finds modules there."""
    if folder is None:
        return run("gateway", *arguments, environment=variables)
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=os.environ | variables,
    )


async def test_an_edge_is_served_by_a_file_alone(file: Path) -> None:
    """With the paths that it says; a variable can name it too, and variables win over its values."""
    async with processes._running("gateway", "serve", "--config", str(file)) as edge:
        async with httpx.AsyncClient(base_url=edge.http) as client:
            assert (await client.get("/-/alive")).status_code == 200
            assert (await client.get("/healthz")).status_code == 404
            assert (await client.get("/openapi.json")).status_code == 200
        edge.process.terminate()
        assert await edge.process.wait() == 0

    variables = {"PROTOWAY_CONFIG": str(file), "PROTOWAY_HEALTH_PATH": "/other"}
    async with (
        processes._running("gateway", "serve", **variables) as edge,
        httpx.AsyncClient(base_url=edge.http) as client,
    ):
        assert (await client.get("/other")).status_code == 200
        assert (await client.get("/-/alive")).status_code == 404


async def test_workers_follow_the_file(file: Path) -> None:
    """Their number is the file's, and each has read it."""
    text = FILE.replace("port: 0", "port: 0\n  workers: 2")
    write(file, f"{text}connections: {{max_headers: 20}}\n")
    async with processes._running("gateway", "serve", "--config", str(file)) as edge:
        assert len(workers_of(edge.process.pid)) == 2
        too_many = [(f"x-{number}", "1") for number in range(30)]
        for _ in range(8):  # connections, which the system spreads over both
            async with httpx.AsyncClient(base_url=edge.http) as client:
                assert (await client.get("/-/alive")).status_code == 200
                assert (await client.get("/-/alive", headers=too_many)).status_code == 431


async def test_an_application_of_the_users_reads_the_file(file: Path, tmp_path: Path) -> None:
    """`--config` is what `Settings()` in the module reads, and options of the server win over it."""
    write(tmp_path / "own_edge.py", OWN_EDGE.format(str(DESCRIPTOR_SET)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--app", "own_edge:app"),
        *("--config", "edge.yaml", "--host", "localhost"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        async with httpx.AsyncClient(base_url=line.split()[-1]) as client:
            assert (await client.get("/-/alive")).status_code == 200
    finally:
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (
            ("--app", "own_edge:app", "--health-path", "/x"),
            2,
            (
                "--health-path: the application of --app was made without it; pass health_path to"
                " Settings there, set PROTOWAY_HEALTH_PATH, or write it into the file of --config"
            ),
        ),
        (
            ("--app", "own_edge:other"),
            2,
            "--config: the application of --app was made with config=None",
        ),
    ],
)
def test_what_an_application_does_not_obey_is_refused(
    file: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, line: str
) -> None:
    """As every option that comes too late."""
    (tmp_path / "own_edge.py").write_text(OWN_EDGE.format(str(DESCRIPTOR_SET)))

    done = command("serve", "--config", "edge.yaml", *arguments, folder=tmp_path)

    assert (done.returncode, done.stderr) == (status, f"protoway: {line}\n")


def test_a_wrong_file_under_an_application(file: Path, tmp_path: Path) -> None:
    """Its lines are named, with the module."""
    (tmp_path / "own_edge.py").write_text(OWN_EDGE.format(str(DESCRIPTOR_SET)))
    file.write_text(FILE + "sever: {}\n")

    done = command("serve", "--config", "edge.yaml", "--app", "own_edge:app", folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr == (
        "protoway: --app: own_edge: Settings: edge.yaml:10: sever: no such section; did you mean server?\n"
    )


def test_the_other_commands_take_it(file: Path) -> None:
    """Those of the contract and Envoy; what they do not need is checked all the same."""
    file.write_text(FILE + "admin: {port: 9999}\nstreams: {max_feeds: 5}\n")

    check = command("check", "--config", str(file))
    routes = command("routes", PROTOWAY_CONFIG=str(file))
    envoy = command("envoy", "--config", str(file), "--port", "8081")
    settings = command("settings", "--config", str(file), "--changed")

    assert (check.returncode, check.stderr) == (0, "")
    assert "no problems" in check.stdout
    assert "/rates/{base_currency}" in routes.stdout
    assert "port_value: 9999" in envoy.stdout
    assert f"  max_feeds: 5  # {file}:11\n" in settings.stdout


def test_a_wrong_file_stops_every_command(file: Path) -> None:
    """With status 2, and all that is wrong, a line each."""
    file.write_text("server:\n  prot: 1\n  workers: none\nenvoy: {descriptor_set_path: []}\n")
    lines = [
        f"protoway: {file}:2: server.prot: no such setting; did you mean port?",
        (
            f"protoway: {file}:3: server.workers: Input should be a valid integer, unable to parse string as"
            " an integer, got 'none'"
        ),
    ]

    for name in ("serve", "check", "routes", "settings"):
        done = command(name, "--config", str(file), PROTOWAY_DESCRIPTOR_SET=str(DESCRIPTOR_SET))
        assert (done.returncode, done.stdout, done.stderr.splitlines()) == (2, "", lines)
    done = command("envoy", "--config", str(file), PROTOWAY_DESCRIPTOR_SET=str(DESCRIPTOR_SET))
    assert len(done.stderr.splitlines()) == 3


async def test_health_looks_where_the_file_says(file: Path) -> None:
    """Without variables but the one that names the file."""
    async with processes._running("gateway", "serve", "--config", str(file)) as edge:
        write(file, FILE.replace("port: 0", f"port: {edge.port}"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.health"),
            env=os.environ | {"PROTOWAY_CONFIG": str(file)},
        )
        assert await asyncio.wait_for(process.wait(), 60) == 0
