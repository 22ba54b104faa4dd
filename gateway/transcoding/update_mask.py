"""The `update_mask` of a PATCH whose body is the resource.

Source: AIP-134 ("if the mask is omitted, the service must treat it as the set of populated fields"). If the
caller sends no mask, it is made of the fields in the body. Fields whose value the decoder ignored
(`ignore_unknown`) are removed from any mask: the server would clear them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.contract.fields import FieldPath, is_message, json_names, message_type
from gateway.contract.http_rule import Binding
from gateway.contract.json_types import FIELD_MASK, SPECIAL
from gateway.transcoding.field_setters import is_ignored
from gateway.transcoding.messages import descend, has_field
from gateway.transcoding.well_known import snake_case

_NONE: Final[dict[str, FieldDescriptor]] = {}


def update_mask(binding: Binding) -> UpdateMask | None:
    """Returns the mask completion for a binding; None: it has none.

    A binding has one if it is a PATCH, the body is a message field of the request, and the request has
    exactly one FieldMask.
    """
    if binding.http_method != "PATCH" or binding.body is None or binding.body.field is None:
        return None
    if not _has_subfields(binding.body.field):
        return None
    masks = [
        field
        for field in binding.method.input.fields
        if is_message(field) and message_type(field).full_name == FIELD_MASK
    ]
    if len(masks) != 1 or masks[0].is_repeated:
        return None
    return UpdateMask(masks[0], binding.body.path)


class UpdateMask:
    """Completes the masks in requests to one binding."""

    def __init__(self, mask: FieldDescriptor, resource: FieldPath) -> None:
        """Makes a mask completion.

        Args:
            mask: the field with the mask.
            resource: the field that the body sets.
        """
        self._mask = mask
        self._resource = resource
        self._type = message_type(resource[-1])
        self._names: dict[str, dict[str, FieldDescriptor]] = {}
        """Full name of a message -> its fields by JSON name."""
        self._mask_names: dict[str, dict[str, FieldDescriptor]] = {}
        """Full name of a message -> its fields by proto name, and by JSON name converted to snake_case."""

    def complete(self, request: Any, body: Any) -> None:
        """Sets the mask of a request from its body, or corrects the mask that the caller sent.

        Args:
            request: the request message, with path, body and query applied.
            body: the JSON value of the body, without violations; None: no body.
        """
        given = has_field(request, self._mask)
        if not given and not body:
            return
        paths: dict[str, bool] = dict(self._paths(self._type, body, "")) if body else {}
        mask = getattr(request, self._mask.name)
        if given:
            proto_paths = [self._proto_path(path) for path in mask.paths]
            mask.paths[:] = [path for path in proto_paths if paths.get(path, True)]
            return
        set_paths = [path for path, is_set in paths.items() if is_set]
        mask.paths.extend(set_paths)
        if not set_paths:  # an empty mask means all populated fields
            self._prune(descend(request, self._resource), self._type, body)

    def _paths(self, descriptor: Descriptor, value: Any, prefix: str) -> Iterator[tuple[str, bool]]:
        """Yields the path of each field in a JSON object, and whether its value was set, not ignored."""
        names = self._names_of(descriptor)
        for key, item in value.items():
            field = names.get(key) or descriptor.fields_by_name.get(key)
            if field is None:
                continue
            path = f"{prefix}{field.name}"
            if _has_subfields(field) and isinstance(item, dict) and item:
                yield from self._paths(message_type(field), item, f"{path}.")
            else:
                yield path, not is_ignored(field, item)

    def _prune(self, message: Message, descriptor: Descriptor, value: Any) -> None:
        """Clears the messages of a JSON object whose fields were all ignored."""
        names = self._names_of(descriptor)
        for key, item in value.items():
            field = names.get(key) or descriptor.fields_by_name.get(key)
            if field is None or not _has_subfields(field) or not isinstance(item, dict):
                continue
            child = getattr(message, field.name)
            self._prune(child, message_type(field), item)
            if not type(child).ListFields(child):  # a path variable may have set a field in it
                type(message).ClearField(message, field.name)

    def _names_of(self, descriptor: Descriptor) -> dict[str, FieldDescriptor]:
        names = self._names.get(descriptor.full_name)
        if names is None:
            keys = json_names(descriptor)
            names = {keys[field.name]: field for field in descriptor.fields}
            self._names[descriptor.full_name] = names
        return names

    def _proto_path(self, path: str) -> str:
        """Returns a mask path with proto names.

        A FieldMask is parsed without its message type, so `HTTPCode` became `_h_t_t_p_code`, and the JSON
        name `line2` of `line_2` stayed `line2`. An unknown step is left for the server.
        """
        steps = path.split(".")
        descriptor: Descriptor | None = self._type
        for index, step in enumerate(steps):
            field = self._mask_names_of(descriptor).get(step)
            if field is None:
                break
            steps[index] = field.name
            descriptor = message_type(field) if _has_subfields(field) else None
        return ".".join(steps)

    def _mask_names_of(self, descriptor: Descriptor | None) -> dict[str, FieldDescriptor]:
        if descriptor is None:
            return _NONE
        mask_names = self._mask_names.get(descriptor.full_name)
        if mask_names is None:
            by_proto_name = dict(descriptor.fields_by_name)
            names = by_proto_name | self._names_of(descriptor)
            snake_cased = {snake_case(name): field for name, field in names.items()}
            mask_names = self._mask_names[descriptor.full_name] = snake_cased | by_proto_name
        return mask_names


def _has_subfields(field: FieldDescriptor) -> bool:
    """Whether a mask can have paths below this field: it is a singular message without special JSON."""
    return (
        is_message(field) and not field.is_repeated and message_type(field).full_name not in SPECIAL
    )
