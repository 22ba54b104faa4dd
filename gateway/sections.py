"""Sections of the settings: groups of fields with a name of their own, as `cors: CorsSettings`.

A simple field of a section (a scalar or a list of scalars) is known by one flat name in options, variables
and pages: field `origins` of section `cors` is `cors_origins`, so `--cors-origins` and
`PROTOWAY_CORS_ORIGINS`. A structured field (a model, a list of models, a mapping) has no such name: it is
given in the settings file and in Python.

Rule: nothing is read here; this module only knows what fields there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Self,
    TypeAlias,
    TypeGuard,
    Union,
    get_args,
    get_origin,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    RootModel,
    SecretBytes,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from gateway.setting_lists import list_added_to, read_list
from gateway.setting_secrets import SUFFIX
from server_process.variables import unknown_names

Path: TypeAlias = tuple[str, ...]
"""The names that lead to a field: `("cors", "origins")`."""

LISTS: Final = (tuple, list, set, frozenset)
"""Types of lists."""


class Section(BaseModel):
    """Base of sections, and of the models in structured fields.

    An unknown field is refused with the nearest name. A list of scalars may be given as text, as
    `gateway.setting_lists` reads it. A field of type `SecretStr` needs a twin, `NAME_file: Path | None`
    (`gateway.setting_secrets`); only one of them may be given.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # secrets may be among it
    )

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and (problems := unknown_names(data, cls.model_fields)):
            raise ValueError("; ".join(problems))
        return data

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for name in secrets_of(cls):
            if name + SUFFIX not in cls.model_fields:
                raise TypeError(
                    f"{cls.__name__}.{name} is a secret: it needs a field {name}{SUFFIX}"
                )

    @model_validator(mode="after")
    def _check_secrets(self) -> Self:
        for name in secrets_of(type(self)):
            if getattr(self, name) is not None and getattr(self, name + SUFFIX) is not None:
                raise ValueError(f"give {name} or {name}{SUFFIX}, not both")
        return self

    @field_validator("*", mode="before")
    @classmethod
    def _read_list(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        reads_itself = any(isinstance(each, BeforeValidator) for each in field.metadata)
        if isinstance(value, str) and is_list(field.annotation) and not reads_itself:
            return read_list(value)
        return value


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of the settings or of a section."""

    name: str
    """Flat name, as `cors_origins`; of a structured field the dotted one, as `rights.rules`."""
    path: Path
    """Names that lead to it."""
    field: FieldInfo
    """Its type, default and description."""


@dataclass(frozen=True, slots=True)
class FlatName:
    """Annotates a simple field of a section whose flat name is not that of section and field."""

    name: str


@lru_cache
def all_settings(kind: type[BaseModel]) -> Mapping[str, Setting]:
    """Returns name -> setting, in the order of the fields; the simple ones and the structured ones."""
    found: dict[str, Setting] = {}
    for path, field in _fields(kind, ()):
        name = _flat_name(field, path) if is_simple(field.annotation) else ".".join(path)
        if name in found:
            raise TypeError(f"two settings have the name {name}")
        found[name] = Setting(name, path, field)
    return found


@lru_cache
def flat_settings(kind: type[BaseModel]) -> Mapping[str, Setting]:
    """Returns flat name -> setting, for those that are options and variables."""
    return {
        name: setting
        for name, setting in all_settings(kind).items()
        if is_simple(setting.field.annotation)
    }


def nested(kind: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values by flat names as the arguments of the settings: those of a section in a mapping."""
    settings = flat_settings(kind)
    made: dict[str, Any] = {}
    for name, value in values.items():
        *sections, last = settings[name].path
        inner = made
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    return made


def value_of(settings: BaseModel, path: Iterable[str]) -> Any:
    """Returns the value at a path."""
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    return value


def is_secret(annotation: Any) -> bool:
    """Whether a type is a secret, perhaps None."""
    return any(
        isinstance(each, type) and issubclass(each, (SecretStr, SecretBytes))
        for each in alternatives(annotation)
    )


@lru_cache
def secrets_of(kind: type[BaseModel]) -> tuple[str, ...]:
    """Returns the names of the fields of one section that are secrets."""
    return tuple(n for n, field in kind.model_fields.items() if is_secret(field.annotation))


def is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Whether a field with this type is a section."""
    return (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and not issubclass(annotation, RootModel)
    )


def is_simple(annotation: Any) -> bool:
    """Whether a type is a scalar or a list of scalars, either perhaps None."""
    return all(
        all(map(_is_scalar, get_args(each))) if get_origin(each) in LISTS else _is_scalar(each)
        for each in alternatives(annotation)
    )


def is_list(annotation: Any) -> bool:
    """Whether a type is a list, a tuple or a set, perhaps None."""
    return any(get_origin(each) in LISTS for each in alternatives(annotation))


def adds_to_defaults(field: FieldInfo) -> bool:
    """Whether a list, as text or in the file, is added to its defaults."""
    readers = (each.func for each in field.metadata if isinstance(each, BeforeValidator))
    return any(isinstance(each, list_added_to) for each in readers)


def alternatives(annotation: Any) -> Iterator[Any]:
    """Yields the members of a union, or the type itself; without annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from alternatives(each)
    else:
        yield annotation


def _fields(kind: type[BaseModel], path: Path) -> Iterator[tuple[Path, FieldInfo]]:
    for name, field in kind.model_fields.items():
        if is_section(field.annotation):
            yield from _fields(field.annotation, (*path, name))
        else:
            yield (*path, name), field


def _flat_name(field: FieldInfo, path: Path) -> str:
    return next(
        (each.name for each in field.metadata if isinstance(each, FlatName)), "_".join(path)
    )


def _is_scalar(annotation: Any) -> bool:
    for each in alternatives(annotation):
        if each in (NoneType, Ellipsis) or get_origin(each) is Literal:
            continue
        if each is Any or not isinstance(each, type) or get_origin(each) is not None:
            return False
        if issubclass(each, Enum):
            continue
        if issubclass(each, (BaseModel, Mapping, *LISTS)) or is_dataclass(each):
            return False
    return True
