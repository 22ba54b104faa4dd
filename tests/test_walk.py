"""The pictures in docs/explanation/architecture.md show the modules that requests pass."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from tests.walks import ROOT, WIRES, walks

PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
SECTIONS = dict(re.findall(r"^### (.+)\n((?:(?!##).*\n)*)", PAGE, re.MULTILINE))
_ROOMS = ("doors", "exchange", "feeds", "upstream", "transcoding", "contract")
_OTHERS = ("grpc_wire", "grpc_core")
_NAME = re.compile(rf"\b(?<!\.)(?:{'|'.join((*_ROOMS, *_OTHERS))})(?:\.[a-z_0-9]+)+")


def drawn(wire: str) -> set[str]:
    """Returns the modules in the picture of a wire."""
    (picture,) = re.findall(r"^```text\n(.*?)^```", SECTIONS[wire], re.MULTILINE | re.DOTALL)
    names = _NAME.findall(picture)
    return {name if name.startswith(_OTHERS) else f"gateway.{name}" for name in names}


@pytest.mark.parametrize("wire", WIRES)
def test_the_modules_of_a_picture_exist(wire: str) -> None:
    """Under the names that they have there."""
    assert len(drawn(wire)) > 10
    for module in drawn(wire):
        assert find_spec(module) is not None, module


async def test_the_pictures_show_what_requests_pass() -> None:
    """A unary POST passes exactly the modules of its picture; the others pass all of theirs."""
    entered = await walks()

    unary = set(entered["Unary"])
    assert drawn("Unary") == unary
    for wire, modules in entered.items():
        assert drawn(wire) - set(modules) <= _OF_SOME_CALLS, wire


async def test_no_module_is_entered_three_times() -> None:
    """By a unary POST; the page says how many modules it passes."""
    entered = (await walks())["Unary"]

    assert {name for name in entered if entered.count(name) > 2} == set()
    for side, package in (("of the edge", "gateway."), ("of `grpc_wire`", "grpc_wire.")):
        names = {name for name in entered if name.startswith(package)}
        assert f"| {side} | {len(names)} |" in PAGE


_OF_SOME_CALLS = {"grpc_wire.headers.block", "grpc_wire.client.subchannel"}
"""Entered where a cache of header blocks, or of a server's settings, has not what it needs."""
