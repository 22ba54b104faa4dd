"""Reads the settings file: what it gives, where, and everything that is wrong with it.

Rule: values are only given a place here; whether one is valid, the settings say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args, get_origin

from gateway.config_file.layout import Keys, Layout
from gateway.config_file.tree import Place, read_document
from gateway.sections import LISTS, Setting, adds_to_defaults, alternatives, is_section
from gateway.sections import Path as SettingPath
from gateway.setting_files import read_file
from gateway.setting_lists import WrittenList
from gateway.setting_secrets import MASK

_DROPPED: Final = object()
"""Instead of a value that was refused."""


@dataclass(slots=True)
class ConfigFile:
    """What a file gives."""

    file: str
    """Its name."""
    values: dict[str, Any] = field(default_factory=dict)
    """Arguments of the settings; those of a section in a mapping."""
    problems: list[tuple[int, str]] = field(default_factory=list)
    """What is wrong: its line, or 0; and a text of one line with file, line and key."""
    lines: dict[Place, int] = field(default_factory=dict)
    """Place in the file -> line."""
    keys: dict[SettingPath, Keys] = field(default_factory=dict)
    """Path of each setting that is given -> its keys."""
    added: set[Keys] = field(default_factory=set)
    """Lists that are added to defaults, so that an index in the setting is not that in the file."""

    def given_at(self, location: tuple[int | str, ...]) -> str | None:
        """Returns FILE:LINE of what a location in the settings was given by; None if the file has it not."""
        place = self._place(location)
        return None if place is None else f"{self.file}:{self._line(place)}"

    def problem_at(self, location: tuple[int | str, ...], text: str) -> tuple[int, str] | None:
        """Returns a problem of a location in the settings; None if the file has it not."""
        place = self._place(location)
        return None if place is None else self._problem(place, text)

    def refuse(self, place: Place, text: str) -> None:
        """Notes a problem at a place in the file."""
        self.problems.append(self._problem(place, text))

    def _problem(self, place: Place, text: str) -> tuple[int, str]:
        line = self._line(place)
        return line, f"{self.file}:{line}: {dotted(place)}: {text}"

    def _place(self, location: tuple[int | str, ...]) -> Place | None:
        for end in range(len(location), 0, -1):
            keys = self.keys.get(tuple(map(str, location[:end])))
            if keys is not None:
                return keys if keys in self.added else (*keys, *location[end:])
        return location if location and location in self.lines else None

    def _line(self, place: Place) -> int:
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_config(path: Path, known: Layout, own: Layout) -> ConfigFile:
    """Reads a file.

    Args:
        path: of the file.
        known: settings that it may have.
        own: those of them that are asked for; the others are checked, and passed over.

    Raises:
        FileReadError: the file cannot be read; it is an OSError.
    """
    tree = read_document(path.name, read_file(path))
    found = ConfigFile(str(path), lines=tree.lines)
    for line, problem in tree.problems:
        where = f"{path}:{line}" if line else str(path)
        found.problems.append((line, f"{where}: {problem}"))
    if isinstance(tree.value, dict):
        _read_section(tree.value, (), found, known, own)
    elif tree.value is not None:
        found.problems.append((1, f"{path}:1: is no mapping: write sections, as `server:`"))
    return found


def dotted(place: Place) -> str:
    """Returns how a place is written: `identity.issuers[0].audience`."""
    parts = (f"[{each}]" if isinstance(each, int) else f".{each}" for each in place)
    return "".join(parts).removeprefix(".")


def _read_section(
    values: Mapping[str, Any], outer: Keys, found: ConfigFile, known: Layout, own: Layout
) -> None:
    for name, value in values.items():
        keys = (*outer, name)
        if (setting := own.settings.get(keys)) is not None:
            given = _checked(setting.field.annotation, value, keys, found)
            if given is not _DROPPED:
                _add(found, setting, keys, given)
        elif (setting := known.settings.get(keys)) is not None:
            _checked(setting.field.annotation, value, keys, found)
        elif keys not in known.sections:
            what = "setting" if outer else "section"
            found.refuse(keys, f"no such {what}{known.advice(keys)}")
        elif isinstance(value, Mapping):
            _read_section(value, keys, found, known, own)
        elif value is not None:
            flat = [dotted(each) for each, one in known.settings.items() if one.name == name]
            advice = f"; did you mean {flat[0]}?" if flat else ""
            found.refuse(keys, f"is a section, so its settings stand below it{advice}")


def _add(found: ConfigFile, setting: Setting, keys: Keys, value: Any) -> None:
    *sections, last = setting.path
    inner = found.values
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[last] = value
    found.keys[setting.path] = keys
    if adds_to_defaults(setting.field):
        found.added.add(keys)


def _checked(annotation: Any, value: Any, place: Place, found: ConfigFile) -> Any:
    """Returns a value without what is refused in it here: unknown keys, and what pydantic would convert."""
    types = list(alternatives(annotation))
    if value is None and not {NoneType, Any} & set(types):
        found.refuse(place, "has no value; leave it out for the default")
        return _DROPPED
    if value is True or value is False:
        if bool not in types and {int, float} & set(types):
            found.refuse(place, f"should be a number, got {str(value).lower()}")
            return _DROPPED
    elif value == MASK:
        found.refuse(place, "is masked: write the secret itself, or the file that has it")
        return _DROPPED
    elif isinstance(value, dict):
        return dict(_checked_items(types, value, place, found))
    elif isinstance(value, list):
        items = zip(_item_types(types, value), value, strict=True)
        given = (_checked(*item, (*place, at), found) for at, item in enumerate(items))
        return WrittenList(each for each in given if each is not _DROPPED)
    return value


def _checked_items(
    types: list[Any], values: dict[str, Any], place: Place, found: ConfigFile
) -> Iterator[tuple[str, Any]]:
    models = [each for each in types if is_section(each)]
    mappings = [each for each in types if len(get_args(each)) == 2]
    for name, value in values.items():
        kind: Any = get_args(mappings[0])[1] if mappings else Any
        if len(models) == 1:
            fields = models[0].model_fields
            if name not in fields:
                near = get_close_matches(name, fields, n=1)
                advice = f"; did you mean {near[0]}?" if near else ""
                found.refuse((*place, name), f"no such setting{advice}")
                continue
            kind = fields[name].annotation
        given = _checked(kind, value, (*place, name), found)
        if given is not _DROPPED:
            yield name, given


def _item_types(types: list[Any], values: list[Any]) -> list[Any]:
    lists = [get_args(each) for each in types if get_origin(each) in LISTS]
    args = lists[0] if len(lists) == 1 else (Any,)
    if len(args) == len(values) and Ellipsis not in args:
        return list(args)
    return [args[0] if Ellipsis in args or len(args) == 1 else Any] * len(values)
