"""Functions that set one field of a message from its JSON value; made once per field.

A setter raises ValueError for an invalid value; with several violations it is `Violations`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.fields import is_message, map_entry, message_type, shared_oneof
from gateway.contract.json_types import NULLABLE
from gateway.transcoding import scalars
from gateway.transcoding.fast_path import FAST_TYPES
from gateway.transcoding.messages import extensions, which_oneof
from gateway.transcoding.violations import Violations, collect, quoted, truncated
from gateway.transcoding.well_known import Read

SetField = Callable[[Any, Any, int], None]
"""(message, JSON value of the field, nesting depth of the message) -> None."""

_MAP_KEY_BOOLS: Final = {"true": True, "false": False}


class FieldSetters:
    """Makes the setters of fields."""

    def __init__(self, reader: Callable[[Descriptor], Read], *, ignore_unknown: bool) -> None:
        """Makes a factory.

        Args:
            reader: returns the reader of a message type.
            ignore_unknown: whether unknown names of enum values are ignored, as unknown fields are.
        """
        self._reader = reader
        self._ignore_unknown = ignore_unknown

    def setter(self, field: FieldDescriptor) -> SetField:
        """Returns the setter of a field."""
        if entry := map_entry(field):
            return self._map_setter(field, *entry)
        if field.is_repeated:
            return self._list_setter(field)
        if is_message(field):
            return self._message_setter(field)
        return self._scalar_setter(field)

    def _element(self, field: FieldDescriptor) -> scalars.FromJson:
        convert = scalars.from_json(field)
        if field.enum_type is not None and field.enum_type.full_name in NULLABLE:
            return lambda value: 0 if value is None else convert(value)
        return convert

    def _message_setter(self, field: FieldDescriptor) -> SetField:
        get = _getter(field)
        set_in_parent = GetMessageClass(message_type(field)).SetInParent
        read = self._reader(message_type(field))
        takes_null = message_type(field).full_name in NULLABLE
        oneof = shared_oneof(field)

        def setter(message: Any, value: Any, depth: int) -> None:
            if value is None and not takes_null:
                return
            if oneof:
                _check_oneof(message, oneof)
            child = get(message)
            set_in_parent(child)
            read(child, value, depth + 1)

        return setter

    def _scalar_setter(self, field: FieldDescriptor) -> SetField:
        convert = self._element(field)
        takes_null = field.enum_type is not None and field.enum_type.full_name in NULLABLE
        drop_unknown = self._ignore_unknown
        oneof = shared_oneof(field)
        assign = _assigner(field)

        def setter(message: Any, value: Any, _depth: int) -> None:
            if value is None and not takes_null:
                return
            try:
                converted = convert(value)
            except scalars.UnknownEnumValue:
                if drop_unknown:
                    return
                raise
            if oneof:
                _check_oneof(message, oneof)
            assign(message, converted)

        return setter

    def _list_setter(self, field: FieldDescriptor) -> SetField:
        if is_message(field):
            return self._message_list_setter(field)
        get = _getter(field)
        convert = self._element(field)
        fast_types = {FAST_TYPES.get(field.type)}
        drop_unknown = self._ignore_unknown

        def setter(message: Any, value: Any, _depth: int) -> None:
            if value is None:
                return
            if type(value) is list and set(map(type, value)) == fast_types:
                get(message).extend(value)
                return
            try:
                get(message).extend([convert(item) for item in _array(value)])
            except ValueError:
                get(message).extend(_each(convert, _array(value), drop_unknown=drop_unknown))

        return setter

    def _message_list_setter(self, field: FieldDescriptor) -> SetField:
        get = _getter(field)
        read = self._reader(message_type(field))

        def setter(message: Any, value: Any, depth: int) -> None:
            if value is None:
                return
            violations: list[tuple[str, str]] = []
            add = get(message).add
            for index, item in enumerate(_array(value)):
                try:
                    read(add(), item, depth + 1)
                except ValueError as error:
                    collect(violations, f"[{index}]", error)
            if violations:
                raise Violations(*violations)

        return setter

    def _map_setter(
        self, field: FieldDescriptor, key_field: FieldDescriptor, value_field: FieldDescriptor
    ) -> SetField:
        get = _getter(field)
        key_from_text = _map_key(key_field)
        set_item = self._map_item(value_field)

        def setter(message: Any, value: Any, depth: int) -> None:
            if value is None:
                return
            if type(value) is not dict:
                raise ValueError(f"expected an object, got {quoted(value)}")
            violations: list[tuple[str, str]] = []
            container = get(message)
            for text, item in value.items():
                try:
                    key = key_from_text(text)
                    if key in container:
                        raise ValueError("given twice, in two ways to write this key")
                    set_item(container, key, item, depth + 2)
                except ValueError as error:
                    collect(violations, f"[{truncated(text)}]", error)
            if violations:
                raise Violations(*violations)

        return setter

    def _map_item(self, field: FieldDescriptor) -> Callable[[Any, Any, Any, int], None]:
        if is_message(field):
            read = self._reader(message_type(field))

            def set_message(container: Any, key: Any, item: Any, depth: int) -> None:
                read(container[key], item, depth)

            return set_message
        convert = self._element(field)
        drop_unknown = self._ignore_unknown

        def set_scalar(container: Any, key: Any, item: Any, _depth: int) -> None:
            try:
                container[key] = convert(item)
            except scalars.UnknownEnumValue:
                if not drop_unknown:
                    raise

        return set_scalar


def is_ignored(field: FieldDescriptor, value: Any) -> bool:
    """Whether `ignore_unknown` made a setter ignore a value: an unknown name of an enum value.

    A list or a map is ignored if all its elements are; an empty one is not.
    """
    entry = map_entry(field)
    element = entry[1] if entry else field
    if element.enum_type is None or value is None:
        return False
    items = [value]
    if field.is_repeated:
        items = list(value.values()) if entry else value
    convert = scalars.from_json(element)
    return bool(items) and all(_is_unknown(convert, item) for item in items)


def _is_unknown(convert: scalars.FromJson, value: Any) -> bool:
    try:
        convert(value)
    except scalars.UnknownEnumValue:
        return True
    except ValueError:  # null of a NullValue
        return False
    return False


def _getter(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.is_extension:
        return lambda message: extensions(message)[field]
    name = field.name
    return lambda message: getattr(message, name)


def _assigner(field: FieldDescriptor) -> Callable[[Any, Any], None]:
    if field.is_extension:
        return lambda message, value: extensions(message).__setitem__(field, value)
    name = field.name
    return lambda message, value: setattr(message, name, value)


def _check_oneof(message: Any, oneof: str) -> None:
    if other := which_oneof(message, oneof):
        raise ValueError(
            f"only one of the fields of {oneof!r} can be given; {other!r} is there already"
        )


def _map_key(field: FieldDescriptor) -> Callable[[str], Any]:
    if field.type != FieldDescriptor.TYPE_BOOL:
        return scalars.from_json(field)

    def bool_key(text: str) -> bool:
        if text not in _MAP_KEY_BOOLS:
            raise ValueError("expected the key true or false")
        return _MAP_KEY_BOOLS[text]

    return bool_key


def _array(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ValueError(f"expected an array, got {quoted(value)}")
    return value


def _each(convert: scalars.FromJson, items: list[Any], *, drop_unknown: bool) -> list[Any]:
    """Converts items one by one, and raises Violations with the index of each invalid one."""
    violations: list[tuple[str, str]] = []
    values: list[Any] = []
    for index, item in enumerate(items):
        try:
            values.append(convert(item))
        except ValueError as error:
            if not (drop_unknown and isinstance(error, scalars.UnknownEnumValue)):
                collect(violations, f"[{index}]", error)
    if violations:
        raise Violations(*violations)
    return values
