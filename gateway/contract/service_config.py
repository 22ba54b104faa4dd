"""HTTP rules from a service configuration: `google.api.Service` in YAML.

Source: google/api/service.proto and google/api/http.proto ("gRPC API Configuration YAML example"). A rule
replaces the annotation of the method that its `selector` names; the last rule for a method wins. Only the
`http` section of the file is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import yaml
from google.api.http_pb2 import Http, HttpRule
from google.protobuf.json_format import ParseDict, ParseError

from gateway.contract.descriptors import Contract
from gateway.contract.errors import ContractError, Location


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """The HTTP part of a service configuration."""

    rules: tuple[tuple[str, HttpRule | ContractError, Location], ...]
    """Selector, rule and location; an invalid rule has its error instead."""
    fully_decode_reserved_expansion: bool
    """Whether `%2F` in a multi-segment variable is decoded."""


def read_service_config(text: str | bytes, file: str) -> ServiceConfig:
    """Reads a service configuration.

    Args:
        text: the YAML.
        file: its name, for error messages.

    Raises:
        ContractError: it is not YAML, or its `http` is not a `google.api.Http`. Invalid rules do not raise.
    """
    try:
        document = yaml.safe_load(text)
        locations = list(_rule_locations(yaml.compose(text, yaml.SafeLoader), file))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        location = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
        raise ContractError(f"not YAML: {error.problem}", location=location) from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ContractError(f"not YAML: {reason}", location=Location(file)) from error
    section = document.get("http") if isinstance(document, dict) else None
    if not isinstance(section, dict):
        raise ContractError("no `http` section with rules", location=Location(file))
    rules = section.get("rules") or []
    try:
        if not isinstance(rules, list):
            raise ParseError("`rules` is no list")
        http = ParseDict({key: item for key, item in section.items() if key != "rules"}, Http())
    except ParseError as error:
        raise ContractError(_first_line(error), location=Location(file)) from error
    # rules from a YAML merge or anchor have no line of their own
    located = zip_longest(rules, locations[: len(rules)], fillvalue=Location(file))
    return ServiceConfig(
        rules=tuple(_rule(item, location) for item, location in located),
        fully_decode_reserved_expansion=http.fully_decode_reserved_expansion,
    )


def _rule(item: Any, location: Location) -> tuple[str, HttpRule | ContractError, Location]:
    selector = str(item.get("selector", "")) if isinstance(item, dict) else ""
    try:
        return selector, ParseDict(item, HttpRule()), location
    except (ParseError, TypeError, AttributeError) as error:  # the last two: not a mapping
        problem = f"no HTTP rule: {_first_line(error)}"
        return selector, ContractError(problem, location=location, subject=selector), location


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _rule_locations(root: yaml.Node | None, file: str) -> Iterator[Location]:
    """Yields the location of each item of `http.rules`."""
    rules = _child(_child(root, "http"), "rules")
    if isinstance(rules, yaml.SequenceNode):
        for item in rules.value:
            yield Location(file, item.start_mark.line + 1, item.start_mark.column + 1)


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return value  # type: ignore[no-any-return] # the stubs say no more
    return None


def apply_rules(
    contract: Contract, config: ServiceConfig, *, skip_faulty: bool = False
) -> Contract:
    """Returns the contract with its annotations replaced by the rules of a service configuration.

    Args:
        contract: the contract.
        config: the rules.
        skip_faulty: whether to leave out invalid rules and unknown selectors, instead of raising. A method
            whose rule is left out has no rule; its annotation does not apply.

    Raises:
        ContractError: a rule is invalid, or its selector names no served method.
    """
    by_name = {method.full_name: method for method in contract.methods}
    left_out: list[ContractError] = []
    for selector, given, location in config.rules:
        rule = given
        if selector not in by_name and not isinstance(rule, ContractError):
            rule = ContractError(
                f"the selector {selector!r} names no method that is served", location=location
            )
        if isinstance(rule, ContractError):
            if not skip_faulty:
                raise rule
            left_out.append(rule)
        if selector in by_name:
            by_name[selector] = replace(
                by_name[selector],
                rule=None if isinstance(rule, ContractError) else rule,
                location=location,
                is_left_out=isinstance(rule, ContractError),
            )
    return replace(
        contract,
        methods=tuple(by_name.values()),
        fully_decode=config.fully_decode_reserved_expansion,
        left_out=(*contract.left_out, *left_out),
    )


def auto_mapped(contract: Contract) -> Contract:
    """Returns the contract with `POST /package.Service/Method` as the rule of each method without one.

    A method whose rule was left out gets none. Source: Envoy's `auto_mapping`.
    """
    methods = (
        method
        if method.rule or method.is_left_out
        else replace(method, rule=HttpRule(post=method.path, body="*"))
        for method in contract.methods
    )
    return replace(contract, methods=tuple(methods))
