"""Envoy's `rbac` from the rules of `rights` and of the contract: which methods a token allows.

The filter stands behind the transcoder, where the path is that of the method, so that no pattern of paths is
written twice. What no rule takes in is denied, methods without a binding and reflection too.

Source: Envoy's `rbac.v3.RBAC`; `type.matcher.v3.MetadataMatcher` and `ValueMatcher`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nextafter
from typing import Any, Final

from gateway.admission.rights.conditions import ISSUER, Grant
from gateway.admission.rights.settings import ConditionSettings, RightsSettings
from gateway.contract.http_rule import Binding
from gateway.contract.method import Method
from gateway.render.envoy_jwt import HEALTH, JWT, PAYLOAD
from gateway.render.envoy_tls import Node

RBAC: Final = "envoy.filters.http.rbac"
_CONFIG: Final = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
_KINDS: Final = frozenset({"any", "jwt"})
_LARGEST: Final = 1.7976931348623157e308


@dataclass(frozen=True, slots=True)
class EnvoyRights:
    """Who may call what, as Envoy decides it: by method."""

    grants: tuple[tuple[Grant, tuple[str, ...]], ...]
    """Each with the paths of its methods."""
    scope_claim: str
    roles_claim: str

    @property
    def anonymous(self) -> tuple[str, ...]:
        """The paths of methods that anybody may call."""
        return tuple(
            path
            for grant, paths in self.grants
            if grant.rule is not None and grant.rule.anonymous
            for path in paths
        )

    @property
    def word_claims(self) -> frozenset[str]:
        """The claims whose text is several words."""
        return frozenset(
            name
            for grant, _ in self.grants
            for name, condition in self.conditions(grant)
            if _is_of_words(condition)
        )

    def conditions(self, grant: Grant) -> Iterator[tuple[str, ConditionSettings]]:
        """Yields the claims that a grant needs, and what they must be."""
        rule = grant.rule
        if rule is None:
            return
        if rule.issuers:
            yield ISSUER, ConditionSettings(one_of=rule.issuers)
        if rule.scopes:
            yield self.scope_claim, ConditionSettings(contains_all=rule.scopes)
        if rule.roles:
            yield self.roles_claim, ConditionSettings(contains_any=rule.roles)
        yield from rule.claims.items()


def envoy_rights(settings: RightsSettings, table: Mapping[Binding, Grant]) -> EnvoyRights:
    """Returns the rights for Envoy.

    Raises:
        ValueError: Envoy cannot decide as the edge does; the text names the rule.
    """
    of_methods: dict[Method, tuple[Binding, Grant]] = {}
    problems: dict[str, None] = {}
    for binding, grant in table.items():
        first, known = of_methods.setdefault(binding.method, (binding, grant))
        if known.rule is not grant.rule:
            problems[
                f"{grant.source or 'rights'}: Envoy decides by method, and {binding} has other rights than"
                f" {first}, of the same {binding.method.full_name}"
            ] = None
    grants: dict[int, tuple[Grant, list[str]]] = {}
    for method, (_, grant) in of_methods.items():
        grants.setdefault(id(grant), (grant, []))[1].append(method.path)
    made = EnvoyRights(
        tuple((grant, tuple(paths)) for grant, paths in grants.values()),
        settings.scope_claim,
        settings.roles_claim,
    )
    words = made.word_claims
    for grant, _ in made.grants:
        for text in _problems(made, grant, words):
            problems[f"{grant.source}: {text}"] = None
    if problems:
        raise ValueError("; ".join(problems))
    return made


def _problems(made: EnvoyRights, grant: Grant, words: frozenset[str]) -> Iterator[str]:
    rule = grant.rule
    if rule is not None and rule.identity and not _KINDS & set(rule.identity):
        yield f"identity: {', '.join(rule.identity)}: in Envoy callers have tokens only"
    for name, condition in made.conditions(grant):
        if condition.exists is not None:
            yield f"claims: {name}: exists: Envoy cannot tell whether a list or an object is there"
        plain = condition.equals is not None or bool(condition.one_of)
        if name in words and plain:
            yield (
                f"claims: {name}: Envoy compares this claim as words, because of contains, scopes or roles,"
                " and so not as a whole"
            )
        if _is_of_words(condition) and "." in name:
            yield f"claims: {name}: Envoy reads words of claims at the top only"


def _is_of_words(condition: ConditionSettings) -> bool:
    return bool(condition.contains or condition.contains_any or condition.contains_all)


def rbac_filter(rights: EnvoyRights) -> Node:
    """Returns the filter."""
    policies: Node = {"health": _policy([{"prefix": HEALTH}], [{"any": True}])}
    for number, (grant, paths) in enumerate(rights.grants):
        if grant.rule is None or grant.rule.nobody:
            continue
        name = f"{number} {grant.source}: {grant.words}"
        policies[name] = _policy([{"exact": path} for path in paths], _principals(rights, grant))
    rules = {"action": "ALLOW", "policies": policies}
    return {"name": RBAC, "typed_config": {"@type": _CONFIG, "rules": rules}}


def _policy(paths: Iterable[Node], principals: list[Node]) -> Node:
    return {
        "permissions": [{"url_path": {"path": path}} for path in paths],
        "principals": principals,
    }


def _principals(rights: EnvoyRights, grant: Grant) -> list[Node]:
    rule = grant.rule
    if rule is None or rule.anonymous:
        return [{"any": True}]
    tests = [_has_token()]
    if rule.names:
        tests.append(_any([_claim(["sub"], _text(name)) for name in rule.names]))
    for name, condition in rights.conditions(grant):
        tests += [_of_claim(name, values) for values in _tests(condition)]
    return [_all(tests)]


def _has_token() -> Node:
    return _claim([ISSUER], {"present_match": True})


def _of_claim(name: str, values: Sequence[Node]) -> Node:
    """Returns the principal whose claim has one of some values; `a.b` is `b` inside of `a`."""
    whole = _any([_claim([name], value) for value in values])
    if "." not in name:
        return whole
    inside = _any([_claim(name.split("."), value) for value in values])
    is_whole = _any([_claim([name], {"present_match": True}), whole])
    return _any([whole, _all([{"not_id": is_whole}, inside])])


def _tests(condition: ConditionSettings) -> Iterator[list[Node]]:
    """Yields the values of which a claim must have one, for each thing that a condition says."""
    if condition.contains is not None:
        yield [_word(condition.contains)]
    if condition.contains_any:
        yield [_word(each) for each in condition.contains_any]
    for each in condition.contains_all:
        yield [_word(each)]
    if condition.equals is not None:
        yield [_scalar(condition.equals)]
    if condition.one_of:
        yield [_scalar(each) for each in condition.one_of]
    if condition.at_least is not None:
        yield [_range(start=float(condition.at_least))]
    if condition.above is not None:
        yield [_range(start=nextafter(condition.above, inf))]
    if condition.at_most is not None:
        yield [_range(end=nextafter(condition.at_most, inf))]
    if condition.below is not None:
        yield [_range(end=float(condition.below))]


def _claim(path: Sequence[str], value: Node) -> Node:
    keys = [{"key": key} for key in (PAYLOAD, *path)]
    return {"metadata": {"filter": JWT, "path": keys, "value": value}}


def _word(text: str) -> Node:
    return {"list_match": {"one_of": _text(text)}}


def _text(text: str) -> Node:
    return {"string_match": {"exact": text}}


def _scalar(value: Any) -> Node:
    if isinstance(value, bool):
        return {"bool_match": value}
    return _text(value) if isinstance(value, str) else {"double_match": {"exact": float(value)}}


def _range(start: float = -_LARGEST, end: float = _LARGEST) -> Node:
    """Returns the numbers from `start` to before `end`."""
    return {"double_match": {"range": {"start": start, "end": end}}}


def _any(principals: list[Node]) -> Node:
    return principals[0] if len(principals) == 1 else {"or_ids": {"ids": principals}}


def _all(principals: list[Node]) -> Node:
    return principals[0] if len(principals) == 1 else {"and_ids": {"ids": principals}}
