"""`google.api.HttpRule` -> bindings of HTTP requests to RPC methods.

Source: google/api/http.proto. A rule yields one binding, and one for each of its `additional_bindings`. All
field paths are resolved here, not per request. One extension to http.proto: `body` and `response_body` may be
dotted paths, as in Envoy and grpc-gateway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.contract.errors import ContractError
from gateway.contract.fields import FieldPath, resolve
from gateway.contract.http_methods import CONNECT, HTTP_METHODS
from gateway.contract.json_types import HTTP_BODY, TEXTUAL
from gateway.contract.method import Method
from gateway.contract.path_template import PathTemplate, TemplateError, Variable

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""The syntax of an HTTP method (RFC 9110, 5.6.2)."""

ANY_METHOD: Final = "*"
"""The kind of a custom pattern that matches every HTTP method."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """The target of a request body: the request message, or one of its fields."""

    path: FieldPath
    """Path of the field; empty: the request message (`body: "*"`)."""

    @property
    def field(self) -> FieldDescriptor | None:
        """The field that the body sets; None: the request message."""
        return self.path[-1] if self.path else None


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """An HTTP method and a path template, bound to an RPC method."""

    method: Method
    http_method: str
    """`GET`, …, or the kind of a custom pattern; `*` is any method."""
    template: PathTemplate
    variables: tuple[tuple[Variable, FieldPath], ...]
    """Variables of the template, with the fields that they set."""
    body: Body | None
    """None: requests have no body."""
    response_path: FieldPath
    """Path of the field that is the response body; empty: the response message."""
    route: str = field(init=False)
    """The path template, as text; empty if the contract does not know the method: it is no label."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "route", "" if self.method.unknown_path else str(self.template))

    @property
    def response_body(self) -> FieldDescriptor | None:
        """The field that is the response body; None: the response message."""
        return self.response_path[-1] if self.response_path else None

    def __str__(self) -> str:
        return f"{self.http_method} {self.template}"


def rules(rule: HttpRule | None) -> tuple[HttpRule, ...]:
    """Returns a rule and its additional bindings, in order; empty for None."""
    return () if rule is None else (rule, *rule.additional_bindings)


def merge_rules(rules: Iterable[HttpRule]) -> HttpRule | None:
    """Returns the first rule, with the others as its additional bindings; the inverse of `rules`."""
    copies: list[HttpRule] = []
    for rule in rules:
        copy = HttpRule()
        copy.CopyFrom(rule)
        del copy.additional_bindings[:]
        copies.append(copy)
    if not copies:
        return None
    copies[0].additional_bindings.extend(copies[1:])
    return copies[0]


def _binding_or_error(method: Method, rule: HttpRule) -> Binding | ContractError:
    try:
        return _binding(method, rule)
    except ValueError as error:
        return ContractError(str(error), location=method.location, subject=method.full_name)


def bindings(method: Method) -> Iterator[Binding | ContractError]:
    """Yields the bindings of a method in the order of the contract; none if it has no rule.

    For an invalid binding its error is yielded instead. An error about the rule as a whole comes last.
    """
    if method.rule is None:
        return
    for rule in rules(method.rule):
        yield _binding_or_error(method, rule)
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
    binding = Binding(
        method=method,
        http_method=http_method,
        template=template,
        variables=variables,
        body=_body(method, rule.body),
        response_path=_named_field("response_body", method.output, rule.response_body),
    )
    if not accepts_websocket(binding):
        _check_sendable(http_method)
    return binding


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


def _check_sendable(kind: str) -> None:
    """Raises ValueError for an HTTP method that no request can have."""
    if is_sendable(kind):
        return
    subject = f"the kind {kind!r} of the custom pattern"
    if kind == CONNECT:
        raise ValueError(f"{subject} cannot be sent to a path: it names a host (RFC 9110, 9.3.6)")
    known = f"one of {', '.join(sorted(HTTP_METHODS))}, or {ANY_METHOD!r} for all of them"
    if kind.upper() in HTTP_METHODS:
        known = f"HTTP methods are case-sensitive: write {kind.upper()!r}"
    raise ValueError(f"{subject} is no HTTP method that a request can have here; {known}")


def is_sendable(http_method: str) -> bool:
    """Whether an HTTP request can have the HTTP method of a binding."""
    return http_method == ANY_METHOD or http_method in HTTP_METHODS


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
    return Body(() if name == "*" else _named_field("body", method.input, name))


def _named_field(option: str, message: Descriptor, name: str) -> FieldPath:
    """Resolves the value of `body` or `response_body`; empty: no path."""
    if not name:
        return ()
    try:
        return resolve(message, name)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def request_body_type(binding: Binding) -> Descriptor | None:
    """Returns the message type of the request body; None: no body, or not a singular message."""
    if binding.body is None:
        return None
    field = binding.body.field
    return binding.method.input if field is None else _single_type(field)


def response_type(binding: Binding) -> Descriptor | None:
    """Returns the message type of the response body; None: not a singular message."""
    field = binding.response_body
    return binding.method.output if field is None else _single_type(field)


def accepts_websocket(binding: Binding) -> bool:
    """Whether a WebSocket handshake can use a binding: a side streams, and both bodies are JSON."""
    raw = is_http_body(request_body_type(binding)) or is_http_body(response_type(binding))
    return binding.method.streams and not raw


def _single_type(field: FieldDescriptor) -> Descriptor | None:
    return None if field.is_repeated else field.message_type


def is_http_body(descriptor: Descriptor | None) -> bool:
    """Whether a body of this type is raw data, not JSON (google/api/httpbody.proto)."""
    return descriptor is not None and descriptor.full_name == HTTP_BODY
