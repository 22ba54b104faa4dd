"""Where settings come from: arguments, environment, file and defaults, the first of these that gives a value.

Everything that is wrong with them is found at once. An error of a value that the file gives names the file
and the line, and what it says is its whole text (`setting_error`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from gateway.config_file.layout import Keys, Layout, layout_of
from gateway.config_file.reading import ConfigFile, read_config
from gateway.sections import flat_settings, is_secret, nested
from server_process.variables import unknown_names, unknown_variables

LOCATED: Final = "setting_error"
"""Type of an error whose text says where it is."""
OWN_TEXT: Final = "value_error"
"""Type of an error whose text is this project's; pydantic's own texts do not show the value."""

MAX_SHOWN: Final = 200
"""Maximum characters of a wrong value that are shown."""


def _path(value: Any) -> Any:
    """Returns the path of a file that has been read already; an empty text is no path."""
    return value.file if isinstance(value, ConfigFile) else value or None


class SourcedSettings(BaseModel):
    """Base of settings that are read from the environment and a file when they are made."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    variable_prefix: ClassVar[str]
    """Prefix of the variables, in upper case."""
    file_sections: ClassVar[Mapping[str, str]]
    """First setting of each group -> its section in the file."""
    file_keys: ClassVar[Mapping[str, Keys]]
    """Settings whose keys in the file follow no rule."""

    config: Annotated[Path | None, BeforeValidator(_path)] = None
    """YAML or TOML file with settings in sections. Variables and options win over it."""

    def __init__(self, **values: Any) -> None:
        """Makes settings of arguments, and of environment and file where no argument gives a value.

        Without a field that is left to them, the file is not read.

        Raises:
            ValidationError: some are wrong, or a variable or a name is unknown.
            FileReadError: the file cannot be read; it is an OSError.
        """
        kind = type(self)
        problems = kind.unknown_variables()
        given = _merged(nested(kind, kind.given_variables()), values)
        whole = kind.model_fields.keys() <= values.keys()
        file = None if whole else kind.read_file(given.get("config"))
        try:
            super().__init__(**(_merged(file.values, given) if file else given))
        except ValidationError as error:
            shown = all(_input(kind, item) is item["input"] for item in error.errors())
            if shown and not problems and file is None:
                raise
            raise _with(problems, file, error, kind, given) from None
        if problems or (file and file.problems):
            raise _with(problems, file, None, kind, given)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and (problems := unknown_names(data, cls.model_fields)):
            raise ValueError("; ".join(problems))
        return data

    @classmethod
    def every_setting(cls) -> type[SourcedSettings]:
        """Returns the settings that variables and the file may have; those of other commands pass."""
        return cls

    @classmethod
    def given_variables(cls) -> dict[str, str]:
        """Returns flat name -> text of the settings that the environment has; its case does not count."""
        given = {name.upper(): text for name, text in os.environ.items()}
        return {
            name: given[variable]
            for name in flat_settings(cls)
            if (variable := f"{cls.variable_prefix}{name.upper()}") in given
        }

    @classmethod
    def unknown_variables(cls) -> list[str]:
        """Returns a line for each variable with the prefix that no command knows."""
        known = {*flat_settings(cls.every_setting()), *flat_settings(cls)}
        return unknown_variables(os.environ, cls.variable_prefix, known)

    @classmethod
    def layout(cls) -> Layout:
        """Returns where the settings stand in the file."""
        return layout_of(cls, cls.file_sections, cls.file_keys)

    @classmethod
    def read_file(cls, path: Any) -> ConfigFile | None:
        """Reads the settings file; None without a path. What has been read is returned as it is."""
        if isinstance(path, ConfigFile):
            return path
        if not path or not isinstance(path, (str, os.PathLike)):
            return None
        own = cls.layout()
        every = cls.every_setting().layout()
        known = Layout({**every.settings, **own.settings}, {**every.sections, **own.sections})
        return read_config(Path(path), known, own)


def problem_text(item: Mapping[str, Any], *, show_value: bool) -> str:
    """Returns what an error of pydantic says, and the value where it does not say it itself."""
    text = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] in (OWN_TEXT, LOCATED) or not show_value:
        return text
    value = repr(item["input"])
    return f"{text}, got {value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + '…'}"


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of both; mappings are merged, of other values the upper one counts."""
    made = dict(below)
    for name, value in above.items():
        lower = made.get(name)
        both = isinstance(value, dict) and isinstance(lower, dict)
        made[name] = _merged(lower, value) if both else value  # type: ignore[arg-type] # both are
    return made


def _with(
    problems: list[str],
    file: ConfigFile | None,
    error: ValidationError | None,
    kind: type[SourcedSettings],
    given: Mapping[str, Any],
) -> ValidationError:
    """Returns an error with the problems of the sources; its own ones are located if the file is at fault."""
    in_file = list(file.problems) if file else []
    others: list[InitErrorDetails] = []
    for item in error.errors() if error else ():
        location, problem = item["loc"], None
        if file is not None and not _has(given, location):
            text = problem_text(item, show_value=_may_show(kind, location))
            problem = file.problem_at(location, text)
        if problem is not None:
            in_file.append(problem)
        else:
            same = PydanticCustomError(item["type"], "{text}", {"text": item["msg"]})
            others.append(InitErrorDetails(type=same, loc=location, input=_input(kind, item)))
    lines = [*problems, *(text for _, text in sorted(in_file))]
    details = [*map(_located, dict.fromkeys(lines)), *others]
    return ValidationError.from_exception_data(kind.__name__, details)


def _input(kind: type[BaseModel], item: Mapping[str, Any]) -> Any:
    """Returns the wrong value for a traceback; None where secrets may be among it."""
    shown = item["type"] != "missing" and _may_show(kind, item["loc"])
    return item["input"] if shown else None


def _may_show(kind: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Whether the value at a location may be shown: that of a simple setting that is no secret."""
    paths = {tuple(map(str, location[:end])) for end in range(1, len(location) + 1)}
    simple = [each for each in flat_settings(kind).values() if each.path in paths]
    return any(not is_secret(each.field.annotation) for each in simple)


def _located(text: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError(LOCATED, "{text}", {"text": text}), loc=(), input=None
    )


def _has(values: Mapping[str, Any], location: tuple[int | str, ...]) -> bool:
    """Whether something at a location, or above it, is among the values."""
    found: Any = values
    for name in location:
        if not isinstance(found, dict):
            return True
        if name not in found:
            return False
        found = found[name]
    return not isinstance(found, dict)
