"""Names of query parameters -> fields of a message.

Source: google/api/http.proto. A name is a dotted path of proto or JSON names through singular messages. An
    entry
of a map is `name[key]`. A name is unknown only if one of its steps is not a field.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn, TypeAlias
from urllib.parse import quote

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.contract.fields import FieldPath, map_entry, query_names
from gateway.contract.json_types import ANY, JSON_VALUES, TEXTUAL
from gateway.transcoding.violations import quoted, suggestion, truncated
from gateway.transcoding.well_known import MAX_DEPTH, TOO_DEEP

Target: TypeAlias = tuple[FieldPath, str | None]
"""The target of a parameter: a field; with a key, the entry of a map field."""

_PUNCTUATION: Final = re.compile(r"[.\[\]]")
_KEY: Final = re.compile(r"\[([^\]]*)\]")
_CACHE_SIZE: Final = 4096
"""Maximum resolved names in the cache."""
_MAX_CACHED_NAME: Final = 128
"""Maximum characters of a name in the cache."""
_MAX_EXAMPLE: Final = 20
"""Maximum characters of a caller's value in an example."""


class UnknownParameter(ValueError):
    """A parameter that names no field; ignored with `ignore_unknown`."""


class QueryNames:
    """Resolves and caches parameter names."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, FieldDescriptor]] = {}
        """Full name of a message -> its fields by JSON name and proto name."""
        self._resolved: dict[tuple[Descriptor, str], Target] = {}
        """(message, parameter name) -> target."""

    def resolve(self, descriptor: Descriptor, name: str, texts: list[str]) -> Target:
        """Returns the target of a parameter.

        Args:
            descriptor: the request message.
            name: the parameter's name.
            texts: its values, for examples in an error.

        Raises:
            UnknownParameter: a step of the name is not a field.
            ValueError: the name goes on after a field without addressable subfields, or is misspelled.
        """
        target = self._resolved.get((descriptor, name))
        if target is None:
            target = self._resolve(descriptor, name, texts)
            if target[1] is None and len(name) <= _MAX_CACHED_NAME:
                if (
                    len(self._resolved) >= _CACHE_SIZE
                ):  # a recursive message has infinitely many names
                    self._resolved.clear()
                self._resolved[descriptor, name] = target
        return target

    def _resolve(self, descriptor: Descriptor, name: str, texts: list[str]) -> Target:
        """Resolves a name without the cache; raises what `resolve` raises."""
        fields: list[FieldDescriptor] = []
        start = 0
        while True:
            end = _step_end(name, start)
            names = self._names_of(descriptor)
            field = names.get(name[start:end])
            if field is None:
                if fields and _accepts_any_name(fields[-1]):
                    before = name[: start - 1]
                    raise ValueError(f"{quoted(before)} is {naming_hint(fields[-1], before)}")
                raise UnknownParameter(
                    f"unknown query parameter{suggestion(name[start:end], names)}"
                )
            fields.append(field)
            if len(fields) > MAX_DEPTH + 1:  # the last field is in the message of the one before it
                raise ValueError(TOO_DEEP)
            if end == len(name):
                return tuple(fields), None
            key = _KEY.fullmatch(name, end)
            if key is not None and map_entry(field):
                return tuple(fields), key[1]
            if name[end] == "[":
                self._refuse_key(field, name, end, texts)
            start = end + 1
            if name[end] != ".":
                raise _misspelled(name[:end])
            if field.message_type is None or field.is_repeated:
                raise ValueError(f"{quoted(name[:end])} is {naming_hint(field, name[:end])}")
            descriptor = field.message_type

    def _refuse_key(
        self, field: FieldDescriptor, name: str, end: int, texts: list[str]
    ) -> NoReturn:
        """Raises the error for `[` after a field that is not a map, with a hint for the right name.

        Raises:
            UnknownParameter: the text in brackets is not a field either.
            ValueError: in any other case.
        """
        before = name[:end]
        key = _KEY.match(name, end)
        if key is None:
            raise _misspelled(before)
        if entry := map_entry(field):
            item = name[: key.end()]
            if name[key.end()] != ".":
                raise _misspelled(item)
            raise ValueError(f"{quoted(item)} is {naming_hint(entry[1], item)}")
        if field.is_repeated and not _is_structure(field):
            raise ValueError(f"is not a map, but a list: write {repeated_example(before, texts)}")
        if field.is_repeated:
            raise ValueError(f"{quoted(before)} is {naming_hint(field, before)}")
        if field.message_type is None:
            raise ValueError("is not a map")
        if _accepts_any_name(field):
            raise ValueError(f"{quoted(before)} is {naming_hint(field, before)}")
        dotted = before + _KEY.sub(r".\1", name[end:])
        self.resolve(field.message_type, dotted[end + 1 :], texts)
        raise ValueError(
            f"is not a map, but a message: write {truncated(dotted)}={_quoted_value(texts[0])}"
        )

    def _names_of(self, descriptor: Descriptor) -> dict[str, FieldDescriptor]:
        names = self._names.get(descriptor.full_name)
        if names is None:
            names = self._names[descriptor.full_name] = query_names(descriptor)
        return names


def has_text_form(field: FieldDescriptor) -> bool:
    """Whether the field is a singular message that a query can contain as one text."""
    if field.message_type is None or field.is_repeated:
        return False
    return field.message_type.full_name in TEXTUAL | JSON_VALUES


def is_empty_message(field: FieldDescriptor) -> bool:
    """Whether the field is a singular message without fields, outside of maps: its name suffices."""
    if field.message_type is None or field.is_repeated or field.message_type.fields:
        return False
    return field.containing_type is None or not field.containing_type.GetOptions().map_entry


def _accepts_any_name(field: FieldDescriptor) -> bool:
    """Whether the JSON of the field's message may have any key, so that no step is unknown."""
    return field.message_type is not None and field.message_type.full_name in JSON_VALUES | {ANY}


def naming_hint(field: FieldDescriptor, name: str) -> str:
    """Returns what a field is, and how a query names it; for the error of a wrong name."""
    if map_entry(field):
        return f"a map; name an entry of it, as {truncated(name)}[key]"
    if field.message_type is None:
        return "no message, and has no fields to name"
    holder = field.containing_type
    if holder is not None and holder.GetOptions().map_entry:
        return "a message in a map, which a query cannot give"
    if field.is_repeated:
        return "a list of messages, which a query cannot give"
    if has_text_form(field):
        kind = "JSON" if field.message_type.full_name in JSON_VALUES else "text"
        return (
            f"a {field.message_type.full_name}, which is given as one {kind}: {truncated(name)}=…"
        )
    return "a message; name one of its fields"


def _misspelled(before: str) -> ValueError:
    return ValueError(
        f"unknown query parameter; {quoted(before)} is a field, but not what follows it"
    )


def _is_structure(field: FieldDescriptor) -> bool:
    """Whether a value of the field cannot be one text."""
    if field.message_type is None:
        return False
    return field.message_type.full_name not in TEXTUAL | JSON_VALUES


def repeated_example(name: str, texts: list[str]) -> str:
    """Returns an example of a list in a query, with its first two values."""
    return "&".join(f"{truncated(name)}={_quoted_value(text)}" for text in texts[:2])


def _quoted_value(text: str) -> str:
    return quote(text[:_MAX_EXAMPLE]) + ("…" if len(text) > _MAX_EXAMPLE else "")


def _step_end(text: str, start: int) -> int:
    """Returns the end offset of the step that starts at an offset."""
    match = _PUNCTUATION.search(text, start)
    return match.start() if match else len(text)
