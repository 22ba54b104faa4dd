"""What all tests share: Hypothesis's profiles, what is compiled once for all of them, and a Redis."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import settings

from gateway.contract.descriptors import Contract, load
from gateway.contract.http_rule import Binding
from gateway.contract.json_options import JsonOptions
from gateway.render.openapi import render_openapi
from tests.redis_server import redis_server

# A check that gates a change draws the same cases each time; HYPOTHESIS_PROFILE=random draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

__all__ = ["redis_server"]

# The suite starts hundreds of edges; each would compile the code again, which is a third of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


_KEPT = 16
_contracts: dict[tuple[bytes, tuple[str, ...]], Contract] = {}
_documents: dict[tuple[Contract, tuple[str, ...], str, JsonOptions, bool], dict[str, Any]] = {}


def _loaded(descriptor_set: bytes, services: Iterable[str] = (), *, file: str = "") -> Contract:
    """Returns the contract; the name of its file is in errors only."""
    key = descriptor_set, tuple(services)
    if key not in _contracts:
        if len(_contracts) >= _KEPT:
            _contracts.clear()
            _documents.clear()
        _contracts[key] = load(descriptor_set, services, file=file)
    return _contracts[key]


def _rendered(
    contract: Contract,
    bindings: Sequence[Binding],
    *,
    title: str,
    options: JsonOptions,
    ignore_unknown: bool,
) -> dict[str, Any]:
    """Returns the OpenAPI document."""
    routes = tuple(
        [f"{each.method.full_name} {each.http_method} {each.route}" for each in bindings]
    )
    key = contract, routes, title, options, ignore_unknown
    if key not in _documents:
        _documents[key] = render_openapi(
            contract, bindings, title=title, options=options, ignore_unknown=ignore_unknown
        )
    return _documents[key]


@pytest.fixture(autouse=True)
def contracts_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets edges in this process share what is loaded and rendered of a contract.

    Thousands of tests make an edge of one of a few contracts, and this is half of the work. A contract is
    frozen, and nobody changes a document. The tests of `load` and `render_openapi` call them themselves.
    """
    monkeypatch.setattr("gateway.sources.reading.load", _loaded)
    monkeypatch.setattr("gateway.reload.compiling.render_openapi", _rendered)
