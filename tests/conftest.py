"""What all tests share: Hypothesis's profiles, what is compiled once for all of them, and a Redis."""

from __future__ import annotations

import copy
import gc
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import gateway.exchange.exchange
from gateway.contract.bindings import RpcMethods
from gateway.contract.descriptors import Contract, load
from gateway.contract.http_rule import Binding
from gateway.contract.json_options import JsonOptions
from gateway.render.openapi import render_openapi
from gateway.transcoding.transcoder import Transcoder
from tests.redis_server import redis_server

# A check that gates a change draws the same cases each time; HYPOTHESIS_PROFILE=random draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

__all__ = ["redis_server"]

# The suite starts hundreds of edges; each would compile the code again, which is a third of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


_COMPILED = str(Path(__file__).parents[1] / "build" / "compiled")
_KEPT = 16
_contracts: dict[tuple[bytes, tuple[str, ...]], Contract] = {}
_documents: dict[tuple[Contract, tuple[str, ...], str, JsonOptions, bool], dict[str, Any]] = {}
_transcoders: dict[tuple[Contract, JsonOptions, bool, bool, RpcMethods], Transcoder] = {}


def pytest_configure() -> None:
    """Ends a run that is for the modules in `build/compiled`, and would test the sources.

    Raises:
        pytest.UsageError: a source comes before the extension module in the path of modules.
    """
    found = str(gateway.exchange.exchange.__file__)
    wanted = _COMPILED in os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if wanted and (not found.startswith(_COMPILED) or found.endswith(".py")):
        raise pytest.UsageError(f"PYTHONPATH has {_COMPILED}, and {found} is imported")


def pytest_collection() -> None:
    """What is imported stays, so looking for garbage among it is in vain."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Spares each collection the modules and tests that are there now: half a second for each of all."""
    gc.freeze()
    gc.enable()


def _loaded(descriptor_set: bytes, services: Iterable[str] = (), *, file: str = "") -> Contract:
    """Returns the contract; the name of its file is in errors only."""
    key = descriptor_set, tuple(services)
    if key not in _contracts:
        if len(_contracts) >= _KEPT:
            _contracts.clear()
            _documents.clear()
            _transcoders.clear()
        _contracts[key] = load(descriptor_set, services, file=file)
    return _contracts[key]


def _compiled(
    contract: Contract,
    options: JsonOptions,
    *,
    ignore_unknown: bool,
    show_debug_info: bool,
    rpc: RpcMethods,
) -> Transcoder:
    """Returns a transcoder, which may be given RPCs of its own; its endpoints are shared."""
    key = contract, options, ignore_unknown, show_debug_info, rpc
    if key not in _transcoders:
        _transcoders[key] = Transcoder(
            contract,
            options,
            ignore_unknown=ignore_unknown,
            show_debug_info=show_debug_info,
            rpc=rpc,
        )
    made = copy.copy(_transcoders[key])
    made.rpc = dict(made.rpc)
    return made


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
    """Lets edges in this process share what is loaded, compiled and rendered of a contract.

    Thousands of tests make an edge of one of a few contracts, and this is nine tenths of the work. A contract
    is frozen, and nobody changes an endpoint or a document. The tests of `load`, `Transcoder` and
    `render_openapi` call them themselves.
    """
    monkeypatch.setattr("gateway.sources.reading.load", _loaded)
    monkeypatch.setattr("gateway.reload.compiling.Transcoder", _compiled)
    monkeypatch.setattr("gateway.reload.compiling.render_openapi", _rendered)
