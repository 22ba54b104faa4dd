"""The tests' own contracts, compiled from `tests/protos`, and texts compiled on the spot."""

from __future__ import annotations

import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

import google.api
from grpc_tools import protoc

from gateway.contract.descriptors import Contract, load

PROTOS = Path(__file__).parent / "protos"
_OURS = Path(__file__).parents[1] / "protos"
_GOOGLE = Path(next(iter(google.api.__path__))).parent.parent
_PROTOBUF = Path(str(files("grpc_tools") / "_proto"))


def compile_protos(folder: Path, *names: str) -> bytes:
    """Returns the descriptor set of some .proto files below a folder, with imports and comments."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "set.binpb"
        status = protoc.main(
            [
                "protoc",
                *(f"-I{path}" for path in (folder, _OURS, _GOOGLE, _PROTOBUF)),
                f"--descriptor_set_out={out}",
                "--include_imports",
                "--include_source_info",
                *names,
            ]
        )
        assert status == 0, f"protoc refuses {names}"
        return out.read_bytes()


@cache
def compile_text(text: str) -> bytes:
    """Returns the descriptor set of one .proto given as text; it is called `test.proto`."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "test.proto").write_text(text)
        return compile_protos(Path(scratch), "test.proto")


@cache
def echo_descriptor_set() -> bytes:
    """Returns the descriptor set of the tests' own contract."""
    return compile_protos(PROTOS, "echo/v1/echo.proto", "legacy.proto")


@cache
def echo_contract() -> Contract:
    """Returns the tests' own contract, loaded."""
    return load(echo_descriptor_set())


@cache
def feeds_descriptor_set() -> bytes:
    """Returns the descriptor set of the contract that has each kind of stream option."""
    return compile_protos(PROTOS, "feeds/v1/feeds.proto")


@cache
def feeds_contract() -> Contract:
    """Returns the contract that has each kind of stream option, loaded."""
    return load(feeds_descriptor_set())
