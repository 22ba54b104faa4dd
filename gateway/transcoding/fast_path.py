"""JSON values that a generated reader assigns without a call: the parsed value is already protobuf's.

Source: the table of "ProtoJSON Format"; of each row the form that is named first.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import FieldDescriptor

from gateway.contract.fields import shared_oneof
from gateway.transcoding import scalars
from gateway.transcoding.function_builder import FunctionBuilder

FAST_TYPES: Final[Mapping[int, type]] = MappingProxyType(
    {
        FieldDescriptor.TYPE_STRING: str,
        FieldDescriptor.TYPE_BOOL: bool,
        FieldDescriptor.TYPE_DOUBLE: float,
    }
)
"""Field type -> Python type whose parsed JSON values need no conversion or check."""


def fast_path(builder: FunctionBuilder, field: FieldDescriptor) -> tuple[str, str] | None:
    """Returns the condition on a JSON value `v` for direct assignment, and the expression to assign.

    None: the field always needs its setter, since it is repeated, in a oneof, an extension, or of another
        type.
    """
    if field.is_repeated or field.is_extension or shared_oneof(field):
        return None
    if field.enum_type is not None:
        numbers = {name: value.number for name, value in field.enum_type.values_by_name.items()}
        name = builder.bind(numbers)
        return f"type(v) is str and v in {name}", f"{name}[v]"
    if integers := scalars.INTEGERS.get(field.type):
        return f"type(v) is int and {integers.start} <= v < {integers.stop}", "v"
    python_type = FAST_TYPES.get(field.type)
    if python_type is float:  # a double holds every integer of 53 bits
        return "type(v) is float or type(v) is int and v.bit_length() <= 53", "v"
    return (f"type(v) is {python_type.__name__}", "v") if python_type else None
