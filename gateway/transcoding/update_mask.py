"""The `update_mask` of a PATCH that does not name one: what the body has is what is to be changed.

Source: AIP-134 ("if the mask is omitted, the service must treat it as the set of populated fields"). What
the decoder passed over (`ignore_unknown`) is not in the mask: the server would clear a field of which the
caller gave a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.contract.fields import is_message, message_type
from gateway.contract.http_rule import Binding
from gateway.contract.json_types import FIELD_MASK, SPECIAL
from gateway.transcoding.field_stores import is_passed_over


def inferred_mask(binding: Binding) -> FieldDescriptor | None:
    """Returns the field that a PATCH without a mask has inferred, or None.

    It is inferred where the body is one message of the request, and the request has exactly one FieldMask.
    """
    if binding.http_method != "PATCH" or binding.body is None or binding.body.field is None:
        return None
    if not _has_parts(binding.body.field):
        return None
    masks = [
        field
        for field in binding.method.input.fields
        if is_message(field) and message_type(field).full_name == FIELD_MASK
    ]
    return masks[0] if len(masks) == 1 and not masks[0].is_repeated else None


def mask_paths(descriptor: Descriptor, value: Any) -> list[str]:
    """Returns the paths, by proto name, of the fields that a JSON object of this type has."""
    return list(_paths(descriptor, value, ""))


def _paths(descriptor: Descriptor, value: Any, prefix: str) -> Iterator[str]:
    names = {field.json_name: field for field in descriptor.fields}
    for key, item in value.items():
        field = names.get(key) or descriptor.fields_by_name.get(key)
        if field is None or is_passed_over(field, item):
            continue
        path = f"{prefix}{field.name}"
        if _has_parts(field) and isinstance(item, dict) and item:
            yield from _paths(message_type(field), item, f"{path}.")
        else:
            yield path


def _has_parts(field: FieldDescriptor) -> bool:
    """Whether a mask can name fields within this one: it is one message, and not a special one."""
    return (
        is_message(field) and not field.is_repeated and message_type(field).full_name not in SPECIAL
    )
