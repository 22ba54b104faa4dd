"""The OpenAPI parameters of a binding: in the path and in the query.

Sources: OpenAPI Specification 3.1.1, 4.8.12; google/api/http.proto. Query parameters are the fields that
    neither
path nor body set: scalars, messages whose JSON is a scalar, and lists of both; fields of nested messages with
dotted names; `Value`, `Struct` and `ListValue` as JSON; maps as `name[key]=value`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.contract.field_options import field_annotations, is_alternative
from gateway.contract.fields import (
    FieldPath,
    is_message,
    map_entry,
    message_type,
    overlap,
    shared_oneof,
)
from gateway.contract.http_rule import Binding
from gateway.contract.json_types import ANY, FIELD_MASK, JSON_VALUES, TEXTUAL
from gateway.contract.path_template import WILDCARDS, Variable
from gateway.render.json_schema import Schema
from gateway.render.request_schema import RequestSchemas

_NAME: Final = re.compile(r"[^.\[\]]+")
"""One step of a parameter name in a query."""
_MAX_PARAMETERS: Final = 1000
"""Maximum query parameters in the document; the edge has the same limit per request."""


def path_of(binding: Binding) -> tuple[str, list[str]]:
    """Returns the path in OpenAPI's syntax, and the names of its parameters.

    OpenAPI has no patterns, so each wildcard is a parameter: `/v1/{name=shelves/*/books/*}` becomes
    `/v1/shelves/{name}/books/{name_1}`. Dots become underscores, since some tools misread them: `{book.name}`
    is `{book_name}`.
    """
    template = binding.template
    segments: list[str] = []
    names: list[str] = []
    reserved = {_parameter_name(variable) for variable, _ in binding.variables}
    for index, segment in enumerate(template.segments):
        if segment in WILDCARDS:
            names.append(_unused(_base_name(binding, index), names, reserved))
            segments.append(f"{{{names[-1]}}}")
        else:
            segments.append(segment)
    verb = f":{template.verb}" if template.verb else ""
    return "/" + "/".join(segments) + verb, names


def path_parameters(binding: Binding, names: list[str], schemas: RequestSchemas) -> list[Schema]:
    """Returns the path parameters.

    Args:
        binding: the binding.
        names: the names in the path, which may come from another binding with the same path.
        schemas: schemas of requests.
    """
    wildcards = [
        index for index, segment in enumerate(binding.template.segments) if segment in WILDCARDS
    ]
    return [
        _parameter(name, "path", _wildcard_schema(binding, index, schemas), required=True)
        for name, index in zip(names, wildcards, strict=True)
    ]


def bound_paths(binding: Binding) -> tuple[FieldPath, ...]:
    """Returns the fields that the path sets, and the fields that these exclude by a oneof."""
    paths: list[FieldPath] = []
    for _, path in binding.variables:
        paths.append(path)
        for index, field in enumerate(path):
            if shared_oneof(field) and field.containing_oneof is not None:
                others = (other for other in field.containing_oneof.fields if other != field)
                paths += [(*path[:index], other) for other in others]
    return tuple(paths)


def query_parameters(binding: Binding, schemas: RequestSchemas) -> Iterator[Schema]:
    """Yields the query parameters."""
    bound = bound_paths(binding)
    if binding.body is not None:
        if not binding.body.path:
            return
        bound = (*bound, binding.body.path)
    for path in islice(_leaves(binding.method.input, bound), _MAX_PARAMETERS):
        yield _query_parameter(path, schemas, required=_is_required(binding, path))


def _unused(base: str, names: list[str], reserved: set[str]) -> str:
    """Returns `base`, or `base_N` if another parameter of the path has or will have that name."""
    name, count = base, 0
    while name in names or (count and name in reserved):
        count += 1
        name = f"{base}_{count}"
    return name


def _base_name(binding: Binding, index: int) -> str:
    for variable, _ in binding.variables:
        if variable.start <= index < variable.end:
            return _parameter_name(variable)
    return "segment"


def _parameter_name(variable: Variable) -> str:
    return variable.field_path.replace(".", "_")


def _wildcard_schema(binding: Binding, index: int, schemas: RequestSchemas) -> Schema:
    for variable, path in binding.variables:
        if variable.start <= index < variable.end:
            if not variable.multi_segment:
                return _not_empty(schemas.text(path[-1]))
            pattern = "/".join(binding.template.segments[variable.start : variable.end])
            name = variable.field_path
            return {
                "type": "string",
                "minLength": 1,
                "description": f"Part of `{name}`, which is `{pattern}`.",
            }
    return {"type": "string", "minLength": 1}


def _not_empty(schema: Schema) -> Schema:
    """Returns the schema of a path segment, which is never empty."""
    free_text = schema.get("type") == "string" and not schema.keys() & {"enum", "format"}
    return schema | {"minLength": 1} if free_text else schema


def _parameter(name: str, location: str, schema: Schema, *, required: bool) -> Schema:
    parameter: Schema = {"name": name, "in": location}
    for keyword in ("description", "deprecated"):
        if keyword in schema:
            parameter[keyword] = schema.pop(keyword)
    for keyword in ("readOnly", "writeOnly"):  # keywords for properties only
        schema.pop(keyword, None)
    if required:
        parameter["required"] = True
    return parameter | {"schema": schema}


def _query_parameter(path: FieldPath, schemas: RequestSchemas, *, required: bool) -> Schema:
    field = path[-1]
    name = ".".join(_query_name(step, schemas) for step in path)
    if map_entry(field):
        schema = schemas.map_of_texts(field)
        return _parameter(name, "query", schema, required=required) | {
            "style": "deepObject",
            "explode": True,
        }
    if not field.is_repeated and is_message(field) and _type_name(field) in JSON_VALUES:
        parameter = _parameter(name, "query", schemas.json_text(field), required=required)
        return parameter | {"content": {"application/json": {"schema": parameter.pop("schema")}}}
    return _parameter(name, "query", schemas.text(field), required=required)


def _query_name(field: FieldDescriptor, schemas: RequestSchemas) -> str:
    """Returns a field's name in a query: as in JSON, or the proto name if the former is ambiguous there."""
    name = schemas.name(field)
    message = field.containing_type
    other = message.fields_by_name.get(name) if message is not None else None
    return name if other in (None, field) and _NAME.fullmatch(name) else field.name


def _is_required(binding: Binding, path: FieldPath) -> bool:
    """Whether the parameter is required: the field is, and so are all messages around it."""
    return not _is_inferred(binding, path) and all(
        field_annotations(field).required and not is_alternative(field) for field in path
    )


def _is_inferred(binding: Binding, path: FieldPath) -> bool:
    """Whether the field is the mask of a PATCH, which the edge can make from the body."""
    field = path[-1]
    is_mask = is_message(field) and _type_name(field) == FIELD_MASK
    return is_mask and len(path) == 1 and binding.http_method == "PATCH"


def _leaves(message: Descriptor, bound: Collection[FieldPath]) -> Iterator[FieldPath]:
    """Yields the fields that a query can set, those of outer messages first.

    A recursive type is expanded once.
    """
    waiting: deque[tuple[Descriptor, FieldPath]] = deque([(message, ())])
    while waiting:
        descriptor, above = waiting.popleft()
        for field in descriptor.fields:
            path = (*above, field)
            if path in bound or field_annotations(field).output_only:
                continue
            if _is_leaf(field):
                if not any(overlap(path, other) for other in bound):
                    yield path
            elif not field.is_repeated and _descends(path, message):
                waiting.append((message_type(field), path))


def _is_leaf(field: FieldDescriptor) -> bool:
    if not is_message(field):
        return True
    entry = map_entry(field)
    value = entry[1] if entry else field
    return not is_message(value) or _type_name(value) in TEXTUAL | JSON_VALUES or _is_empty(field)


def _is_empty(field: FieldDescriptor) -> bool:
    """Whether the field is a singular message without fields, such as `google.protobuf.Empty`."""
    return not field.is_repeated and not message_type(field).fields


def _descends(path: FieldPath, message: Descriptor) -> bool:
    descriptor = message_type(path[-1])
    above = (message, *(message_type(field) for field in path[:-1]))
    return descriptor not in above and descriptor.full_name != ANY


def _type_name(field: FieldDescriptor) -> str:
    return message_type(field).full_name
