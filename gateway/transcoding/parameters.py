"""Path variables and query parameters -> fields of a message.

Source: google/api/http.proto. A repeated field has one parameter per element. A message whose JSON is one
    scalar
has that scalar as its text; `Value`, `Struct` and `ListValue` have JSON; a message without fields is empty or
`{}`.

Rule: names are resolved per request, since a recursive type has infinitely many. The setter of a field is
    made
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, Final
from urllib.parse import parse_qsl

from google.protobuf.descriptor import FieldDescriptor

from gateway.contract.fields import (
    FieldPath,
    is_message,
    json_name,
    message_type,
    overlap,
    shared_oneof,
)
from gateway.contract.json_types import JSON_VALUES, TEXTUAL, WRAPPERS
from gateway.transcoding import scalars
from gateway.transcoding.codec import parse_json
from gateway.transcoding.decoding import JsonDecoder
from gateway.transcoding.messages import class_with, has_field, set_in_parent, which_oneof
from gateway.transcoding.query_names import (
    QueryNames,
    Target,
    UnknownParameter,
    has_text_form,
    is_empty_message,
    naming_hint,
    repeated_example,
)
from gateway.transcoding.violations import MAX_PATH, MAX_STEP, Violations, collect, quoted
from gateway.transcoding.well_known import check_depth, read_field_mask_text

SetText = Callable[[Any, str, int], None]
"""(message with the field, text, nesting depth of that message) -> None."""

_MAX_PARAMETERS: Final = 1000
_MAX_QUERY: Final = 64 * 1024
"""Maximum bytes of a query."""


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """Parses a query into decoded names and values; `+` is a space.

    Source: the URL Standard, `application/x-www-form-urlencoded`.

    Raises:
        ValueError: it is not UTF-8, has more than 1,000 parameters, or more than 64 KiB.
    """
    if not query:
        return []
    if len(query) > _MAX_QUERY:
        raise ValueError(f"the query is longer than {_MAX_QUERY} bytes")
    try:
        return parse_qsl(
            query.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except UnicodeDecodeError:
        raise ValueError("the query is not UTF-8") from None
    except ValueError:
        raise ValueError(f"the query has more than {_MAX_PARAMETERS} parameters") from None


class Parameters:
    """Sets fields of messages from path variables and query parameters."""

    def __init__(self, decoder: JsonDecoder) -> None:
        self._decoder = decoder
        self._setters: dict[FieldDescriptor, SetText] = {}
        self._names = QueryNames()

    def set_variable(self, message: Any, path: FieldPath, text: str) -> None:
        """Sets the field of a path variable.

        Raises:
            ValueError: the text is invalid for the field, or the body has a different value for it.
        """
        parent = _descend(message, path)
        field = path[-1]
        _check_oneof(parent, field)
        before = deepcopy(getattr(parent, field.name)) if _is_set(parent, field) else None
        self._setter(field)(parent, text, len(path) - 1)
        if before is not None and before != getattr(parent, field.name):
            raise ValueError(f"the path says {quoted(text)}, and the body something else")

    def replace(self, message: Any, path: FieldPath, text: str) -> None:
        """Sets a field, and replaces its earlier value.

        Raises:
            ValueError: the text is invalid for the field.
        """
        self._setter(path[-1])(_descend(message, path), text, len(path) - 1)

    def set_query(
        self, message: Any, pairs: Iterable[tuple[str, str]], bound: Iterable[FieldPath]
    ) -> None:
        """Sets the fields of query parameters.

        Args:
            message: the request.
            pairs: names and values in order; a repeated name adds a value.
            bound: paths of the fields that path or body provide; the query must not set them.

        Raises:
            Violations: a parameter names no field or a bound one, or its value is invalid.
        """
        values: dict[str, list[str]] = {}
        for name, text in pairs:
            values.setdefault(name, []).append(text)
        names: dict[Target, str] = {}
        parents: dict[Target, str] = {}
        violations: list[tuple[str, str]] = []
        for name, texts in values.items():
            max_step = MAX_STEP
            try:
                target = self._names.resolve(type(message).DESCRIPTOR, name, texts)
                if target[1] is None:
                    max_step = MAX_PATH
                first = names.setdefault(target, name)
                if first != name and not _is_list(target):
                    raise ValueError(f"given twice, as {quoted(first)} too")
                _check_parents(target, name, names, parents)
                self._set_parameter(message, target, name, texts, bound)
            except UnknownParameter as unknown:
                if not self._decoder.ignore_unknown:
                    collect(violations, name, unknown)
            except ValueError as error:
                collect(violations, name, error, max_step)
        if violations:
            raise Violations(*violations)

    def _set_parameter(
        self,
        message: Any,
        target: Target,
        name: str,
        texts: list[str],
        bound: Iterable[FieldPath],
    ) -> None:
        path, key = target
        for bound_path in bound:
            if overlap(path, bound_path):
                raise ValueError("is not a query parameter here: path or body provide this field")
        parent = _descend(message, path)
        if key is not None:
            self._set_entry(parent, path, key, _single(texts))
        elif _is_list(target):
            for text in texts:
                self._set_text(parent, path, name, text)
        else:
            _check_oneof(parent, path[-1])
            self._set_text(parent, path, name, _single(texts))

    def _set_text(self, message: Any, path: FieldPath, name: str, text: str) -> None:
        field = path[-1]
        try:
            self._setter(field)(message, text, len(path) - 1)
        except Violations:
            raise
        except ValueError as error:
            raise ValueError(f"{error}{self._advice(field, name, text)}") from None

    def _advice(self, field: FieldDescriptor, name: str, text: str) -> str:
        """Returns a hint for the error of an invalid text; empty if it is no common mistake."""
        if " " in text and self._fits(field, text.replace(" ", "+")):
            return "; in a query a + is a space: write it as %2B"
        items = text.strip("[]").split(",", 2)[:2]
        if field.is_repeated and len(items) > 1 and all(self._fits(field, each) for each in items):
            return f"; write {repeated_example(name, items)}"
        first, semicolon, _ = text.partition(";")
        if semicolon and self._fits(field, first):
            return "; between the parameters of a query stands &, not ;"
        return ""

    def _fits(self, field: FieldDescriptor, text: str) -> bool:
        """Whether a text is valid for a field."""
        try:
            self._setter(field)(class_with(field)(), text, 0)
        except ValueError:
            return False
        return True

    def _setter(self, field: FieldDescriptor) -> SetText:
        setter = self._setters.get(field)
        if setter is None:
            setter = self._setters[field] = self._make_setter(field)
        return setter

    def _make_setter(self, field: FieldDescriptor) -> SetText:
        name = field.name
        if not is_message(field):
            convert = scalars.from_text(field)
            if field.is_repeated:
                return lambda message, text, _: getattr(message, name).append(convert(text))
            return lambda message, text, _: setattr(message, name, convert(text))
        fill = self._make_fill(field)
        if field.is_repeated:
            return lambda message, text, depth: fill(getattr(message, name).add(), text, depth + 1)

        def set_message(message: Any, text: str, depth: int) -> None:
            child = getattr(message, name)
            set_in_parent(child)
            fill(child, text, depth + 1)

        return set_message

    def _make_fill(self, field: FieldDescriptor) -> SetText:
        """Returns the function that fills a message of the field's type from a text."""
        descriptor = message_type(field)
        name = descriptor.full_name
        if name == "google.protobuf.FieldMask":
            return read_field_mask_text
        if name in WRAPPERS:
            convert = scalars.from_text(descriptor.fields_by_name["value"])

            def set_wrapped(message: Any, text: str, depth: int) -> None:
                check_depth(depth)
                message.value = convert(text)

            return set_wrapped
        read = self._decoder.reader(descriptor)
        if name in TEXTUAL:
            return read
        if name in JSON_VALUES:
            return lambda message, text, depth: read(message, parse_json(text.encode()), depth)
        if is_empty_message(field):
            return _fill_empty
        raise ValueError(f"is {naming_hint(field, json_name(field))}")

    def _set_entry(self, message: Any, path: FieldPath, key: str, text: str) -> None:
        field = path[-1]
        key_field, value_field = message_type(field).fields
        key_value = scalars.from_text(key_field)(key)
        container = getattr(message, field.name)
        if key_value in container:
            raise ValueError("is given twice, in two ways to write its key")
        check_depth(len(path))  # the entry is a message, and so may its value be
        if is_message(value_field):
            self._make_fill(value_field)(container[key_value], text, len(path) + 1)
            return
        try:
            container[key_value] = scalars.from_text(value_field)(text)
        except ValueError as error:
            raise ValueError(
                f"{error}{self._advice(value_field, json_name(field), text)}"
            ) from None


def _fill_empty(_message: Any, text: str, depth: int) -> None:
    """Accepts the text of a message without fields."""
    check_depth(depth)
    if text not in ("", "{}"):
        raise ValueError(f"expected an empty text or {{}}, got {quoted(text)}")


def _check_parents(
    target: Target, name: str, names: Mapping[Target, str], parents: dict[Target, str]
) -> None:
    """Raises ValueError if a query has both a message as one text and a field of that message.

    Args:
        target: target of the parameter.
        name: name of the parameter.
        names: target -> name of the parameters so far.
        parents: messages with a text form -> name of a parameter below them; the target's are added.
    """
    path, _ = target
    if len(path) == 1 and not parents:
        return
    above: list[Target] = [
        (path[:end], None) for end, field in enumerate(path[:-1], 1) if has_text_form(field)
    ]
    other = parents.get(target) or next((names[each] for each in above if each in names), None)
    if other is not None:
        raise ValueError(f"given twice, as {quoted(other)} too")
    parents.update(dict.fromkeys(above, name))


def _is_list(target: Target) -> bool:
    path, key = target
    return path[-1].is_repeated and key is None


def _descend(message: Any, path: FieldPath) -> Any:
    for field in path[:-1]:
        _check_oneof(message, field)
        message = getattr(message, field.name)
    return message


def _check_oneof(message: Any, field: FieldDescriptor) -> None:
    oneof = shared_oneof(field)
    other = which_oneof(message, oneof) if oneof else None
    if other not in (None, field.name):
        raise ValueError(f"only one field of {oneof!r} can be given; {other!r} is there already")


def _is_set(message: Any, field: FieldDescriptor) -> bool:
    if field.has_presence:
        return has_field(message, field)
    return bool(getattr(message, field.name))


def _single(texts: list[str]) -> str:
    if len(texts) > 1:
        raise ValueError(f"is given {len(texts)} times, and takes one value")
    return texts[0]
