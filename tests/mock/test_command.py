"""`protoway mock` as a process: headers that ask for errors pass, and gRPC clients are answered too."""

from __future__ import annotations

import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from gateway.cli import main
from tests.contracts import echo_descriptor_set
from tests.pages import ROOT
from tests.tutorial.terminal import Terminal
from tests.whole.conftest import free_ports


def test_it_serves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over HTTP and gRPC, with the names of the headers as the page has them, until Ctrl-C."""
    (tmp_path / "echo.binpb").write_bytes(echo_descriptor_set())
    (port,) = free_ports(1)
    with Terminal(tmp_path, os.environ | {"PYTHONPATH": str(ROOT)}) as terminal:
        terminal.start(f"{sys.executable} -m gateway mock echo.binpb --port {port}")
        terminal.wait_for(re.compile(r"(?s).*from echo.binpb; upstream mock"))
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/echo", headers={"X-Mock-Error": "NOT_FOUND: no tea"}
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=20)
        with caught.value as error:
            assert (error.code, error.read()) == (404, b'{"code":5,"message":"no tea"}')

        words = ("Unary", '{"stringField":"tea"}', "--upstream", f"127.0.0.1:{port}")
        assert main(["call", *words, "--descriptor-set", str(tmp_path / "echo.binpb")]) == 0
    assert '"stringField":"tea"' in capsys.readouterr().out
