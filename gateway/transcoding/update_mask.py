"""The `update_mask` of a PATCH whose body is the resource: which fields of it the server is to change.

Source: AIP-134 ("if the mask is omitted, the service must treat it as the set of populated fields"). A mask
that the caller does not give is made of what the body has. What the decoder passed over (`ignore_unknown`) is
in no mask, made or given: the server would clear a field of which the caller gave a value.
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
    """Returns what completes the mask of a PATCH; None where the edge does not know which fields it names.

    It knows where the body is one message of the request, and the request has exactly one FieldMask.
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
    """Completes the mask of requests to one binding."""

    def __init__(self, mask: FieldDescriptor, resource: FieldPath) -> None:
        """Takes the field that is the mask, and the one that is the body."""
        self._mask = mask
        self._resource = resource
        self._type = message_type(resource[-1])
        self._names: dict[str, dict[str, FieldDescriptor]] = {}
        """Full name of a message -> its fields by their names in JSON."""
        self._spellings: dict[str, dict[str, FieldDescriptor]] = {}
        """The same by what is read of their names in a mask."""

    def complete(self, request: Any, body: Any) -> None:
        """Makes the mask of a request from its body, or mends the one that the caller gave.

        Args:
            request: all that the caller said; its mask is changed.
            body: the JSON value of the body, which has been read without a fault; None if there is none.
        """
        given = has_field(request, self._mask)
        if not given and not body:
            return
        paths: dict[str, bool] = dict(self._paths(self._type, body, "")) if body else {}
        mask = getattr(request, self._mask.name)
        if given:
            own = [self._proto_path(path) for path in mask.paths]
            mask.paths[:] = [path for path in own if paths.get(path, True)]
            return
        kept = [path for path, was_read in paths.items() if was_read]
        mask.paths.extend(kept)
        if not kept:  # which stands for all that is populated
            self._prune(descend(request, self._resource), self._type, body)

    def _paths(self, descriptor: Descriptor, value: Any, prefix: str) -> Iterator[tuple[str, bool]]:
        """Yields the path of each field that a JSON object has, and whether its value was read."""
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
        """Takes back the messages of a JSON object in which nothing was read."""
        names = self._names_of(descriptor)
        for key, item in value.items():
            field = names.get(key) or descriptor.fields_by_name.get(key)
            if field is None or not _has_subfields(field) or not isinstance(item, dict):
                continue
            child = getattr(message, field.name)
            self._prune(child, message_type(field), item)
            if not type(child).ListFields(child):  # the path may have set something in it
                type(message).ClearField(message, field.name)

    def _names_of(self, descriptor: Descriptor) -> dict[str, FieldDescriptor]:
        names = self._names.get(descriptor.full_name)
        if names is None:
            own = json_names(descriptor)
            names = {own[field.name]: field for field in descriptor.fields}
            self._names[descriptor.full_name] = names
        return names

    def _proto_path(self, path: str) -> str:
        """Returns a path by the fields' own names.

        A mask is read without its type, so `HTTPCode` came as `_h_t_t_p_code` and `line2` for `line_2`. What
        is no field here is left as it is, for the server to judge.
        """
        steps = path.split(".")
        descriptor: Descriptor | None = self._type
        for index, step in enumerate(steps):
            field = self._spellings_of(descriptor).get(step)
            if field is None:
                break
            steps[index] = field.name
            descriptor = message_type(field) if _has_subfields(field) else None
        return ".".join(steps)

    def _spellings_of(self, descriptor: Descriptor | None) -> dict[str, FieldDescriptor]:
        if descriptor is None:
            return _NONE
        spellings = self._spellings.get(descriptor.full_name)
        if spellings is None:
            own = dict(descriptor.fields_by_name)
            names = self._names_of(descriptor)
            spellings = {snake_case(name): field for name, field in (own | names).items()} | own
            self._spellings[descriptor.full_name] = spellings
        return spellings


def _has_subfields(field: FieldDescriptor) -> bool:
    """Whether a mask can name fields within this one: it is one message, and not a special one."""
    return (
        is_message(field) and not field.is_repeated and message_type(field).full_name not in SPECIAL
    )
