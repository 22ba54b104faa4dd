"""The contract as an OpenAPI 3.1 document; the comments of the .proto are its descriptions.

Source: OpenAPI Specification 3.1.1. A method of which a side streams is described by its messages, in each
framing that the edge speaks; that a WebSocket is there too is said in words, for OpenAPI has none for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc.status_pb2 import Status

from gateway import __version__
from gateway.contract.descriptors import Contract
from gateway.contract.fields import FieldPath, is_message, message_type
from gateway.contract.http_rule import (
    ANY_METHOD,
    Binding,
    answer_type,
    body_type,
    is_http_body,
)
from gateway.contract.json_types import TEXTUAL
from gateway.contract.path_template import WILDCARDS
from gateway.render.json_schema import Schema, Schemas

_OPERATIONS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_MAX_QUERY_DEPTH: Final = 4
_NAME: Final = re.compile(r"{[^}]*}")


def render_openapi(
    contract: Contract, bindings: Sequence[Binding], *, title: str
) -> dict[str, Any]:
    """Returns the document for the bindings of a contract."""
    schemas = Schemas(contract.comments)
    paths: dict[str, dict[str, Any]] = {}
    shapes: dict[str, tuple[str, list[Schema]]] = {}
    for binding in bindings:
        found = _path(binding, schemas)
        # paths that differ in names alone are one path to OpenAPI (4.8.8.2), named as it first was
        path, parameters = shapes.setdefault(_NAME.sub("{}", found[0]), found)
        for operation in _operations(binding):
            paths.setdefault(path, {}).setdefault(
                operation, _operation(binding, schemas, parameters, contract)
            )
    _unique_operation_ids(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__},
        "tags": list(_tags(contract, bindings)),
        "paths": paths,
        "components": {"schemas": schemas.components},
    }


def _operations(binding: Binding) -> tuple[str, ...]:
    """Returns OpenAPI's names for the HTTP methods; it has none for a method of one's own."""
    if binding.http_method == ANY_METHOD:
        return _OPERATIONS
    name = binding.http_method.lower()
    return (name,) if name in _OPERATIONS else ()


def _tags(contract: Contract, bindings: Sequence[Binding]) -> Iterator[dict[str, str]]:
    for name in dict.fromkeys(binding.method.service_name for binding in bindings):
        yield {"name": name, "description": contract.comments.get(name, "")}


def _path(binding: Binding, schemas: Schemas) -> tuple[str, list[Schema]]:
    """Returns OpenAPI's path and the parameters in it.

    OpenAPI has no pattern for a parameter, so each wildcard is one of its own:
    `/v1/{name=shelves/*/books/*}` is `/v1/shelves/{name}/books/{name_1}`.
    """
    template = binding.template
    segments: list[str] = []
    parameters: list[Schema] = []
    used: Counter[str] = Counter()
    for index, segment in enumerate(template.segments):
        if segment in WILDCARDS:
            base, schema = _wildcard(binding, schemas, index)
            name = f"{base}_{used[base]}" if used[base] else base
            used[base] += 1
            parameters.append(_parameter(name, "path", schema))
            segments.append(f"{{{name}}}")
        else:
            segments.append(segment)
    verb = f":{template.verb}" if template.verb else ""
    return "/" + "/".join(segments) + verb, parameters


def _wildcard(binding: Binding, schemas: Schemas, index: int) -> tuple[str, Schema]:
    """Returns the name of the variable that a wildcard is in, and the schema of what it takes."""
    for variable, path in binding.variables:
        if variable.start <= index < variable.end:
            name = variable.field_path
            if not variable.multi_segment:
                return name, schemas.field(path[-1])
            pattern = "/".join(binding.template.segments[variable.start : variable.end])
            return name, {
                "type": "string",
                "description": f"Part of `{name}`, which is `{pattern}`.",
            }
    return "segment", {"type": "string"}


def _parameter(name: str, place: str, schema: Schema) -> Schema:
    description = schema.pop("description", "")
    parameter: Schema = {"name": name, "in": place, "schema": schema}
    if description:
        parameter["description"] = description
    if place == "path":
        parameter["required"] = True
    return parameter


def _operation(
    binding: Binding, schemas: Schemas, parameters: list[Schema], contract: Contract
) -> dict[str, Any]:
    method = binding.method
    summary, _, _ = method.comment.partition("\n")
    operation: dict[str, Any] = {
        "operationId": method.full_name.replace(".", "_"),
        "tags": [method.service_name],
        "summary": summary,
        "description": _description(binding),
        "parameters": [*parameters, *_query_parameters(binding, schemas)],
        "responses": {
            "200": {"description": "OK", "content": _response_content(binding, schemas)},
            "default": {
                "description": "The call failed; `code` is the gRPC status code.",
                "content": {
                    "application/json": {"schema": schemas.message(_status_type(contract))}
                },
            },
        },
    }
    if binding.body is not None:
        operation["requestBody"] = {"content": _request_content(binding, schemas)}
    if method.deprecated:
        operation["deprecated"] = True
    return operation


def _status_type(contract: Contract) -> Descriptor:
    descriptor: Descriptor = contract.pool.FindMessageTypeByName(Status.DESCRIPTOR.full_name)
    return descriptor


def _description(binding: Binding) -> str:
    method = binding.method
    text = method.comment
    raw = is_http_body(body_type(binding)) or is_http_body(answer_type(binding))
    if method.stream_type.value and not raw:
        text += (
            f"\n\nA streaming method: `{binding.template}` also takes a WebSocket handshake, in the"
            " subprotocol `grpc-json.v1` or `grpc-json-envelope.v1`."
        )
    return text.strip()


_RAW: Final[dict[str, Any]] = {"*/*": {}}
"""The data of an HttpBody: whatever it says that it is."""


def _request_content(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    if is_http_body(body_type(binding)):
        return _RAW
    field = binding.body.field if binding.body else None
    schema = schemas.message(binding.method.input) if field is None else schemas.field(field)
    if not binding.method.stream_type.client:
        return {"application/json": {"schema": schema}}
    return {
        "application/x-ndjson": {"schema": schema},
        "application/json": {"schema": {"type": "array", "items": schema}},
        "application/json-seq": {"schema": schema},
    }


def _response_content(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    if is_http_body(answer_type(binding)):
        return _RAW
    field = binding.response_body
    schema = schemas.message(binding.method.output) if field is None else schemas.field(field)
    if not binding.method.stream_type.server:
        return {"application/json": {"schema": schema}}
    return {
        "application/x-ndjson": {"schema": schema},
        "text/event-stream": {"schema": schema},
        "application/json": {"schema": {"type": "array", "items": schema}},
        "application/json-seq": {"schema": schema},
    }


def _query_parameters(binding: Binding, schemas: Schemas) -> Iterator[Schema]:
    if binding.body is not None and binding.body.field is None:
        return
    taken = [path for _, path in binding.variables]
    if binding.body is not None:
        taken.append(binding.body.path)
    for path in _leaves(binding.method.input, ()):
        if not any(path[: len(bound)] == bound for bound in taken):
            name = ".".join(field.json_name for field in path)
            yield _parameter(name, "query", schemas.field(path[-1]))


def _leaves(message: Descriptor, above: FieldPath) -> Iterator[FieldPath]:
    """Yields what a query can name; a type that holds itself has no end, and is cut where it recurs."""
    for field in message.fields:
        path = (*above, field)
        if not is_message(field) or message_type(field).full_name in TEXTUAL:
            yield path
        elif not field.is_repeated and _goes_on(path):
            yield from _leaves(message_type(field), path)


def _goes_on(path: tuple[FieldDescriptor, ...]) -> bool:
    name = message_type(path[-1]).full_name
    recurs = any(field.containing_type is message_type(path[-1]) for field in path)
    return not recurs and len(path) < _MAX_QUERY_DEPTH and not name.startswith("google.protobuf.")


def _unique_operation_ids(paths: dict[str, dict[str, Any]]) -> None:
    seen: dict[str, int] = {}
    for operations in paths.values():
        for operation in operations.values():
            name = operation["operationId"]
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                operation["operationId"] = f"{name}_{seen[name]}"
