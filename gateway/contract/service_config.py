"""HTTP rules from a `google.api.Service` in YAML, beside those in the .proto.

Source: google/api/service.proto and google/api/http.proto ("gRPC API Configuration YAML example"). A rule
names its method by `selector`; it takes the place of the annotation, and the last rule for a method wins.
Of the file only `http` is read; the rest is for others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest

import yaml
from google.api.http_pb2 import Http, HttpRule
from google.protobuf.json_format import ParseDict, ParseError

from gateway.contract.descriptors import Contract
from gateway.contract.errors import ContractError, Location


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """The HTTP part of a service configuration."""

    rules: tuple[tuple[HttpRule, Location], ...]
    fully_decode_reserved_expansion: bool
    """Whether a variable of several segments is decoded fully, `%2F` too."""


def read_service_config(text: str | bytes, file: str) -> ServiceConfig:
    """Reads a service configuration.

    Args:
        text: the YAML.
        file: its name, for what is said of errors.

    Raises:
        ContractError: it is not YAML, or its `http` is not a `google.api.Http`.
    """
    try:
        document = yaml.safe_load(text)
        places = list(_rule_places(yaml.compose(text, yaml.SafeLoader), file))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
        raise ContractError(f"not YAML: {error.problem}", location=place) from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ContractError(f"not YAML: {reason}", location=Location(file)) from error
    section = document.get("http") if isinstance(document, dict) else None
    if not isinstance(section, dict):
        raise ContractError("no `http` section with rules", location=Location(file))
    try:
        http = ParseDict(section, Http())
    except ParseError as error:
        raise ContractError(str(error), location=Location(file)) from error
    return ServiceConfig(
        # rules that come by a merge or an anchor have no place of their own
        rules=tuple(zip_longest(http.rules, places[: len(http.rules)], fillvalue=Location(file))),
        fully_decode_reserved_expansion=http.fully_decode_reserved_expansion,
    )


def _rule_places(root: yaml.Node | None, file: str) -> Iterator[Location]:
    """Yields where each item of `http.rules` stands."""
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
    """Returns the contract with the rules of a configuration in the place of its annotations.

    Args:
        contract: what the rules are for.
        config: the rules.
        skip_faulty: whether a rule whose selector names no method is left out.

    Raises:
        ContractError: a selector names no method, and is not left out.
    """
    by_name = {method.full_name: method for method in contract.methods}
    left_out: list[ContractError] = []
    for rule, location in config.rules:
        if rule.selector not in by_name:
            error = ContractError(
                f"the selector {rule.selector!r} names no method that is served", location=location
            )
            if not skip_faulty:
                raise error
            left_out.append(error)
            continue
        by_name[rule.selector] = replace(by_name[rule.selector], rule=rule, location=location)
    return replace(
        contract,
        methods=tuple(by_name.values()),
        fully_decode=config.fully_decode_reserved_expansion,
        left_out=(*contract.left_out, *left_out),
    )


def auto_mapped(contract: Contract) -> Contract:
    """Returns the contract with a rule for each method that has none: `POST /package.Service/Method`.

    Source: Envoy's `auto_mapping`.
    """
    methods = (
        method if method.rule else replace(method, rule=HttpRule(post=method.path, body="*"))
        for method in contract.methods
    )
    return replace(contract, methods=tuple(methods))
