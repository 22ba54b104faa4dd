"""A contract as an OpenAPI 3.1 document, with the comments of the .proto as descriptions.

The document is that of one process: it depends on the process's JSON options. A streaming method has a schema
of its messages for each framing. WebSockets are mentioned in the description, since OpenAPI cannot describe
them.

Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from google.rpc.status_pb2 import Status

from gateway import __version__
from gateway.contract.descriptors import Contract
from gateway.contract.field_options import field_annotations
from gateway.contract.http_rule import (
    ANY_METHOD,
    Binding,
    is_http_body,
    request_body_type,
    response_type,
)
from gateway.contract.json_options import JsonOptions
from gateway.contract.method import Method
from gateway.render.json_schema import ResponseSchemas, Schema
from gateway.render.openapi_parameters import (
    bound_paths,
    path_of,
    path_parameters,
    query_parameters,
)
from gateway.render.request_schema import RequestSchemas

_OPERATIONS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_NAME: Final = re.compile(r"{[^}]*}")
_PROBLEM: Final = "problem-details"
_NOTICE: Final = "stream-notice"
"""Names of further components; with a hyphen they cannot be names of messages."""


def render_openapi(
    contract: Contract,
    bindings: Sequence[Binding],
    *,
    title: str,
    options: JsonOptions = JsonOptions(),  # noqa: B008 - it is frozen
    ignore_unknown: bool = False,
) -> dict[str, Any]:
    """Returns the document of a contract.

    Args:
        contract: types and comments.
        bindings: the served bindings, in the order of the contract.
        title: title of the document.
        options: default JSON options of the process.
        ignore_unknown: whether the process ignores unknown fields in requests.
    """
    response_schemas = ResponseSchemas(contract, options)
    responses = [_Responses(response_schemas, contract).of(binding) for binding in bindings]
    requests = RequestSchemas(
        contract, options, response_schemas.components, ignore_unknown=ignore_unknown
    )
    ids = _operation_ids(bindings)
    paths: dict[str, dict[str, Any]] = {}
    shapes: dict[str, tuple[str, list[str]]] = {}
    for binding, binding_responses, operation_id in zip(bindings, responses, ids, strict=True):
        named_path = path_of(binding)
        # paths that differ only in parameter names are one path in OpenAPI (4.8.8.2); the first names count
        path, names = shapes.setdefault(_NAME.sub("{}", named_path[0]), named_path)
        for name in _operations(binding):
            operation = _operation(binding, requests, names) | {"responses": binding_responses}
            operations = paths.setdefault(path, {})
            if binding.http_method != ANY_METHOD:
                operations[name] = {"operationId": operation_id} | operation
            elif name not in operations:  # a binding of that HTTP method has precedence
                operations[name] = {"operationId": f"{operation_id}-{name}"} | operation
    components = response_schemas.components | requests.components
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__},
        "tags": list(_tags(contract, bindings)),
        "paths": {path: operations for path, operations in paths.items() if operations},
        "components": {"schemas": dict(sorted(components.items()))},
    }


def _operations(binding: Binding) -> tuple[str, ...]:
    """Returns the binding's HTTP methods in OpenAPI's spelling; empty for a custom HTTP method."""
    if binding.http_method == ANY_METHOD:
        return _OPERATIONS
    name = binding.http_method.lower()
    return (name,) if name in _OPERATIONS else ()


def _operation_ids(bindings: Sequence[Binding]) -> Iterator[str]:
    """Yields an operation id for each binding, independent of the bindings of other methods.

    It is the method's full name with underscores, and a suffix `-2`, … for additional bindings (names in a
    .proto have no hyphen). If two methods have the same name with underscores (`a_b.C.D` and `a.b_C.D`), the
    ids have dots.
    """
    names = {binding.method.full_name for binding in bindings}
    same = Counter(name.replace(".", "_") for name in names)
    count: Counter[str] = Counter()
    for binding in bindings:
        name = binding.method.full_name
        count[name] += 1
        short = name.replace(".", "_")
        base = short if same[short] == 1 else name
        yield base if count[name] == 1 else f"{base}-{count[name]}"


def _tags(contract: Contract, bindings: Sequence[Binding]) -> Iterator[dict[str, str]]:
    for name in dict.fromkeys(binding.method.service_name for binding in bindings):
        yield {"name": name, "description": contract.comments.get(name, "")}


def _operation(binding: Binding, requests: RequestSchemas, names: list[str]) -> dict[str, Any]:
    method = binding.method
    summary, _, _ = method.comment.partition("\n")
    description = _description(binding)
    operation: dict[str, Any] = {
        "tags": [method.service_name],
        "summary": summary,
        **({"description": description} if description != summary else {}),
        "parameters": [
            *path_parameters(binding, names, requests),
            *query_parameters(binding, requests),
        ],
    }
    if (binding.body is not None or method.stream_type.client) and not _is_provided(binding):
        operation["requestBody"] = _request_body(binding, requests)
    if _is_deprecated(method):
        operation["deprecated"] = True
    return operation


def _is_provided(binding: Binding) -> bool:
    """Whether the path sets the whole target of the body, or excludes it by a oneof."""
    body = binding.body.path if binding.body is not None else ()
    return any(body[: len(path)] == path for path in bound_paths(binding))


def _is_deprecated(method: Method) -> bool:
    return method.deprecated or method.descriptor.containing_service.GetOptions().deprecated


def _description(binding: Binding) -> str:
    method = binding.method
    text = method.comment
    raw = is_http_body(request_body_type(binding)) or is_http_body(response_type(binding))
    if method.streams and not raw:
        text += (
            f"\n\nA streaming method: `{binding.template}` also takes a WebSocket handshake, in the"
            " subprotocol `grpc-json.v1` or `grpc-json-envelope.v1`."
        )
    return text.strip()


_RAW: Final[dict[str, Any]] = {"*/*": {}}
"""The data of an HttpBody, of any media type."""


def _request_body(binding: Binding, requests: RequestSchemas) -> dict[str, Any]:
    if is_http_body(request_body_type(binding)):
        return {"content": _RAW}
    schema, required = _body_schema(binding, requests)
    if binding.method.stream_type.client:
        return {
            "content": {
                "application/x-ndjson": {"schema": schema},
                "application/json": {"schema": {"type": "array", "items": schema}},
                "application/json-seq": {"schema": schema},
            }
        }
    body: dict[str, Any] = {"content": {"application/json": {"schema": schema}}}
    return body | {"required": True} if required else body


def _body_schema(binding: Binding, requests: RequestSchemas) -> tuple[Schema, bool]:
    """Returns the schema of a JSON body, and whether the body is required."""
    bound = bound_paths(binding)
    body = binding.body.path if binding.body is not None else ()
    if not body:
        message = binding.method.input
        required = any(
            field_annotations(field).required and not any(path[0] == field for path in bound)
            for field in message.fields
        )
        return requests.without(message, bound), required
    required = all(field_annotations(field).required for field in body)
    below = [path[len(body) :] for path in bound if path[: len(body)] == body]
    return requests.body_field(body[-1], below), required


@dataclass(frozen=True, slots=True)
class _Responses:
    """Makes the responses of operations."""

    schemas: ResponseSchemas
    contract: Contract

    def of(self, binding: Binding) -> dict[str, Any]:
        """Returns the responses of one binding."""
        return {
            "200": {"description": "OK", "content": self._content(binding)},
            "default": {
                "description": "The call failed; `code` is the gRPC status code.",
                "content": {
                    "application/json": {"schema": self.schemas.message(self._status())},
                    "application/problem+json": {"schema": self._problem()},
                },
            },
        }

    def _content(self, binding: Binding) -> dict[str, Any]:
        if is_http_body(response_type(binding)):
            return _RAW
        field = binding.response_body
        schema = (
            self.schemas.message(binding.method.output)
            if field is None
            else self.schemas.field(field)
        )
        if not binding.method.stream_type.server:
            return {"application/json": {"schema": schema}}
        item = {"anyOf": [schema, self._notice()]}
        return {
            "application/x-ndjson": {"schema": item},
            "text/event-stream": {"schema": schema},
            "application/json": {"schema": {"type": "array", "items": item}},
            "application/json-seq": {"schema": item},
        }

    def _status(self) -> Descriptor:
        descriptor: Descriptor = self.contract.pool.FindMessageTypeByName(
            Status.DESCRIPTOR.full_name
        )
        return descriptor

    def _problem(self) -> Schema:
        status = self._status()
        return self.schemas.add(
            _PROBLEM,
            {
                "type": "object",
                "description": "Problem details (RFC 9457), if `Accept` asks for them.",
                "properties": {
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "code": {"type": "integer", "description": "The gRPC status code."},
                    "details": self.schemas.field(status.fields_by_name["details"]),
                },
                "required": ["title", "status", "detail", "code"],
            },
        )

    def _notice(self) -> Schema:
        gap = {
            "type": "object",
            "properties": {
                "missed": {"type": "integer", "format": "uint32"},
                "restarted": {"type": "boolean"},
            },
        }
        return self.schemas.add(
            _NOTICE,
            {
                "description": "An item of a stream that is not a message: the `google.rpc.Status` of a"
                " failed call, which comes last, or a `gateway.v1.Gap` in place of missing messages."
                " In `text/event-stream` they are events of type `error` and `gap`.",
                "anyOf": [
                    _as_any("google.rpc.Status", self.schemas.message(self._status())),
                    _as_any("gateway.v1.Gap", gap),
                ],
            },
        )


def _as_any(name: str, schema: Schema) -> Schema:
    """Returns the schema of a message in a `google.protobuf.Any`."""
    kind = {"type": "string", "enum": [f"type.googleapis.com/{name}"]}
    url = {"type": "object", "properties": {"@type": kind}, "required": ["@type"]}
    return {"allOf": [schema, url]}
