"""OpenAPI documents of contracts, and questions to them."""

from __future__ import annotations

from typing import Any

import orjson
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from gateway.contract.bindings import bind
from gateway.contract.descriptors import Contract, load
from gateway.contract.json_options import JsonOptions
from gateway.render.openapi import render_openapi
from tests.contracts import compile_text

HEAD = """
package t;
import "gateway/v1/options.proto";
import "google/api/annotations.proto";
import "google/api/field_behavior.proto";
import "google/api/field_info.proto";
import "google/api/httpbody.proto";
import "google/protobuf/any.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
"""


def rendered(contract: Contract, options: JsonOptions | None = None, **how: Any) -> dict[str, Any]:
    """Returns the document, as a client gets it."""
    bound, problems = bind(contract.methods)
    assert not problems
    document: dict[str, Any] = orjson.loads(
        orjson.dumps(
            render_openapi(contract, bound, title="t", options=options or JsonOptions(), **how)
        )
    )
    return document


def document_of(
    text: str, options: JsonOptions | None = None, *, syntax: str = 'syntax = "proto3";'
) -> dict[str, Any]:
    """Returns the document of a contract in package `t`, given without its imports.

    It is valid to a validator that is not ours.
    """
    document = rendered(load(compile_text(syntax + HEAD + text)), options)
    validate(document)
    return document


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns all operations."""
    return [operation for path in document["paths"].values() for operation in path.values()]


def parameters(operation: dict[str, Any], place: str = "query") -> dict[str, Any]:
    """Returns the parameters of an operation that are in the query, or in the path."""
    return {each["name"]: each for each in operation["parameters"] if each["in"] == place}


def request_schema(operation: dict[str, Any]) -> Any:
    """Returns the schema of an operation's JSON body."""
    return operation["requestBody"]["content"]["application/json"]["schema"]


def answer_schema(operation: dict[str, Any]) -> Any:
    """Returns the schema of an operation's JSON answer."""
    return operation["responses"]["200"]["content"]["application/json"]["schema"]


def resolved(document: dict[str, Any], schema: Any) -> Any:
    """Returns a schema, or the component that it refers to."""
    if "$ref" not in schema:
        return schema
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]


def matches(document: dict[str, Any], schema: Any, value: Any) -> bool:
    """Whether a JSON value matches a schema of the document."""
    whole = {**schema, "components": document["components"]}
    return bool(Draft202012Validator(whole).is_valid(value))
