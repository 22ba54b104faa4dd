"""Rules of the house that no other tool checks."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for package in ("gateway", "grpc_core", "grpc_wire", "server_process")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not {"_generated", "v1"} & set(path.parts)
]
OURS = {"gateway", "grpc_core", "grpc_wire", "server_process"}
PRIVATE_MODULES = (
    "uvicorn.protocols",
    "uvicorn.middleware",
    "uvicorn.lifespan",
    "starlette.middleware.errors",
    "websockets.legacy",
    "websockets.streams",
    "google.protobuf.internal",
    "httptools.parser",
)
"""Modules of other projects that are not documented for others, though their names do not say so."""
MAX_LINES = 350
"""Beyond it, look for a second subject in the file; where there is none, name the file in `ONE_SUBJECT`."""
ONE_SUBJECT = {
    ROOT / "gateway/exchange/exchange.py": 380,  # one request and its response
    ROOT / "gateway/feeds/stored_feed.py": 390,  # one state machine: leader, follower, alone
    ROOT / "gateway/settings.py": 430,  # a list, of which each item has its words
    ROOT / "gateway/doors/http1/protocol.py": 525,  # one asyncio protocol, with its timers
    ROOT / "gateway/doors/http/websocket.py": 420,  # one asyncio protocol, with its ASGI
    ROOT / "grpc_wire/client/stream.py": 540,  # the state of one call; its end was a base class
    ROOT / "grpc_wire/http2/inbound.py": 700,  # each frame of RFC 9113 once; half was a base class
    ROOT / "grpc_wire/transport/transport.py": 425,  # one asyncio protocol, for both sides
}
"""Longer files with one subject, which only inheritance would split, and their maximum lines."""


def test_each_file_begins_with_its_law() -> None:
    """Every module says what it is for."""
    assert [path for path in SOURCES if not path.read_text().startswith(('"""', 'r"""'))] == []


def test_each_file_ends_in_time() -> None:
    """Every module has one subject."""
    lines = {path: path.read_text().count("\n") for path in SOURCES}

    assert {p: n for p, n in lines.items() if n > ONE_SUBJECT.get(p, MAX_LINES)} == {}


def test_the_gateway_knows_nothing_of_finance() -> None:
    """The word does not occur in the gateway."""
    for path in (ROOT / "gateway").rglob("*.py"):
        assert not re.search(r"finance|(?<!con)currency", path.read_text(), re.IGNORECASE), path


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yields what a module imports of other projects, and the name that it is bound to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield each.name, each.asname or each.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                yield f"{node.module}.{each.name}", each.asname or each.name


def _private_names(source: str) -> Iterator[str]:
    """Yields the private modules and names of other projects that a module uses."""
    tree = ast.parse(source)
    foreign: dict[str, str] = {}
    for name, bound in _imported(tree):
        if name.partition(".")[0] in OURS | sys.stdlib_module_names:
            continue
        foreign[bound] = name
        if "._" in name or name.startswith(PRIVATE_MODULES):
            yield name
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr)):
            continue
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            value = value.value
        if isinstance(value, ast.Name) and value.id in foreign:
            yield f"{foreign[value.id]}: {node.attr}"


def test_no_private_name_of_another_project_is_used() -> None:
    """A private name may change with any version, and nobody would be told."""
    found = {path: list(_private_names(path.read_text())) for path in SOURCES}

    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from uvicorn.protocols.http import h11_impl", ["uvicorn.protocols.http.h11_impl"]),
        ("import grpc.aio._call", ["grpc.aio._call"]),
        ("from grpc import _channel as c", ["grpc._channel"]),
        ("import grpc\ngrpc.aio._call.x()", ["grpc: _call"]),
        (
            "from websockets.server import ServerProtocol as P\nP._state",
            ["websockets.server.ServerProtocol: _state"],
        ),
        ("from gateway.doors.http1 import direct\ndirect._x", []),
        ("import os\nos.path", []),
    ],
)
def test_private_names_are_found(source: str, found: list[str]) -> None:
    """However they are imported or reached."""
    assert list(_private_names(source)) == found


def test_no_private_method_of_another_project_is_overridden() -> None:
    """A base class may stop calling it with any version."""
    for one in _classes():
        bases = [base for base in one.__mro__ if _is_foreign(base.__module__)]
        private = {key for base in bases for key in vars(base) if re.match("_[^_]", key)}
        ours = {key for key, value in vars(one).items() if inspect.isfunction(value)}
        assert not ours & private, one


def _classes() -> Iterator[type]:
    """Yields the classes of all modules."""
    for path in SOURCES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not name.endswith("__main__"):
            for _, one in inspect.getmembers(importlib.import_module(name), inspect.isclass):
                if one.__module__ == name:
                    yield one


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in OURS | sys.stdlib_module_names
