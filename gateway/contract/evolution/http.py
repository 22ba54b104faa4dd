"""Changes of what goes over HTTP: bindings, their variables and bodies, query parameters, resumption.

A binding is gone if a request that it took is no longer matched, or by another method. It may be written
otherwise: `/v1/{name=**}` still takes what `/v1/{name=books/*}` took. Requests are made of the old template
and looked up in the new route table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.contract.descriptors import Contract
from gateway.contract.evolution.rules import Difference, difference
from gateway.contract.fields import FieldPath, dotted, map_entry, query_names
from gateway.contract.http_rule import Binding, bindings, is_http_body, request_body_type
from gateway.contract.json_types import SPECIAL
from gateway.contract.method import Method
from gateway.contract.path_template import DEEP_WILDCARD, WILDCARD, PathTemplate
from gateway.contract.route_table import RouteConflict, RouteMatch, RouteTable

_Numbers: TypeAlias = tuple[int, ...]
"""A field by numbers: a new name alone does not change what a request sets."""

_DEEP: Final = ((), ("~1",), ("~1", "~2"))
"""What `**` is replaced by in the paths that are tried."""


def http_differences(old: Contract, new: Contract) -> Iterator[Difference]:
    """Yields changes of bindings, and of the fields that requests may give."""
    methods = {method.full_name: method for method in new.methods}
    bound = [binding for method in old.methods for binding in _bindings(method)]
    before = _table(bound)
    table = _table(binding for method in new.methods for binding in _bindings(method))
    for binding in bound:
        after = methods.get(binding.method.full_name)
        yield from _binding(binding, list(_samples(binding, before)), table, after)


def _table(bound: Iterable[Binding]) -> RouteTable[Binding]:
    table: RouteTable[Binding] = RouteTable()
    for binding in bound:
        with suppress(RouteConflict):  # the contract is refused, with its own words
            table.add(binding.http_method, binding.template, binding)
    return table


def _bindings(method: Method) -> list[Binding]:
    return [each for each in bindings(method) if isinstance(each, Binding)]


@dataclass(frozen=True, slots=True)
class _Sample:
    """A path that a binding matches, with the texts of its variables."""

    path: str
    captured: dict[_Numbers, str]


def _samples(binding: Binding, table: RouteTable[Binding]) -> Iterator[_Sample]:
    """Yields paths that a route table leads to a binding, and to no more literal one."""
    for path in _paths(binding.template):
        match = table.match(binding.http_method, path)
        if isinstance(match, RouteMatch) and match.target is binding:
            yield _Sample(path, _captured(match))


def _paths(template: PathTemplate) -> Iterator[str]:
    parts: list[tuple[tuple[str, ...], ...]] = []
    for index, segment in enumerate(template.segments):
        if segment == DEEP_WILDCARD:
            parts.append(_DEEP)
        else:
            parts.append(((f"~{index}x" if segment == WILDCARD else segment,),))
    verb = f":{template.verb}" if template.verb else ""
    for chosen in product(*parts):
        yield "/" + "/".join(part for parts in chosen for part in parts) + verb


def _captured(match: RouteMatch[Binding]) -> dict[_Numbers, str]:
    paths = (_numbers(path) for _, path in match.target.variables)
    return dict(zip(paths, match.captures, strict=True))


def _numbers(path: FieldPath) -> _Numbers:
    return tuple(field.number for field in path)


def _binding(
    old: Binding, samples: list[_Sample], table: RouteTable[Binding], method: Method | None
) -> Iterator[Difference]:
    """Yields the changes of one binding.

    Args:
        old: the binding.
        samples: paths that it took.
        table: the routes of the new contract.
        method: the method in the new contract; None: it was deleted.
    """
    name = old.method.full_name
    found: dict[Binding, None] = {}
    missed = False
    for sample in samples:
        match = table.match(old.http_method, sample.path)
        if not isinstance(match, RouteMatch):
            missed = True
        elif not _same_call(old.method, match.target.method, method):
            text = f"{old} calls {match.target.method.full_name} now"
            yield difference("HTTP_BINDING_SAME_METHOD", name, text)
            return
        elif _captured(match) != sample.captured and match.target not in found:
            text = f"{old}: the variables of {match.target} set other fields"
            yield difference("HTTP_BINDING_SAME_VARIABLES", name, text)
            found[match.target] = None
        else:
            found[match.target] = None
    if found and missed:
        text = f"{old} matches fewer paths, as {next(iter(found))}"
        yield difference("HTTP_BINDING_SAME_PATH", name, text)
    elif missed:
        yield _gone(old, method)
    for new in found:
        yield from _bodies(old, new)
        yield from _parameters(old, new)


def _same_call(old: Method, called: Method, kept: Method | None) -> bool:
    """Whether a request still calls the method, or one that takes its place under another name."""
    if called is kept:
        return True
    types = (old.input.full_name, old.output.full_name, old.stream_type)
    return kept is None and types == (
        called.input.full_name,
        called.output.full_name,
        called.stream_type,
    )


def _gone(old: Binding, method: Method | None) -> Difference:
    name = old.method.full_name
    others = [] if method is None else _bindings(method)
    known = {(each.http_method, each.template) for each in _bindings(old.method)}
    added = [each for each in others if (each.http_method, each.template) not in known]
    for other in added:
        if other.template.segments == old.template.segments and (
            other.template.verb == old.template.verb
        ):
            text = f"{old} is {other.http_method} now"
            return difference("HTTP_BINDING_SAME_VERB", name, text)
    if added:
        text = f"{old} moved to {', '.join(map(str, added))}"
        return difference("HTTP_BINDING_SAME_PATH", name, text)
    return difference("HTTP_BINDING_NO_DELETE", name, f"{old} was deleted")


def _bodies(old: Binding, new: Binding) -> Iterator[Difference]:
    name = old.method.full_name
    if _body_numbers(old) != _body_numbers(new):
        text = f"{old}: the body changed from {_body_words(old)} to {_body_words(new)}"
        yield difference("HTTP_BINDING_SAME_BODY", name, text)
    if _numbers(old.response_path) != _numbers(new.response_path):
        was, now = (_response_words(each) for each in (old, new))
        text = f"{old}: the response body changed from {was} to {now}"
        yield difference("HTTP_BINDING_SAME_RESPONSE_BODY", name, text)


def _body_numbers(binding: Binding) -> _Numbers | None:
    return None if binding.body is None else _numbers(binding.body.path)


def _body_words(binding: Binding) -> str:
    return "none" if binding.body is None else f'"{dotted(binding.body.path)}"'


def _response_words(binding: Binding) -> str:
    path = binding.response_path
    return f"the field {dotted(path)}" if path else "the message"


def _parameters(old: Binding, new: Binding) -> Iterator[Difference]:
    """Yields fields that requests may give no more: the edge answers 400, unless `ignore_unknown` is set.

    A field that has a new name is left to the rules of JSON.
    """
    if old.body is not None and _body_numbers(old) == _body_numbers(new):
        body, now = request_body_type(old), request_body_type(new)
        if body is not None and now is not None and not is_http_body(body):
            for field in _deleted(body, now):
                text = f"{old}: a body that has the deleted field is answered with 400"
                yield difference("HTTP_BODY_FIELD_NO_DELETE", field.full_name, text)
    if old.body is not None and not old.body.path:
        return  # no field is left for the query
    taken = [_numbers(path) for _, path in old.variables]
    if old.body is not None:
        taken.append(_numbers(old.body.path))
    for path in _deleted_paths(old.method.input, new.method.input):
        if not any(_numbers(path)[: len(each)] == each for each in taken):
            text = f"{old}: the deleted query parameter {dotted(path)} is answered with 400"
            yield difference("HTTP_QUERY_PARAMETER_NO_DELETE", path[-1].full_name, text)


def _deleted(old: Descriptor, new: Descriptor) -> Iterator[FieldDescriptor]:
    """Yields the fields that a message of JSON may have no more, at any depth."""
    seen: set[str] = set()
    waiting = [(old, new)]
    while waiting:
        before, after = waiting.pop()
        if before.full_name in seen or before.full_name in SPECIAL:
            continue
        seen.add(before.full_name)
        for field in before.fields:
            now = after.fields_by_number.get(field.number)
            if now is None:
                if field.name not in query_names(after):
                    yield field
                continue
            types = (_value_type(field), _value_type(now))
            if types[0] is not None and types[1] is not None:
                waiting.append((types[0], types[1]))


def _value_type(field: FieldDescriptor) -> Descriptor | None:
    entry = map_entry(field)
    return field.message_type if entry is None else entry[1].message_type


def _deleted_paths(old: Descriptor, new: Descriptor, above: FieldPath = ()) -> Iterator[FieldPath]:
    """Yields the fields that a query may name no more; a recursive type is entered once."""
    names = query_names(new)
    for field in old.fields:
        path = (*above, field)
        now = new.fields_by_number.get(field.number)
        if now is None:
            if field.name not in names:
                yield path
        elif (
            field.message_type is not None
            and now.message_type is not None
            and not field.is_repeated
            and not now.is_repeated
            and field.message_type.full_name not in SPECIAL
            and all(one.containing_type is not field.message_type for one in path)
        ):
            yield from _deleted_paths(field.message_type, now.message_type, path)
