"""`google.api.HttpRule` -> bindings: which request reaches which method, and what goes where.

Source: google/api/http.proto. One rule yields one binding and one more for each of its
`additional_bindings`; all field paths are resolved here, so that what a request does is look-ups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.contract.errors import ContractError
from gateway.contract.fields import FieldPath, resolve
from gateway.contract.json_types import HTTP_BODY, TEXTUAL
from gateway.contract.method import Method
from gateway.contract.path_template import PathTemplate, TemplateError, Variable

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""What a method can be called (RFC 9110, 5.6.2)."""

ANY_METHOD: Final = "*"
"""The kind of a custom pattern that every HTTP method matches."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Where the HTTP body of a request goes: the whole message, or one top-level field of it."""

    field: FieldDescriptor | None
    """None means the whole message (`body: "*"`)."""


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """One HTTP method and one path template, bound to one RPC."""

    method: Method
    http_method: str
    """`GET`, …, the kind of a custom pattern as it is written, or `*` for all."""
    template: PathTemplate
    variables: tuple[tuple[Variable, FieldPath], ...]
    body: Body | None
    """None means that a request has no body."""
    response_body: FieldDescriptor | None
    """The field that is the whole body of the answer; None means the message itself."""

    def __str__(self) -> str:
        return f"{self.http_method} {self.template}"


def bindings(method: Method) -> Iterator[Binding | ContractError]:
    """Yields the bindings of `method` in the order of the contract; none where it has no rule.

    In the place of a binding whose rule is wrong stands the error that says how.
    """
    if method.rule is None:
        return
    for rule in (method.rule, *method.rule.additional_bindings):
        try:
            yield _binding(method, rule)
        except ValueError as error:
            yield ContractError(str(error), location=method.location, subject=method.full_name)
    if any(rule.additional_bindings for rule in method.rule.additional_bindings):
        yield ContractError(
            "additional_bindings inside additional_bindings: they nest one level only",
            location=method.location,
            subject=method.full_name,
        )


def _binding(method: Method, rule: HttpRule) -> Binding:
    http_method, path = _pattern(rule)
    template = PathTemplate.parse(path)
    variables = tuple(
        (variable, _variable_field(method, path, variable)) for variable in template.variables
    )
    return Binding(
        method=method,
        http_method=http_method,
        template=template,
        variables=variables,
        body=_body(method, rule.body),
        response_body=_response_body(method, rule.response_body),
    )


def _pattern(rule: HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise ValueError(
            "the http rule has no pattern: one of get, put, post, delete, patch, custom"
        )
    if kind != "custom":
        return kind.upper(), getattr(rule, kind)
    if not _TOKEN.fullmatch(rule.custom.kind):
        raise ValueError(f"the kind {rule.custom.kind!r} of the custom pattern is no HTTP method")
    return rule.custom.kind, rule.custom.path


def _variable_field(method: Method, template: str, variable: Variable) -> FieldPath:
    try:
        path = resolve(method.input, variable.field_path)
        _check_captured(path[-1])
    except ValueError as error:
        raise TemplateError(str(error), template, variable.column) from error
    return path


def _check_captured(leaf: FieldDescriptor) -> None:
    if leaf.is_repeated:
        raise ValueError(f"{leaf.full_name} is a repeated field, which a path cannot capture")
    if leaf.message_type is not None and leaf.message_type.full_name not in TEXTUAL:
        raise ValueError(f"{leaf.full_name} is a message, which a path cannot capture")


def _body(method: Method, name: str) -> Body | None:
    if not name:
        return None
    return Body(None if name == "*" else _top_level_field("body", method, name))


def _response_body(method: Method, name: str) -> FieldDescriptor | None:
    if not name:
        return None
    if name not in method.output.fields_by_name:
        raise ValueError(f"response_body: {method.output.full_name} has no field {name!r}")
    return method.output.fields_by_name[name]


def _top_level_field(option: str, method: Method, name: str) -> FieldDescriptor:
    if name not in method.input.fields_by_name:
        raise ValueError(f"{option}: {method.input.full_name} has no field {name!r}")
    return method.input.fields_by_name[name]


def body_type(binding: Binding) -> Descriptor | None:
    """Returns the message type of a request's body; None where it has none, or is no message."""
    if binding.body is None:
        return None
    field = binding.body.field
    return binding.method.input if field is None else _single_type(field)


def answer_type(binding: Binding) -> Descriptor | None:
    """Returns the message type of an answer's body; None where it is no message."""
    field = binding.response_body
    return binding.method.output if field is None else _single_type(field)


def _single_type(field: FieldDescriptor) -> Descriptor | None:
    return None if field.is_repeated else field.message_type


def is_http_body(descriptor: Descriptor | None) -> bool:
    """Whether a body of this type is data, and not JSON (google/api/httpbody.proto)."""
    return descriptor is not None and descriptor.full_name == HTTP_BODY
