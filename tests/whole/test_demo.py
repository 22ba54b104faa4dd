"""`make demo`: two processes that live and die together, and the commands behind it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts import compile_text, echo_descriptor_set
from tests.whole.conftest import ROOT, free_ports, start_demo, stop_demo
from tests.whole.forking import run


def children(pid: int) -> list[int]:
    """Returns the processes that a process has started."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_both_cleanly(number: int) -> None:
    """Ctrl-C and SIGTERM end the demo with 0, and leave no process behind."""
    demo = start_demo(*free_ports(2))
    parts = children(demo.process.pid)

    assert len(parts) == 2
    assert stop_demo(demo, number) == 0
    assert not any(alive(pid) for pid in parts)


@pytest.mark.parametrize("victim", [0, 1])
def test_if_one_dies_the_other_is_stopped(victim: int) -> None:
    """A part that dies takes the demo down with it, and the exit status says so."""
    demo = start_demo(*free_ports(2))
    parts = children(demo.process.pid)
    os.kill(parts[victim], signal.SIGKILL)

    assert demo.process.stdout is not None
    demo.process.stdout.read()
    assert demo.process.wait(30) == 1
    assert not any(alive(pid) for pid in parts)
    demo.process.stdout.close()


@pytest.mark.parametrize("taken", ["core", "gateway"])
def test_a_taken_port_is_one_clear_line(taken: str) -> None:
    """The line names the address and what is wrong with it; there is no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"core": free_ports(1)[0], "gateway": free_ports(1)[0]}
        ports[taken] = other.getsockname()[1]
        done = subprocess.run(
            [
                *(sys.executable, "scripts/demo.py"),
                *("--core-port", str(ports["core"]), "--gateway-port", str(ports["gateway"])),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert done.returncode == 1
    assert f":{ports[taken]}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def protoway(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return run("gateway", *arguments, environment=environment)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (
            ("serve",),
            2,
            "protoway: the contract is missing: give .proto files or a folder of them, ",
        ),
        (
            ("serve", "--descriptor-set", "/nowhere"),
            1,
            "protoway: cannot read /nowhere: No such file or directory",
        ),
        (
            ("serve", "--descriptor-set", "README.md"),
            1,
            "README.md: this is text, not a descriptor set: write one",
        ),
        (
            ("serve", "--descriptor-set", "protos/descriptor_set.binpb", "--port", "99999"),
            2,
            "protoway: --port: Input should be less than or equal to 65535",
        ),
        (
            ("serve", "--descriptor-set", "protos/descriptor_set.binpb", "--pages", "nowhere"),
            2,
            "protoway: --pages: Path does not point to a directory",
        ),
        (
            (
                *("serve", "--descriptor-set", "protos/descriptor_set.binpb"),
                *("--upstream", "xds:///core", "--transport", "wire"),
            ),
            1,
            "protoway: upstream: 'xds:///core' is not host:port; the transport grpcio knows more names",
        ),
        (
            (
                *("serve", "--descriptor-set", "protos/descriptor_set.binpb"),
                *("--services", "finance.Bank"),
            ),
            1,
            "protoway: no service 'finance.Bank'",
        ),
    ],
)
def test_wrong_usage_is_one_clear_line(arguments: tuple[str, ...], status: int, says: str) -> None:
    """What a person got wrong is one line on stderr, with an exit status, and no traceback."""
    done = protoway(*arguments)

    assert done.returncode == status
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    """`protoway routes | head -0` ends without a word."""
    command = f"{sys.executable} -m gateway routes --descriptor-set protos/descriptor_set.binpb"
    done = subprocess.run(
        ["sh", "-c", f"{command} | true"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_settings_come_from_the_environment_too() -> None:
    """Each option is an environment variable as well, and a bad value there is named."""
    done = protoway("serve", PROTOWAY_DESCRIPTOR_SET="x", PROTOWAY_PORT="many")

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "PROTOWAY_PORT: Input should be a valid integer" in done.stderr


def test_a_broken_contract_stops_the_start(tmp_path: Path) -> None:
    """The one line names file, line, method and column."""
    path = tmp_path / "broken.binpb"
    path.write_bytes(
        compile_text(
            'syntax = "proto3"; package t; import "google/api/annotations.proto";\n'
            "message M { string name = 1; }\n"
            "service S { rpc Get(M) returns (M) {\n"
            '  option (google.api.http) = {get: "/v1/{nome}"};\n'
            "} }\n"
        )
    )
    done = protoway("serve", "--descriptor-set", str(path))

    assert done.returncode == 1
    assert done.stderr.startswith("protoway: test.proto:4:3: t.S.Get: ")
    assert "column 6: t.M has no field 'nome'" in done.stderr


def test_another_contract_is_served_by_the_same_edge(tmp_path: Path) -> None:
    """It needs a descriptor set and an address, no more; the start says what is served, and where."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    upstream = f"127.0.0.1:{free_ports(1)[0]}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gateway", "serve", "--port", "0", "--log-level", "warning"),
            *("--descriptor-set", str(path), "--upstream", upstream),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout:
        line, second = process.stdout.readline(), process.stdout.readline()
        process.terminate()

    table = protoway("routes", "--descriptor-set", str(path)).stdout.splitlines()[1:]
    routes = sum("/echo.v1.Echo/" not in line for line in table)  # without those of RPCs alone
    served = f"protoway: {routes} routes of echo.v1.Echo from {path}; upstream {upstream} by "
    assert second.startswith(served)
    assert line.startswith("protoway: serving HTTP on http://127.0.0.1:")
    assert process.returncode == 0
