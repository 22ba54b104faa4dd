"""All bindings of a contract, with their errors and warnings.

Two bindings that match the same requests are an error. Templates may overlap: for a path that both match, the
route table prefers the one whose literal comes first. Neither hides the other completely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Final, Literal, TypeAlias

from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import Descriptor

from gateway.contract.descriptors import Contract
from gateway.contract.errors import ContractError, ContractWarning
from gateway.contract.fields import FieldPath, dotted
from gateway.contract.http_methods import BODY_METHODS
from gateway.contract.http_rule import (
    ANY_METHOD,
    Binding,
    Body,
    bindings,
    is_sendable,
    merge_rules,
    rules,
)
from gateway.contract.method import Method
from gateway.contract.path_template import PathTemplate
from gateway.contract.route_table import RouteConflict, RouteTable
from gateway.contract.stream_policy import stream_policy

_MAX_NAMES: Final = 3
"""Maximum names of fields in one warning."""
_NO_RULE: Final = (
    "no method of the served services has an HTTP rule, so nothing would be served: add `google.api.http`"
    " options to the .proto, or give --http-rules FILE, or --auto-mapping for POST /package.Service/Method"
)

RpcMethods: TypeAlias = Literal["contract", "annotated", "upstream", "off"]
"""Which methods gRPC, gRPC-Web and Connect reach: all of the contract, those with an HTTP rule, all of the
contract and of the upstream, or none."""


def bind(methods: Iterable[Method]) -> tuple[list[Binding], list[ContractError]]:
    """Returns the bindings of methods, and all errors in their rules and stream options."""
    bound: list[Binding] = []
    problems: list[ContractError] = []
    for _, _, result in _results(methods):
        if isinstance(result, ContractError):
            problems.append(result)
        else:
            bound.append(result)
    if not bound and not problems:
        problems.append(ContractError(_NO_RULE))
    return bound, problems


def rpc_methods(
    methods: Iterable[Method], bound: Iterable[Binding], which: RpcMethods
) -> list[Method]:
    """Returns the methods of a contract that gRPC, gRPC-Web and Connect reach.

    One of which the rules were left out is not among them, as it is served over no other wire.

    Args:
        methods: of the contract, with and without HTTP rules.
        bound: the bindings of their rules.
        which: the setting `rpc`.
    """
    if which == "off":
        return []
    if which != "annotated":
        return [method for method in methods if not method.is_left_out]
    annotated = {binding.method for binding in bound}
    return [method for method in methods if method in annotated]


def rpc_bindings(methods: Iterable[Method], bound: Iterable[Binding]) -> dict[str, Binding]:
    """Returns the binding of each method's own path, `POST /package.Service/Method`, by that path.

    A path that a rule has bound to another method is left out; a binding of the method itself is the one.

    Args:
        methods: of the contract, with and without HTTP rules.
        bound: the bindings of their rules.
    """
    others = {
        str(each.template): each
        for each in bound
        if each.template.is_literal and each.http_method in ("POST", ANY_METHOD)
    }
    found: dict[str, Binding] = {}
    for method in methods:
        path = method.path
        other = others.get(path)
        if other is None:
            template = PathTemplate.parse(path)
            found[path] = Binding(method, "POST", template, (), Body(()), ())
        elif other.method is method:
            found[path] = other
    return found


def own_bindings(
    methods: Sequence[Method], bound: Sequence[Binding], which: RpcMethods
) -> list[Binding]:
    """Returns the bindings of methods' own paths, by which RPCs reach them, that are not those of a rule."""
    reached = rpc_methods(methods, bound, which) if bound else ()
    return [each for each in rpc_bindings(reached, bound).values() if each not in bound]


def without_faulty_rules(contract: Contract) -> Contract:
    """Returns the contract without the bindings for which `bind` returns errors; `left_out` has the errors.

    Other bindings of the same rule are kept. A method with invalid stream options loses all its bindings.
    """
    kept: dict[str, list[HttpRule]] = {}
    faulty: set[str] = set()
    left_out: list[ContractError] = []
    for method, rule, result in _results(contract.methods):
        if isinstance(result, ContractError):
            faulty.add(method.full_name)
            left_out.append(result)
        elif rule is not None:
            kept.setdefault(method.full_name, []).append(rule)
    methods = (
        replace(
            method,
            rule=merge_rules(kept.get(method.full_name, ())),
            stream=method.stream if method.full_name in kept else None,
            is_left_out=method.full_name not in kept,
        )
        if method.full_name in faulty
        else method
        for method in contract.methods
    )
    return replace(contract, methods=tuple(methods), left_out=(*contract.left_out, *left_out))


def warnings(
    bindings: Iterable[Binding], reserved_paths: Mapping[str, str]
) -> Iterator[ContractWarning]:
    """Yields warnings about bindings whose behaviour may surprise the author of a contract.

    Args:
        bindings: the served bindings.
        reserved_paths: the edge's own paths, each with the setting that changes it.
    """
    table: RouteTable[Binding] = RouteTable()
    hidden: dict[Binding, list[str]] = {}
    for binding in bindings:
        table.add(binding.http_method, binding.template, binding)
        hidden[binding] = []
    for path in reserved_paths:
        for binding in table.targets_of(path):
            hidden[binding].append(path)
    for binding, paths in hidden.items():
        for text in _warning_texts(binding, paths, reserved_paths):
            yield ContractWarning(text, binding.method.location, binding.method.full_name)


def _warning_texts(
    binding: Binding, hidden: list[str], reserved_paths: Mapping[str, str]
) -> Iterator[str]:
    if hidden:
        settings = ", ".join(dict.fromkeys(reserved_paths[path] for path in hidden))
        if binding.template.is_literal:
            yield f"{binding} is never reached: the edge answers this path itself ({settings})"
        else:
            yield f"{binding} does not get {', '.join(hidden)}: the edge answers that itself ({settings})"
    for option, path in (
        ("body", binding.body.path if binding.body is not None else ()),
        ("response_body", binding.response_path),
    ):
        if len(path) > 1:
            yield (
                f"{binding}: {option} {dotted(path)!r} goes beyond google/api/http.proto, which has"
                " it name a field of the message itself"
            )
    if names := _not_in_path(binding):
        yield (
            f"{binding} has no body, so {', '.join(names)} can only be given in the query: add"
            ' body: "*" to the rule to take the fields from the body'
        )
    if not is_sendable(binding.http_method):
        yield f"{binding} is reached by WebSockets alone: no request can have its HTTP method here"


def _not_in_path(binding: Binding) -> list[str]:
    """Returns some fields that a request of a binding without a body can give in the query alone.

    Empty for HTTP methods whose requests usually have no body, and for client streams, which always have one.
    """
    if (
        binding.body is not None
        or binding.http_method not in BODY_METHODS
        or binding.method.stream_type.client
    ):
        return []
    paths = [path for _, path in binding.variables]
    names = _outside(binding.method.input, paths)
    more = "…" if len(names) > _MAX_NAMES else ""
    return [*names[:_MAX_NAMES], more] if more else names


def _outside(message: Descriptor, paths: Iterable[FieldPath]) -> list[str]:
    """Returns the names of the fields of a message that none of the paths gives, dotted below a message."""
    names: list[str] = []
    for field in message.fields:
        below = [path[1:] for path in paths if path[0].number == field.number]
        if not below:
            names.append(field.name)
        elif all(below) and field.message_type is not None:
            names += (f"{field.name}.{name}" for name in _outside(field.message_type, below))
    return names


def _results(
    methods: Iterable[Method],
) -> Iterator[tuple[Method, HttpRule | None, Binding | ContractError]]:
    """Yields method, rule, and the binding or its error.

    A method with invalid stream options yields errors only, so its paths stay free for other methods.
    """
    table: RouteTable[Binding] = RouteTable()
    for method in methods:
        fault = _stream_fault(method)
        for rule, result in zip_longest(rules(method.rule), bindings(method)):
            if fault is None:
                yield method, rule, _added(table, result)
            elif isinstance(result, ContractError):
                yield method, rule, result
        if fault is not None:
            yield method, None, fault


def _added(table: RouteTable[Binding], binding: Binding | ContractError) -> Binding | ContractError:
    """Adds a binding to the table; returns it, or the error if its route exists already."""
    if isinstance(binding, ContractError):
        return binding
    try:
        table.add(binding.http_method, binding.template, binding)
    except RouteConflict as conflict:
        return _conflict(binding, conflict.other)
    return binding


def _stream_fault(method: Method) -> ContractError | None:
    try:
        stream_policy(method)
    except ValueError as error:
        return ContractError(str(error), location=method.stream_location, subject=method.full_name)
    return None


def _conflict(binding: Binding, other: object) -> ContractError:
    before = f"{other.method.full_name} ({other})" if isinstance(other, Binding) else str(other)
    return ContractError(
        f"{binding} is bound already, to {before}",
        location=binding.method.location,
        subject=binding.method.full_name,
    )
