"""Messages of a contract with values that look like its own.

A value is, in this order: one that the field's options name (`gateway.v1.values`, `google.api.field_info`),
an example in its comment, or one that its name and type suggest. The same seed gives the same messages.

Rule: without I/O, and without the state of another message.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.field_options import field_annotations
from gateway.mock.example_texts import example_texts

_DEPTH: Final = 5
"""Maximum levels of messages in messages."""
_FIELDS: Final = 2_000
"""Maximum fields that are set in one message, with all that it contains."""
_REPEATED: Final = 2
"""Elements of a repeated field."""
_BEGIN: Final = 1_767_225_600
"""2026-01-01T00:00:00Z in seconds: times are in the year after it."""
_YEAR: Final = 365 * 86_400
_RANGES: Final = {
    "year": (2026, 2030),
    "month": (1, 12),
    "day": (1, 28),
    "hour": (0, 23),
    "hours": (0, 23),
    "minute": (0, 59),
    "minutes": (0, 59),
    "second": (0, 59),
    "seconds": (0, 59),
    "nanos": (0, 0),
}
"""Integers by the name of their field, as google/type has them; others are 1 to 100."""
_WORDS: Final[Mapping[str, str]] = {
    "email": "person{}@example.com",
    "phone": "+1 555 01{:02}",
    "uri": "https://example.com/{}",
    "url": "https://example.com/{}",
    "code": "C{}",
    "id": "{}",
}
"""Strings by the end of their field's name."""
_FORMATS: Final[Mapping[str, Callable[[random.Random], str]]] = {
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "ipv4": lambda rng: f"192.0.2.{rng.randint(1, 254)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randint(1, 65_535):x}",
}
_LEFT_OUT: Final = frozenset({"google.protobuf.Any", "google.protobuf.FieldMask"})
_INTEGERS: Final = frozenset(
    {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}
    | {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
)
_REALS: Final = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


class Examples:
    """Makes messages of one contract."""

    def __init__(self, comments: Mapping[str, str], seed: int) -> None:
        """Takes the comments by the full names of fields, and a seed."""
        self._comments = comments
        self._seed = seed
        self._texts: dict[str, list[str]] = {}

    def message(self, descriptor: Descriptor, key: str) -> Any:
        """Returns a message of a type; another key gives other values."""
        message = GetMessageClass(descriptor)()
        rng = random.Random(f"{self._seed}/{key}")  # noqa: S311 - values to look at
        _Filler(rng, self._text_of).fill(message, ())
        return message

    def _text_of(self, field: FieldDescriptor) -> list[str]:
        texts = self._texts.get(field.full_name)
        if texts is None:
            texts = example_texts(self._comments.get(field.full_name, ""))
            self._texts[field.full_name] = texts = [one for one in texts if _fits(field, one)]
        return texts


class _Filler:
    """Fills one message, and those in it."""

    def __init__(self, rng: random.Random, texts: Callable[[FieldDescriptor], list[str]]) -> None:
        self._rng = rng
        self._texts = texts
        self._left = _FIELDS

    def fill(self, message: Any, above: tuple[str, ...]) -> None:
        descriptor: Descriptor = message.DESCRIPTOR
        if (special := _SPECIAL.get(descriptor.full_name)) is not None:
            special(message, self._rng)
            return
        above = (*above, descriptor.full_name)
        chosen = {oneof.name: self._rng.choice(oneof.fields) for oneof in descriptor.oneofs}
        for field in descriptor.fields:
            oneof = field.containing_oneof
            if oneof is not None and chosen[oneof.name] is not field:
                continue
            if self._left > 0 and not field_annotations(field).input_only:
                self._left -= 1
                self._set(message, field, above)

    def _set(self, message: Any, field: FieldDescriptor, above: tuple[str, ...]) -> None:
        texts = self._texts(field)
        if texts:
            ParseDict(
                {field.name: _json(field, self._rng.choice(texts))},
                message,
                descriptor_pool=message.DESCRIPTOR.file.pool,
            )
        elif field.message_type is not None:
            self._set_message(getattr(message, field.name), field, above)
        elif field.is_repeated:
            getattr(message, field.name).extend(self._scalar(field) for _ in range(_REPEATED))
        else:
            setattr(message, field.name, self._scalar(field))

    def _set_message(self, target: Any, field: FieldDescriptor, above: tuple[str, ...]) -> None:
        kind: Any = field.message_type
        if kind.GetOptions().map_entry:
            key, value = (kind.fields_by_name[name] for name in ("key", "value"))
            if value.message_type is None:
                target[self._scalar(key)] = self._scalar(value)
            elif self._may_enter(value.message_type, above):
                self.fill(target[self._scalar(key)], above)
        elif not self._may_enter(kind, above):
            return
        elif field.is_repeated:
            for _ in range(_REPEATED):
                self.fill(target.add(), above)
        else:
            target.SetInParent()
            self.fill(target, above)

    def _may_enter(self, kind: Descriptor, above: tuple[str, ...]) -> bool:
        name = kind.full_name
        return name not in _LEFT_OUT and name not in above and len(above) < _DEPTH

    def _scalar(self, field: FieldDescriptor) -> Any:
        values = field_annotations(field).values
        kind = field.cpp_type
        enum: Any = field.enum_type
        if kind in _INTEGERS or kind in _REALS:
            low = values.greater_than if values.HasField("greater_than") else None
            return self._number(field.name, low, real=kind in _REALS)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self._rng.random() < 0.5
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            numbers = [value.number for value in enum.values]
            return self._rng.choice([number for number in numbers if number] or numbers)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._rng.randbytes(6)
        listed = list(getattr(values, "in"))
        return self._rng.choice(listed) if listed else self._text(field)

    def _number(self, name: str, low: float | None, *, real: bool) -> float:
        if low is not None and real:
            return low + round(self._rng.uniform(0.01, 100), 2)
        if low is not None:
            return int(low) + self._rng.randint(1, 100)
        if real:
            return round(self._rng.uniform(1, 90), 2)
        return self._rng.randint(*_RANGES.get(name, (1, 100)))

    def _text(self, field: FieldDescriptor) -> str:
        made = _FORMATS.get(field_annotations(field).format)
        if made is not None:
            return made(self._rng)
        number = self._rng.randint(1, 99)
        last = field.name.rpartition("_")[2]
        return _WORDS.get(last, f"{field.name.replace('_', ' ')} {{}}").format(number)


def _json(field: FieldDescriptor, text: str) -> Any:
    """Returns an example as the JSON value of a field."""
    value: Any = text
    if field.type == FieldDescriptor.TYPE_BOOL:
        value = {"true": True, "false": False}.get(text.lower(), text)
    return [value] if field.is_repeated else value


def _fits(field: FieldDescriptor, text: str) -> bool:
    """Whether an example is a value of a field: comments are written for people."""
    owner: Any = field.containing_type
    message = GetMessageClass(owner)()
    try:
        ParseDict({field.name: _json(field, text)}, message, descriptor_pool=owner.file.pool)
    except (ParseError, TypeError, ValueError, AttributeError):
        return False
    return True


def _timestamp(message: Any, rng: random.Random) -> None:
    message.seconds = _BEGIN + rng.randrange(_YEAR)


def _duration(message: Any, rng: random.Random) -> None:
    message.seconds = rng.randint(1, 3600)


def _struct(message: Any, rng: random.Random) -> None:
    message.update({"key": f"value {rng.randint(1, 99)}"})


def _value(message: Any, rng: random.Random) -> None:
    message.string_value = f"value {rng.randint(1, 99)}"


def _list(message: Any, rng: random.Random) -> None:
    message.values.add().number_value = rng.randint(1, 100)


def _http_body(message: Any, rng: random.Random) -> None:
    message.content_type = "text/plain"
    message.data = f"example {rng.randint(1, 99)}\n".encode()


_SPECIAL: Final[Mapping[str, Callable[[Any, random.Random], None]]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _value,
    "google.protobuf.ListValue": _list,
    "google.protobuf.Any": lambda _message, _rng: None,
    "google.protobuf.FieldMask": lambda _message, _rng: None,
    "google.api.HttpBody": _http_body,
}
"""Types whose JSON has a form of its own."""
