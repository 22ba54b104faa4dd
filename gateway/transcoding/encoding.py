"""Messages -> JSON values, by one generated Python function per message type.

A generated writer has one or two lines per field, without loops over descriptors. For
`message Point { string name = 1; double weight = 2; }`:

    def write(m):
        out = {}
        v = m.name
        if v: out["name"] = v
        v = m.weight
        if v or is_negative_zero(v): out["weight"] = double_to_json(v)
        return out

Source: "ProtoJSON Format" in protobuf's language guide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import copysign
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.fields import is_message, json_names, map_entry, message_type
from gateway.contract.json_options import JsonOptions
from gateway.contract.json_types import ANY, NULLABLE, WRAPPERS
from gateway.transcoding import scalars
from gateway.transcoding.decoding import is_special
from gateway.transcoding.function_builder import FunctionBuilder
from gateway.transcoding.messages import class_with
from gateway.transcoding.well_known import TOO_DEEP, Write, well_known

_INT64_TYPES = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
    FieldDescriptor.TYPE_SINT64,
}
_MAX_ANYS: Final = 32
"""Maximum nesting of `Any` in `Any`; each level parses everything below it again."""


class JsonEncoder:
    """Generates and caches the writers for the types of one contract."""

    def __init__(
        self, pool: DescriptorPool, options: JsonOptions, hidden: frozenset[str] = frozenset()
    ) -> None:
        """Makes an encoder.

        Args:
            pool: the types that an `Any` may contain.
            options: options of the JSON.
            hidden: full names of types whose content is omitted in an `Any`.
        """
        self._pool = pool
        self._hidden = hidden
        self._options = options
        self._writers: dict[str, Write] = {ANY: self._write_any}
        self._anys = 0
        """Current nesting of `Any`."""

    def writer(self, descriptor: Descriptor) -> Write:
        """Returns the writer of a message type; it raises ValueError for a message that has no JSON."""
        writer = self._writers.get(descriptor.full_name)
        if writer is None:
            if special := well_known(descriptor):
                writer = special.write
            elif descriptor.full_name in WRAPPERS:
                writer = self._wrapper_writer(descriptor)
            else:
                return self._message_writer(descriptor)
            self._writers[descriptor.full_name] = writer
        return writer

    def field_writer(self, field: FieldDescriptor) -> Write:
        """Returns the function from a message to the JSON value of one field, set or not."""
        builder = _WriterBuilder(self)
        access = builder.access(field)
        return builder.compile("write(m)", f"return {builder.field_value(field, access)}")

    def _message_writer(self, descriptor: Descriptor) -> Write:
        builder = _WriterBuilder(self)

        def not_yet(message: Any) -> Any:
            return self._writers[descriptor.full_name](message)

        self._writers[descriptor.full_name] = (
            not_yet  # before its fields: a type may contain itself
        )
        names = json_names(descriptor)
        lines = [
            line
            for field in self._fields(descriptor)
            for line in self._field_lines(builder, field, self._key(field, names))
        ]
        writer = builder.compile("write(m)", "out = {}", *lines, "return out")
        self._writers[descriptor.full_name] = writer
        return writer

    def _fields(self, descriptor: Descriptor) -> Iterator[FieldDescriptor]:
        yield from descriptor.fields
        if descriptor.is_extendable:
            yield from self._pool.FindAllExtensions(descriptor)

    def _field_lines(
        self, builder: _WriterBuilder, field: FieldDescriptor, key: str
    ) -> Iterator[str]:
        target = f"out[{key!r}]"
        access = builder.access(field)
        if field.has_presence:
            message = class_with(field)  # a field may have the name HasField
            has = builder.bind(message.HasExtension if field.is_extension else message.HasField)
            which = builder.bind(field) if field.is_extension else repr(field.name)
            yield f"if {has}(m, {which}): {target} = {builder.field_value(field, access)}"
        elif self._options.defaults and not field.is_extension:
            yield f"{target} = {builder.field_value(field, access)}"
        else:
            yield f"v = {access}"
            signed_zero = field.cpp_type in (
                FieldDescriptor.CPPTYPE_DOUBLE,
                FieldDescriptor.CPPTYPE_FLOAT,
            )
            test = "v or is_negative_zero(v)" if signed_zero and not field.is_repeated else "v"
            yield f"if {test}: {target} = {builder.field_value(field, 'v')}"

    def _key(self, field: FieldDescriptor, names: Mapping[str, str]) -> str:
        if field.is_extension:
            return f"[{field.full_name}]"
        return field.name if self._options.proto_names else names[field.name]

    def _wrapper_writer(self, descriptor: Descriptor) -> Write:
        return self.field_writer(descriptor.fields_by_name["value"])

    def scalar(self, builder: _WriterBuilder, field: FieldDescriptor, value: str) -> str:
        """Returns the expression for the JSON value of a scalar or enum."""
        if field.enum_type is not None:
            return self._enum(builder, field.enum_type, value)
        if field.type in _INT64_TYPES:
            return value if self._options.int64_numbers else f"str({value})"
        if field.type == FieldDescriptor.TYPE_BYTES:
            return f"bytes_to_json({value})"
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            return f"({value} if {value} - {value} == 0.0 else double_to_json({value}))"
        if field.type == FieldDescriptor.TYPE_FLOAT:
            return f"float_to_json({value})"
        return value

    def _enum(self, builder: _WriterBuilder, enum: EnumDescriptor, value: str) -> str:
        if enum.full_name in NULLABLE:
            return "None"
        if self._options.enum_numbers:
            return value
        # of several aliases the first one is printed, so it is set last
        names = {item.number: item.name for item in reversed(enum.values)}
        return f"{builder.bind(names)}.get({value}, {value})"

    def _write_any(self, message: Any) -> dict[str, Any]:
        """Writes the contained message; its base64 bytes if the contract lacks its type."""
        if not message.type_url:
            return {}
        name = type_name(message)
        if name in self._hidden:
            return {"@type": message.type_url}
        if self._anys >= _MAX_ANYS:
            raise ValueError(f"nests deeper than {_MAX_ANYS} google.protobuf.Any")
        self._anys += 1
        try:
            descriptor = self._pool.FindMessageTypeByName(name)
            value = self.writer(descriptor)(GetMessageClass(descriptor).FromString(message.value))
        except (KeyError, DecodeError):
            return {"@type": message.type_url, "value": scalars.bytes_to_json(message.value)}
        except RecursionError:
            raise ValueError(TOO_DEEP) from None
        finally:
            self._anys -= 1
        if is_special(descriptor):
            return {"@type": message.type_url, "value": value}
        return {"@type": message.type_url, **value}


def type_name(message: Any) -> str:
    """Returns the full name of the message type in an `Any`."""
    name: str = message.type_url.rpartition("/")[2]
    return name


class _WriterBuilder(FunctionBuilder):
    """Builds one writer."""

    def __init__(self, encoder: JsonEncoder) -> None:
        super().__init__(
            bytes_to_json=scalars.bytes_to_json,
            double_to_json=scalars.double_to_json,
            float_to_json=scalars.float_to_json,
            is_negative_zero=_is_negative_zero,
            key_to_json=_key_to_json,
        )
        self._encoder = encoder

    def field_value(self, field: FieldDescriptor, value: str) -> str:
        """Returns the expression for the JSON value of a field: singular, list or map."""
        if entry := map_entry(field):
            item = self._single(entry[1], "i")
            return f"{{key_to_json(k): {item} for k, i in {value}.items()}}"
        if field.is_repeated:
            item = self._single(field, "i")
            return f"list({value})" if item == "i" else f"[{item} for i in {value}]"
        return self._single(field, value)

    def _single(self, field: FieldDescriptor, value: str) -> str:
        if is_message(field):
            return f"{self.bind(self._encoder.writer(message_type(field)))}({value})"
        return self._encoder.scalar(self, field, value)


def _is_negative_zero(value: float) -> bool:
    return value == 0 and copysign(1, value) < 0


def _key_to_json(key: str | int) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)
