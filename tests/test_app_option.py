"""`protoway serve --app`: which applications are taken, with which settings, and what is said of others."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from gateway import connections, listening, server, tls
from gateway.app import create_app
from gateway.app_option import SERVER_SETTINGS
from gateway.cli import main
from gateway.operations import access_log
from gateway.sections import flat_settings
from gateway.settings import Settings
from gateway.start_lines import middleware_line
from tests.contracts import echo_descriptor_set

EDGE = """
from gateway.app import create_app
from gateway.settings import Settings

app = create_app(Settings(descriptor_set="echo.binpb", port=1234, workers=3, services=["echo.v1.Echo"]))
text = "app"
"""
Served = list[tuple[FastAPI, Settings]]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    """What the command would serve, in a folder with `own_edge.py` and its contract."""
    (tmp_path / "echo.binpb").write_bytes(echo_descriptor_set())
    (tmp_path / "own_edge.py").write_text(EDGE)
    (tmp_path / "outer.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    (tmp_path / "fails.py").write_text("first = 1\n1 / 0\n")
    (tmp_path / "needs.py").write_text("import of_nobody\n")
    (tmp_path / "typo.py").write_text("def (\n")
    (tmp_path / "wrong.py").write_text(
        "from gateway.settings import Settings\nSettings(descriptor_set='x', port=-1)\n"
    )
    (tmp_path / "nofile.py").write_text(EDGE.replace("echo.binpb", "none.binpb"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    known = set(sys.modules)
    calls: Served = []

    def serve(app: FastAPI, settings: Settings) -> int:
        calls.append((app, settings))
        return 0

    monkeypatch.setattr("gateway.cli.serve", serve)
    monkeypatch.setattr("gateway.cli.configure_logs", lambda *_: None)
    yield calls
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_an_application_is_served_with_its_own_settings(served: Served) -> None:
    """A module of the current folder is found, and the settings that the application was made with count."""
    assert main(["serve", "--app", "own_edge:app"]) == 0

    ((app, settings),) = served
    assert app is sys.modules["own_edge"].app
    assert settings == app.state.settings
    assert (settings.port, settings.workers) == (1234, 3)


def test_options_of_the_server_win(served: Served) -> None:
    """The others stay as they were."""
    assert main(["serve", "--app", "own_edge:app", "--port", "0", "--drain-seconds", "2"]) == 0

    ((_, settings),) = served
    assert (settings.port, settings.drain_seconds, settings.workers) == (0, 2, 3)
    assert settings.services == ("echo.v1.Echo",)


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["nowhere.edge:app"], 1, "--app: there is no module nowhere in "),
        (["own_edge:other"], 1, "--app: own_edge has no attribute other"),
        (["own_edge:text"], 1, "--app: own_edge:text is no application, but of type str: "),
        (["outer:app"], 1, "--app: outer:app was not made by create_app; "),
        (["own_edge"], 2, "--app: write MODULE:ATTRIBUTE, as mypackage.edge:app, got 'own_edge'"),
        (["own_edge.py:app.x()"], 2, "--app: write MODULE:ATTRIBUTE, "),
        (["fails:app"], 1, "ZeroDivisionError: division by zero (fails.py, line 2); `python -c"),
        (["needs:app"], 1, "--app: needs cannot be imported: ModuleNotFoundError: No module named"),
        (["typo:app"], 1, "SyntaxError: invalid syntax (typo.py, line 1); `python -c"),
        (["wrong:app"], 1, "--app: wrong: Settings: port: Input should be greater than"),
        (["nofile:app"], 1, "cannot read none.binpb: No such file"),
        (["own_edge:app", "--workers", "0"], 2, "--workers: Input should be greater than"),
        (
            ["own_edge:app", "--descriptor-set", "x"],
            2,
            "--descriptor-set: the application of --app",
        ),
        (["own_edge:app", "--timeout-seconds", "3"], 2, "set PROTOWAY_TIMEOUT_SECONDS, or write"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    served: Served,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    line: str,
) -> None:
    """It says what to write, and nothing is served."""
    assert main(["serve", "--app", *arguments]) == status

    said = capsys.readouterr().err
    assert said.startswith("protoway: ")
    assert line in said
    assert said.count("\n") == 1
    assert served == []


def test_options_of_the_server_are_those_that_it_reads() -> None:
    """No setting that the server reads is refused, and none that it does not read is taken in vain."""
    read = set()
    for module in (server, connections, listening, tls.serving_tls, tls.check_serving, access_log):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            _, found, path = ast.unparse(node).rpartition("settings.")
            if isinstance(node, ast.Attribute) and found:
                read.add(path.replace(".", "_"))  # a field of a section, by its flat name
    of_the_application = {
        *("max_message_bytes", "descriptor_set", "upstream", "transport", "proxies"),
        *("admin_host", "admin_port"),
    }

    assert read & flat_settings(Settings).keys() - of_the_application == set(SERVER_SETTINGS)


def test_the_start_names_middleware(tmp_path: Path) -> None:
    """In the order in which a request passes them; an application without any has no such line."""
    (tmp_path / "echo.binpb").write_bytes(echo_descriptor_set())
    app = create_app(Settings(descriptor_set=tmp_path / "echo.binpb"))
    assert list(middleware_line(app)) == []

    class Inner:
        pass

    app.add_middleware(Inner)  # type: ignore[arg-type] # it is not called
    app.add_middleware(CORSMiddleware)
    (line,) = middleware_line(app)
    assert line.startswith(
        "protoway: CORSMiddleware, Inner take every request through ASGI, at about "
    )
