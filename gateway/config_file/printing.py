"""Prints settings in the form of the settings file, each with a comment that says where it came from.

What is printed is a valid file, except that secrets are masked: a masked secret is refused when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr

from gateway.config_file.layout import Layout
from gateway.config_file.yaml_tree import plain_scalar, read_yaml
from gateway.sections import LISTS, Setting, adds_to_defaults, value_of
from gateway.setting_lists import REPLACE
from gateway.setting_secrets import MASK

DEFAULT: Final = "default"
"""Origin of a setting that nothing gives."""


def print_settings(
    settings: BaseModel,
    layout: Layout,
    origin: Callable[[Setting], str],
    *,
    changed: bool = False,
) -> str:
    """Returns the text.

    Args:
        settings: what is in force.
        layout: where each stands.
        origin: where a setting came from; `DEFAULT` if nothing gives it.
        changed: leave out what is at its default.
    """
    lines: list[str] = []
    above: tuple[str, ...] = ()
    for keys, setting in layout.settings.items():
        value, source = value_of(settings, setting.path), origin(setting)
        default = setting.field.get_default(call_default_factory=True)
        if changed and (source == DEFAULT or value == default):
            continue
        *sections, key = keys
        lines += _headings(above, tuple(sections), first=not lines)
        above = tuple(sections)
        indent = "  " * len(sections)
        lines += _entry(indent, key, _plain(value, setting), source)
    return "\n".join(lines) + "\n" if lines else ""


def _headings(above: tuple[str, ...], sections: tuple[str, ...], *, first: bool) -> Iterator[str]:
    """Yields the lines that begin sections, as far as the setting above is not in them."""
    for depth, section in enumerate(sections):
        if above[: depth + 1] != sections[: depth + 1]:
            if depth == 0 and not first:
                yield ""
            yield f"{'  ' * depth}{section}:"


def _entry(indent: str, key: str, value: Any, source: str) -> Iterator[str]:
    """Yields the lines of one setting."""
    if _is_structured(value):
        yield f"{indent}{key}:  # {source}"
        yield from _block(f"{indent}  ", value)
    else:
        yield f"{indent}{key}: {_flow(value)}  # {source}"


def _block(indent: str, value: Any) -> Iterator[str]:
    """Yields the lines of a mapping, or of a list, each item or key on a line of its own."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if _is_structured(inner):
                yield f"{indent}{_text(name)}:"
                yield from _block(f"{indent}  ", inner)
            else:
                yield f"{indent}{_text(name)}: {_flow(inner)}"
        return
    for inner in value:
        first, *rest = (
            _block(f"{indent}  ", inner) if _is_structured(inner) else [indent + _flow(inner)]
        )
        yield f"{indent}- {first.strip()}"
        yield from rest


def _is_structured(value: Any) -> bool:
    """Whether a value is printed in several lines: a mapping, or a list with one."""
    if isinstance(value, list):
        return any(isinstance(each, (dict, list)) for each in value)
    return isinstance(value, dict) and bool(value)


def _flow(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        text = str(int(value)) if value.is_integer() else repr(value)
        return text.replace("inf", ".inf").replace("nan", ".nan")
    return json.dumps(value)


def _text(value: str) -> str:
    """Returns a string, with quotes where YAML needs them."""
    plain = isinstance(plain_scalar(value), str) and not set(value) & set("\n\r\t,[]{}\"'")
    item, key = f"- {value}".encode(), f"{value}: 1".encode()
    if plain and read_yaml(item).value == [value] and read_yaml(key).value == {value: 1}:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in quoted)


def _plain(value: Any, setting: Setting | None = None) -> Any:
    """Returns a value as mappings, lists and scalars, with secrets masked."""
    if isinstance(value, (SecretStr, SecretBytes)):
        return MASK
    if isinstance(value, BaseModel):
        given = (name for name in type(value).model_fields if name in value.model_fields_set)
        return {name: _plain(getattr(value, name)) for name in given}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, LISTS):
        items = [_plain(each) for each in value]
        if isinstance(value, (set, frozenset)):
            items.sort(key=str)
        adds = setting is not None and adds_to_defaults(setting.field)
        return [REPLACE, *items] if adds else items
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
