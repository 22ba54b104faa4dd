"""Settings as options of a command: what `--help` lists, and what is said of a value that is wrong.

Rule: what a person got wrong is one line, which names the option or the variable as it was given.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from gateway.sections import all_settings, flat_settings, is_list, is_secret, nested
from gateway.setting_groups import GROUPS
from gateway.setting_sources import problem_text
from gateway.settings import NO_CONTRACT, PREFIX, Settings
from server_process.variables import is_service_address


class OptionError(Exception):
    """Settings are wrong, or missing; each argument is one line."""

    def __str__(self) -> str:
        return "; ".join(map(str, self.args))


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviated options, and reports an error in one line, without the usage."""

    def __init__(self, **arguments: Any) -> None:
        # what is unique today has two meanings when a setting is added; --x-key would mean --x-key-file
        super().__init__(**{"allow_abbrev": False} | arguments)

    def error(self, message: str) -> NoReturn:
        """Prints the line, and exits with 2."""
        self.exit(2, f"protoway: {message}; `{self.prog} --help` lists what there is\n")


def add_settings(
    parser: argparse.ArgumentParser, kind: type[Settings], names: Collection[str]
) -> None:
    """Adds an option for each setting, with its description and default, below the heading of its group."""
    headings = _headings(kind)
    groups = {
        heading: parser.add_argument_group(heading)
        for heading in dict.fromkeys(headings.values())
        if any(headings[name] == heading for name in names)
    }
    settings = flat_settings(kind)
    for name in names:
        field = settings[name].field
        if is_secret(field.annotation):  # other users of the machine see the options of a process
            continue
        default = "required" if field.is_required() else f"default: {_shown(field.default)}"
        extra: dict[str, Any] = {"metavar": name.upper()}
        if field.annotation is bool:
            extra = {"action": argparse.BooleanOptionalAction}
        elif is_list(field.annotation):
            extra |= {"nargs": "+", "action": "extend"}
        groups[headings[name]].add_argument(
            option(name), help=f"{field.description} ({default})".replace("%", "%%"), **extra
        )


def given_options(options: argparse.Namespace, kind: type[Settings]) -> dict[str, Any]:
    """Returns the settings that were given as options, by their flat names, as they were written."""
    return {
        name: ",".join(value) if isinstance(value, list) else value
        for name in flat_settings(kind)
        if (value := getattr(options, name, None)) is not None
    }


def read_settings(
    options: argparse.Namespace, kind: type[Settings], defaults: Settings | None = None
) -> Settings:
    """Makes settings of options and environment.

    Args:
        options: what was given.
        kind: of the settings.
        defaults: settings that stand in for the environment.

    Raises:
        OptionError: some are wrong, or a variable is unknown.
    """
    given = given_options(options, kind)
    values = nested(kind, given)
    if defaults is not None:
        values = _over(defaults, values)
    try:
        return kind(**values)
    except ValidationError as error:
        problems = dict.fromkeys(_problem(item, given, kind) for item in error.errors())
        raise OptionError(*problems) from error


def unknown_arguments(rest: Iterable[str], kind: type[Settings]) -> str:
    """Returns the line for arguments that a command does not take, with the nearest option."""
    rest = list(rest)
    wrong = next((one.partition("=")[0] for one in rest if one.startswith("-")), None)
    if wrong is None:
        return f"{rest[0]}: not an option"
    names = [n for n, each in flat_settings(kind).items() if not is_secret(each.field.annotation)]
    near = get_close_matches(wrong, map(option, names), n=1)
    return f"{wrong}: no such option" + (f"; did you mean {near[0]}?" if near else "")


def _over(settings: BaseModel, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings as arguments, with other values over some of them."""
    made: dict[str, Any] = {name: getattr(settings, name) for name in type(settings).model_fields}
    for name, value in values.items():
        inner = made[name]
        made[name] = _over(inner, value) if isinstance(inner, BaseModel) else value
    return made


def _problem(item: Mapping[str, Any], given: Mapping[str, object], kind: type[Settings]) -> str:
    """Returns the line for one error of pydantic."""
    if item["type"] == NO_CONTRACT:
        return (
            "the contract is missing: give .proto files or a folder of them, --descriptor-set FILE (what"
            " `protoc --include_imports --include_source_info -o FILE` writes), or --reflect, or set"
            f" {PREFIX}DESCRIPTOR_SET or another of these"
        )
    name = _setting_at(item["loc"], kind)
    setting = flat_settings(kind).get(name)
    shown = setting is not None and not is_secret(setting.field.annotation)
    text = problem_text(item, show_value=shown)
    if setting is None:  # of all, of a section, or of a structured field
        return f"{name}: {text}" if name else text
    variable = f"{PREFIX}{name.upper()}"
    if name in given:
        variable = option(name)
    elif is_service_address(item["input"]):
        return (
            f"{variable}: {item['input']!r} is what Kubernetes sets for a Service of this name;"
            " set `enableServiceLinks: false` in the pod, or rename the Service"
        )
    return f"{variable}: {text}"


def _setting_at(location: Sequence[int | str], kind: type[Settings]) -> str:
    """Returns the name of the setting in which an error lies; of a structured one with the place in it."""
    settings = {setting.path: name for name, setting in flat_settings(kind).items()}
    for end in range(len(location), 0, -1):
        if (found := settings.get(tuple(map(str, location[:end])))) is not None:
            return found
    return ".".join(map(str, location))


def option(name: str) -> str:
    """Returns how a setting is written as an option."""
    return "--" + name.replace("_", "-")


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return " ".join(default) or "none"
    return str(default)


def _headings(kind: type[Settings]) -> dict[str, str]:
    """Returns setting -> heading of its group."""
    headings: dict[str, str] = {}
    heading = ""
    for name in all_settings(kind):
        heading = GROUPS.get(name, heading)
        headings[name] = heading
    return headings
