"""The mistakes of a first hour: each is one line that says what to do, from the command as a process."""

from __future__ import annotations

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.contracts import compile_text
from tests.whole.conftest import ROOT
from tests.whole.forking import run
from tests.whole.processes import DESCRIPTOR_SET

_SECONDS = 60
_RULE = 'option (google.api.http) = {get: "/v1/{name}"};'
_PROTO = """syntax = "proto3";
package t;
import "google/api/annotations.proto";
message M { string name = 1; }
service S { rpc Get(M) returns (M) { %s } }
"""


def _protoway(*options: str, **environment: str) -> subprocess.Popen[str]:
    """Starts `protoway serve` on a free port, with no other variables of ours than these."""
    inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith("PROTOWAY_")}
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", *options],
        cwd=ROOT,
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class Mistake:
    """Something that is set wrongly, and the line that it ends in."""

    says: str
    """`{folder}` and `{port}` stand for those of the test."""
    status: int = 1
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    descriptor_set: str = str(DESCRIPTOR_SET)


MISTAKES = {
    "misspelt variable": Mistake(
        "PROTOWAY_UPSTRAEM: no such setting; did you mean PROTOWAY_UPSTREAM?",
        2,
        environment={"PROTOWAY_UPSTRAEM": "127.0.0.1:50051"},
    ),
    "list that is no JSON": Mistake(
        """PROTOWAY_SERVICES: '["hello.Greeter"' is no list: write a,b or ["a","b"]""",
        2,
        environment={"PROTOWAY_SERVICES": '["hello.Greeter"'},
    ),
    "URL as upstream": Mistake(
        "upstream: 'http://…' is a URL, and the address of a gRPC server is none: write localhost:50051",
        options=("--upstream", "http://localhost:50051/"),
    ),
    "no port": Mistake(
        "upstream: 'localhost' has no port: write localhost:PORT, for example localhost:50051",
        options=("--upstream", "localhost"),
    ),
    "port alone": Mistake(
        "upstream: '50051' is a port without a host: write localhost:50051",
        options=("--upstream", "50051"),
    ),
    "port taken": Mistake(
        "cannot listen on 127.0.0.1:{port}: Address already in use;"
        " stop what listens there, or set another port (0: a free one)",
        options=("--port", "{port}"),
    ),
    ".proto given as descriptor set": Mistake(
        "{folder}/api.proto: this is a .proto file, not a descriptor set: write `protoc --include_imports"
        " --include_source_info -o api.binpb api.proto`, and give api.binpb",
        descriptor_set="{folder}/api.proto",
    ),
    "server's program given as descriptor set": Mistake(
        "{folder}/server.py: this is text, not a descriptor set: write one with `protoc --include_imports"
        " --include_source_info -o FILE …`",
        descriptor_set="{folder}/server.py",
    ),
    "source that is not there": Mistake(
        "cannot read library.binpb: No such file or directory",
        options=("library.binpb",),
    ),
    "missing imports": Mistake(
        "test.proto: imports 'company/types.proto', which the descriptor set does not hold: make the set with"
        " `protoc --include_imports --include_source_info -o FILE …`",
        descriptor_set="{folder}/incomplete.binpb",
    ),
    "contract without annotations": Mistake(
        "no method of the served services has an HTTP rule, so nothing would be served: add `google.api.http`"
        " options to the .proto, or give --http-rules FILE, or --auto-mapping for"
        " POST /package.Service/Method",
        descriptor_set="{folder}/plain.binpb",
    ),
}
"""Those that are seen at the start."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a contract that can be served, and some that cannot."""
    folder = tmp_path_factory.mktemp("contracts")
    (folder / "api.proto").write_text(_PROTO % _RULE)
    (folder / "server.py").write_text("import grpc\n")
    complete = compile_text(_PROTO % _RULE)
    (folder / "api.binpb").write_bytes(complete)
    (folder / "plain.binpb").write_bytes(compile_text(_PROTO % ""))
    incomplete = FileDescriptorSet.FromString(complete)
    incomplete.file[-1].dependency.append("company/types.proto")
    (folder / "incomplete.binpb").write_bytes(incomplete.SerializeToString())
    return folder


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_stops_the_start_in_one_line(name: str, folder: Path) -> None:
    """The line says what to write instead; there is no traceback, and nothing was served."""
    mistake = MISTAKES[name]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = {"folder": str(folder), "port": str(taken.getsockname()[1])}
        given = ("--port", "0", "--descriptor-set", mistake.descriptor_set, *mistake.options)
        arguments = (each.format(**words) for each in given)
        done = run("gateway", "serve", *arguments, environment=mistake.environment)

    says = mistake.says if name == "list that is no JSON" else mistake.says.format(**words)
    assert done.stderr == f"protoway: {says}\n"
    assert (done.returncode, done.stdout) == (mistake.status, "")


class _PlainServer(http.server.BaseHTTPRequestHandler):
    """A web server, which knows nothing of HTTP/2."""

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def _web_server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _PlainServer) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def _no_name() -> Iterator[str]:
    yield "nowhere.invalid:50051"


UPSTREAMS = {
    "name that does not resolve": (_no_name, "its name does not resolve"),
    "HTTP server as upstream": (_web_server, "it answers, but not in gRPC (HTTP/2)"),
}
"""Those that are seen by the first call."""


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
@pytest.mark.parametrize("name", UPSTREAMS)
def test_a_wrong_upstream_is_said_in_the_503_and_once_in_the_log(
    name: str, transport: str, folder: Path
) -> None:
    """Each caller is told, without the address; the log has one line for all of them, with it."""
    upstream, says = UPSTREAMS[name]
    with upstream() as address:
        options = ("--descriptor-set", f"{folder}/api.binpb", "--upstream", address)
        process = _protoway("--port", "0", *options, "--transport", transport)
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        url = first.split()[-1]
        answers = [_get(f"{url}/v1/{number}") for number in range(3)]
        process.terminate()
        _, err = process.communicate(timeout=_SECONDS)

    assert answers == [(503, f'{{"code":14,"message":"upstream cannot be reached: {says}"}}')] * 3
    (line,) = (line for line in err.splitlines() if "cannot be reached" in line)
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.match(f"{time} WARNING gateway: upstream {address} cannot be reached: ", line)
    assert says in line
    assert "Traceback" not in err
    assert second.endswith(f" upstream {address} by {transport}\n")


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
