"""What `hatch_build.py` compiles can be compiled, and then behaves as its source does.

mypyc accepts more than it compiles soundly, and what it makes of that fails only at run time, or ends the
process. So these are the rules for a module that is in its list. They need no compiler.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Final, Generic, Protocol

import pytest

import hatch_build

ROOT = Path(__file__).parents[1]
COMPILED = sorted(hatch_build.compiled_sources())
INTERPRETED = sorted(
    source
    for package in hatch_build.PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "v1" not in path.parts
    and "templates" not in path.parts
    and path.name != "__main__.py"
    and (source := str(path.relative_to(ROOT))) not in COMPILED
)
BASES: tuple[object, ...] = (object, dict, tuple, Enum, Generic, Protocol)
"""Classes of Python's own, beside exceptions, whose layout in memory mypyc knows."""

EXITS_AT_ONCE = ("asyncio.timeout(", "asyncio.timeout_at(")
"""Asynchronous contexts whose exit awaits nothing."""

_MADE_BY_A_STATEMENT: Final = 1 << 9
"""Flag of classes that a `class` statement has made; those of C have it rarely (`Py_TPFLAGS_HEAPTYPE`)."""


def _name(source: str) -> str:
    """Returns the name of a source's module."""
    return source.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


NAMES = {_name(source) for source in COMPILED}


def _classes(module: ModuleType) -> Iterator[type]:
    """Yields the classes that a module defines."""
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            yield value


def _is_sound_base(base: type) -> bool:
    """Says whether instances of a compiled class can begin with what instances of its base have.

    One that is interpreted has to keep its attributes in a dict: slots would lie where a compiled class has
    its own fields. One that is written in C, other than those that mypyc knows, has a layout of its own.
    """
    if base in BASES or issubclass(base, BaseException) or base.__module__ in NAMES:
        return True
    return bool(base.__flags__ & _MADE_BY_A_STATEMENT) and not base.__dict__.get("__slots__")


def _dataclasses(tree: ast.Module) -> Iterator[ast.Call]:
    """Yields each `dataclass(…)` that decorates a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for each in node.decorator_list:
                if isinstance(each, ast.Call) and ast.unparse(each.func).endswith("dataclass"):
                    yield each


def test_every_module_of_the_list_exists() -> None:
    """A module that is renamed is renamed in the list, and each is in it once."""
    assert [source for source in COMPILED if not (ROOT / source).is_file()] == []
    assert len(set(COMPILED)) == len(COMPILED)


@pytest.mark.parametrize("source", COMPILED)
def test_a_compiled_class_inherits_what_mypyc_knows(source: str) -> None:
    """A class of C has a layout that mypyc does not know: an instance of one below it ends the process."""
    for each in _classes(importlib.import_module(_name(source))):
        unsound = [base for base in each.__mro__[1:] if not _is_sound_base(base)]
        assert not unsound, f"{each.__qualname__} cannot inherit {unsound}"


@pytest.mark.parametrize("source", INTERPRETED)
def test_no_interpreted_class_inherits_a_compiled_one(source: str) -> None:
    """Compiled code calls methods without a look at who overrides them, so mypyc refuses that."""
    for each in _classes(importlib.import_module(_name(source))):
        compiled = [base for base in each.__mro__[1:] if base.__module__ in NAMES]
        assert not compiled, f"{each.__qualname__} is interpreted, and inherits {compiled}"


@pytest.mark.parametrize("source", COMPILED)
def test_a_compiled_module_has_no_asynchronous_generator(source: str) -> None:
    """There are no compiled ones: mypyc makes a coroutine of each `async def`."""
    for node in ast.walk(ast.parse((ROOT / source).read_text())):
        if isinstance(node, ast.AsyncFunctionDef):
            yields = [
                each for each in ast.walk(node) if isinstance(each, ast.Yield | ast.YieldFrom)
            ]
            assert not yields, f"{node.name} yields"


def _waits(nodes: Sequence[ast.AST]) -> Iterator[ast.expr | ast.stmt]:
    """Yields where a coroutine may be suspended, not in functions within it."""
    for node in nodes:
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Yield | ast.YieldFrom):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _waits([*ast.iter_child_nodes(node)])


def _waits_in_errors(tree: ast.Module) -> Iterator[str]:
    """Yields where a coroutine may be suspended while it handles an exception."""
    for node in ast.walk(tree):
        found: Iterator[ast.expr | ast.stmt] = iter(())
        if isinstance(node, ast.Try):
            handlers = [each for handler in node.handlers for each in handler.body]
            found = _waits([*handlers, *node.finalbody])
        elif isinstance(node, ast.AsyncWith):
            contexts = [ast.unparse(item.context_expr) for item in node.items]
            if not all(context.startswith(EXITS_AT_ONCE) for context in contexts):
                found = iter((node,))
        yield from (f"line {each.lineno}: {ast.unparse(each)}" for each in found)


@pytest.mark.parametrize("source", COMPILED)
def test_a_compiled_coroutine_does_not_wait_while_it_handles_an_exception(source: str) -> None:
    """What mypyc makes leaves that exception to the thread meanwhile, and others see it as theirs.

    It is then the context of each exception that another task raises; and when both have ended in an order of
    their own, it stays, and the chain behind it grows for ever. So a handler keeps the exception, and the
    coroutine waits behind it. An `async with` whose exit waits has the same fault.
    """
    assert list(_waits_in_errors(ast.parse((ROOT / source).read_text()))) == []


def _names_of_errors(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yields the name and the type of each error that is caught, not in functions within it."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.ExceptHandler) and each.name and each.type:
            yield each.name, ast.unparse(each.type)
        if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _names_of_errors(each)


@pytest.mark.parametrize("source", COMPILED)
def test_no_two_kinds_of_errors_have_one_name_in_a_compiled_function(source: str) -> None:
    """The name of a caught error has one type in all of a function; another is then a TypeError."""
    for node in ast.walk(ast.parse((ROOT / source).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = set(_names_of_errors(node))
            assert len(found) == len({name for name, _ in found}), f"{node.name}: {sorted(found)}"


@pytest.mark.parametrize("source", COMPILED)
def test_a_dataclass_is_compiled_without_slots_and_else_as_it_is(source: str) -> None:
    """A dataclass with `slots` is beyond mypyc; nothing else of a source is changed for that."""
    text = (ROOT / source).read_text()
    expected = ast.parse(text)
    for each in _dataclasses(expected):
        each.keywords = [keyword for keyword in each.keywords if keyword.arg != "slots"]

    assert ast.dump(ast.parse(hatch_build.without_slots(text))) == ast.dump(expected)
    assert not [each for each in _dataclasses(expected) if "slot" in ast.unparse(each)]


@pytest.mark.parametrize("source", COMPILED)
def test_a_field_that_no_constructor_takes_has_no_default(source: str) -> None:
    """Compiled code does not set it; `__post_init__` can."""
    for node in ast.walk(ast.parse((ROOT / source).read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "field":
            given = {each.arg for each in node.keywords}
            assert "init" not in given or not {"default", "default_factory"} & given


def _declared(tree: ast.ClassDef) -> set[str]:
    """Returns the names of the attributes that a class declares, by an annotation."""
    targets = [node.target for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
    own = {each.attr for each in targets if isinstance(each, ast.Attribute)}
    fields = [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    return own | {each.id for each in fields if isinstance(each, ast.Name)}


def test_no_compiled_class_declares_an_attribute_of_its_base_again() -> None:
    """The collector would visit it twice, and take what it holds for garbage, or keep it for ever."""
    classes = {}
    for source in COMPILED:
        for node in ast.walk(ast.parse((ROOT / source).read_text())):
            if isinstance(node, ast.ClassDef):
                classes[node.name] = node
    for name, tree in classes.items():
        for base in map(ast.unparse, tree.bases):
            if base in classes:
                assert not _declared(tree) & _declared(classes[base]), f"{name}({base})"
