"""A request message -> the HTTP request that a binding turns into it: the inverse of the edge's transcoding.

Source: google/api/http.proto. Rule: without I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.contract.fields import FieldPath
from gateway.contract.http_rule import ANY_METHOD, Binding
from gateway.contract.json_types import HTTP_BODY
from gateway.contract.path_template import (
    DEEP_WILDCARD,
    WILDCARD,
    WILDCARDS,
    PathTemplate,
    Variable,
)
from gateway.transcoding.codec import print_json

_WHOLE: Final = frozenset(
    {"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"}
)
"""Types that a query gives as JSON."""


class NoRequest(Exception):
    """No binding of the method can carry a message; the text says why."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent."""

    method: str
    target: str
    """Path and query."""
    body: bytes | None
    """None: the binding has no body."""


def http_request(bindings: Sequence[Binding], value: Any) -> tuple[Binding, HttpRequest]:
    """Returns the first binding that can carry a message, and the request.

    Args:
        bindings: of one method, in the order of the contract.
        value: the message as JSON, as the specification prints it.

    Raises:
        NoRequest: there is none; the reasons of all are named.
    """
    reasons: list[str] = []
    for binding in bindings:
        try:
            return binding, _request(binding, value)
        except NoRequest as error:
            reasons.append(f"{binding}: {error}")
    raise NoRequest("; ".join(reasons) or "the method has no HTTP rule")


def body_of(binding: Binding, value: Any) -> bytes:
    """Returns the body part of a further message of a stream.

    Raises:
        NoRequest: it has fields that only path and query of the first message could carry.
    """
    if binding.body is None or not binding.body.path:
        return print_json(value)
    rest = deepcopy(value)
    inner = _pop(rest, binding.body.path)
    if rest:
        raise NoRequest(f"only the first message can have {', '.join(rest)}")
    return print_json({} if inner is None else inner)


def _request(binding: Binding, value: Any) -> HttpRequest:
    if not isinstance(value, dict):
        raise NoRequest("the message is no object in JSON")
    if HTTP_BODY in (_type(binding.method.input), _body_type(binding)):
        raise NoRequest("raw bytes are sent over gRPC, or by another client")
    rest = deepcopy(value)
    path = _path(binding, rest)
    body: bytes | None = None
    if binding.body is not None and not binding.body.path:
        body, rest = print_json(rest), {}
    elif binding.body is not None:
        inner = _pop(rest, binding.body.path)
        body = print_json({} if inner is None else inner)
    query = urlencode(list(_query(rest, binding.method.input, "")))
    method = binding.http_method
    if method == ANY_METHOD:
        method = "GET" if body is None else "POST"
    return HttpRequest(method, f"{path}?{query}" if query else path, body)


def _type(descriptor: Descriptor | None) -> str:
    return "" if descriptor is None else descriptor.full_name


def _body_type(binding: Binding) -> str:
    field = None if binding.body is None else binding.body.field
    return "" if field is None else _type(field.message_type)


def _path(binding: Binding, rest: dict[str, Any]) -> str:
    template = binding.template
    segments = list(template.segments)
    for variable, path in reversed(binding.variables):
        text = _text(_pop(rest, path))
        segments[variable.start : variable.end] = _captured(template, variable, text)
    if any(segment in WILDCARDS for segment in segments):
        raise NoRequest("the path has a wildcard that no field fills")
    verb = f":{template.verb}" if template.verb else ""
    return "/" + "/".join(segments) + verb


def _captured(template: PathTemplate, variable: Variable, text: str) -> list[str]:
    """Returns the segments of a variable's value, percent-encoded."""
    pattern = template.segments[variable.start : variable.end]
    parts = text.split("/") if variable.multi_segment else [text]
    deep = pattern[-1] == DEEP_WILDCARD
    fits = len(parts) >= len(pattern) - 1 if deep else len(parts) == len(pattern)
    fits = fits and all(
        part == wanted or (part and wanted == WILDCARD) or wanted == DEEP_WILDCARD
        for part, wanted in zip(parts, pattern, strict=False)
    )
    if not fits or not text or text in (".", ".."):
        raise NoRequest(f"{variable.field_path} is {text!r}, which is not {'/'.join(pattern)}")
    return [quote(part, safe="") for part in parts]


def _pop(value: dict[str, Any], path: FieldPath) -> Any:
    """Takes the value of a field out of a message; None: it is not set."""
    *parents, last = [field.json_name for field in path]
    target: Any = value
    above: list[tuple[dict[str, Any], str]] = []
    for name in parents:
        if not isinstance(target, dict) or name not in target:
            return None
        above.append((target, name))
        target = target[name]
    found = target.pop(last, None)
    for owner, name in reversed(above):
        if not owner[name]:
            del owner[name]
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _query(value: dict[str, Any], kind: Descriptor, prefix: str) -> Iterator[tuple[str, str]]:
    """Yields the parameters of the fields of a message.

    Raises:
        NoRequest: a query cannot carry a field.
    """
    fields = {field.json_name: field for field in kind.fields}
    for name, one in value.items():
        field = fields.get(name)
        if field is None:
            raise NoRequest(f"a query cannot carry {prefix}{name}")
        yield from _parameters(field, f"{prefix}{name}", one)


def _parameters(field: FieldDescriptor, name: str, value: Any) -> Iterator[tuple[str, str]]:
    inner: Any = field.message_type
    if inner is not None and inner.full_name in _WHOLE and not field.is_repeated:
        yield name, print_json(value).decode()
    elif inner is not None and inner.GetOptions().map_entry:
        for key, one in value.items():
            yield from _scalar(f"{name}[{key}]", one)
    elif isinstance(value, list):
        for one in value:
            yield from _scalar(name, one)
    elif isinstance(value, dict) and inner is not None:
        if not value and inner.fields:
            raise NoRequest(f"a query cannot carry an empty {name}")
        if not value:
            yield name, "{}"
        yield from _query(value, inner, f"{name}.")
    else:
        yield from _scalar(name, value)


def _scalar(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, (dict, list)):
        raise NoRequest(f"a query cannot carry {name}")
    yield name, _text(value)
