"""Which JSON values are plain: the parser's value is what protobuf takes, and nothing has to be looked at.

Source: the table of "ProtoJSON Format"; each row names one form first, and that is the plain one.
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
"""Field types of which every parsed JSON value of this Python type is plain."""


def fast_path(builder: FunctionBuilder, field: FieldDescriptor) -> tuple[str, str] | None:
    """Returns when a JSON value `v` of a field is plain, and the expression for what it stands for.

    None is for a field of which no value is: it repeats, its oneof has to be looked at, or its type has to.
    """
    if field.is_repeated or field.is_extension or shared_oneof(field):
        return None
    if field.enum_type is not None:
        numbers = {name: value.number for name, value in field.enum_type.values_by_name.items()}
        name = builder.bind(numbers)
        return f"type(v) is str and v in {name}", f"{name}[v]"
    if integers := scalars.INTEGERS.get(field.type):
        return f"type(v) is int and {integers.start} <= v < {integers.stop}", "v"
    plain = FAST_TYPES.get(field.type)
    if plain is float:  # many a number has no fraction; up to 2**53 a double holds each of them
        return f"type(v) is float or type(v) is int and {-(2**53)} <= v <= {2**53}", "v"
    return (f"type(v) is {plain.__name__}", "v") if plain else None
