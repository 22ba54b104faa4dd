"""Ten public contracts, each at two of its own revisions: our verdicts are those of `buf breaking`.

`make evolution` installs the packages that carry them, without importing any.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from gateway.contract.descriptors import STANDARD_FILES, load
from gateway.contract.evolution.differences import broken_rules, differences
from gateway.contract.fields import default_json_name
from tests.contract.evolution.buf import breaking
from tests.contract.evolution.compare import by_category

pytestmark = [pytest.mark.evolution, pytest.mark.timeout(300)]

EVOLUTION = Path(os.environ.get("EVOLUTION", "/nowhere"))
"""Folder in which `make evolution` has put each package, at `old/NAME` and `new/NAME`."""
PACKAGES = sorted(path.name for path in EVOLUTION.glob("new/*"))


def _serialized(folder: Path) -> Iterator[FileDescriptorProto]:
    """Yields the files in generated modules: what they give to the descriptor pool."""
    for path in sorted(folder.rglob("*_pb2.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            given = node.args[:1] if name == "AddSerializedFile" else []
            given += [each.value for each in node.keywords if each.arg == "serialized_pb"]
            for value in (getattr(each, "value", None) for each in given):
                if not isinstance(value, bytes):
                    continue
                file = FileDescriptorProto.FromString(value)
                for message in file.message_type:
                    _name_fields(message)
                yield file


def _name_fields(message: DescriptorProto) -> None:
    """Gives fields the JSON names that protoc leaves out of Python's modules; buf compares what it reads."""
    for field in message.field:
        field.json_name = field.json_name or default_json_name(field.name)
    for nested in message.nested_type:
        _name_fields(nested)


def _standard() -> Iterator[FileDescriptorProto]:
    """Yields Google's files of this environment, which packages import of each other."""
    for content in STANDARD_FILES.values():
        yield FileDescriptorProto.FromString(content)
    yield from _serialized(Path(os.__file__).parent / "site-packages" / "google")
    import google.api

    yield from _serialized(Path(next(iter(google.api.__path__))).parent)


def _complete(own: Iterable[FileDescriptorProto]) -> tuple[FileDescriptorSet, set[str]]:
    """Returns a set with all imports, and the names of a package's own files that have theirs."""
    known = {file.name: file for file in _standard()}
    mine = {file.name: file for file in own}
    known |= mine
    order: dict[str, FileDescriptorProto | None] = {}

    def add(name: str) -> bool:
        if name not in order:
            file = known.get(name)
            order[name] = None
            if file is not None and all(map(add, file.dependency)):
                del order[name]
                order[name] = file
        return order[name] is not None

    complete = {name for name in mine if add(name)}
    files = [file for file in order.values() if file is not None]
    return FileDescriptorSet(file=files), complete


def test_there_are_ten() -> None:
    """Of people who do not know each other."""
    assert len(PACKAGES) >= 10


@pytest.mark.parametrize("package", PACKAGES)
def test_a_public_contract_changes_as_buf_says(package: str) -> None:
    """Rule by rule and category by category; Google's standard files are left out on both sides."""
    sets = []
    for side in ("old", "new"):
        complete, own = _complete(_serialized(EVOLUTION / side / package))
        assert own
        sets.append(complete.SerializeToString())
    old, new = sets
    found = list(broken_rules(load(old), load(new)))
    print(package, len(found), [str(each) for each in differences(load(old), load(new))][:3])

    said: dict[str, set[str]] = {}
    for category in ("WIRE", "WIRE_JSON", "FILE"):
        lines = breaking(os.environ["BUF"], old, new, category)
        said[category] = {
            rule for rule, line in lines if not any(name in line for name in STANDARD_FILES)
        }
    assert by_category(found) == said
