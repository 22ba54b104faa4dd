"""Where each setting stands in the settings file, and which names are known there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from pydantic import BaseModel

from gateway.sections import Setting, all_settings

Keys: TypeAlias = tuple[str, ...]
"""Keys that lead to a setting in the file: `("server", "port")`."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The settings of the file."""

    settings: Mapping[Keys, Setting]
    """In the order in which they are printed."""
    sections: Mapping[Keys, None]
    """Keys of mappings that hold settings; those of the file itself are empty."""

    def advice(self, keys: Keys) -> str:
        """Returns what was perhaps meant by keys that lead to nothing; or nothing."""
        *outer, last = keys
        within = [each[-1] for each in self._below(tuple(outer))]
        by_name = [each for each, setting in self.settings.items() if setting.name == last]
        elsewhere = [each for each in self.settings if each[-1] == last]
        for found in by_name or elsewhere:
            return f"; did you mean {'.'.join(found)}?"
        near = get_close_matches(last, within, n=1)
        if near:
            return f"; did you mean {near[0]}?"
        names = {setting.name: each for each, setting in self.settings.items()}
        far = get_close_matches(last, [*names, *(each[-1] for each in self.settings)], n=1)
        for found, setting in self.settings.items():
            if far and far[0] in (setting.name, found[-1]):
                return f"; did you mean {'.'.join(found)}?"
        return ""

    def _below(self, outer: Keys) -> list[Keys]:
        every = [*self.settings, *self.sections]
        return [each for each in every if each[:-1] == outer and each]


def layout_of(kind: type[BaseModel], groups: Mapping[str, str], keys: Mapping[str, Keys]) -> Layout:
    """Returns where the settings of a kind stand.

    A field of a section stands below the section's name. A setting outside of sections stands in the section
    of its group, under its name without the section's before it, or where `keys` says.

    Args:
        kind: the settings.
        groups: first setting of a group -> its section in the file; empty: the group is not in the file.
        keys: setting -> its keys, where the rule does not hold.

    Raises:
        TypeError: two settings stand in one place.
    """
    settings: dict[Keys, Setting] = {}
    section = ""
    for name, setting in all_settings(kind).items():
        place = setting.path
        if len(place) == 1:
            section = groups.get(name, section)
            if not section:
                continue
            place = keys.get(name, (section, name.removeprefix(f"{section}_")))
        if place in settings:
            raise TypeError(f"{settings[place].name} and {name} are both {'.'.join(place)}")
        settings[place] = setting
    order = dict.fromkeys(each[0] for each in settings)
    ordered = {
        keys: setting for first in order for keys, setting in settings.items() if keys[0] == first
    }
    sections = {keys[:end]: None for keys in ordered for end in range(len(keys))}
    return Layout(ordered, sections)
