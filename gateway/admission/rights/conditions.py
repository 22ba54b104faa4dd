"""A rule's conditions, compiled to one function of the caller's identity.

Rule: what a condition needs is looked up here, once; a request costs calls of closures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, Final, TypeAlias

from gateway.admission.identity import Identity
from gateway.admission.rights.settings import ConditionSettings, RuleSettings

Test: TypeAlias = Callable[[Any], bool]
"""Of a claim's value; None is a claim that is missing."""
Decide: TypeAlias = Callable[[object | None], bool]
"""Whether an identity may send a request; None is a caller without one."""

ISSUER: Final = "iss"
"""Claim of a token's issuer (RFC 7519, 4.1.1); a ticket has those of the token that it was given for."""
_COMPARISONS: Final = (
    *(("at_least", ge, ">="), ("at_most", le, "<=")),
    *(("above", gt, ">"), ("below", lt, "<")),
)


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """Who may send some requests."""

    decide: Decide
    words: str
    """Who that is, for people."""
    source: str = ""
    """Where it stands: `rights.rules[0]`, `contract`; empty: nowhere."""
    scopes: tuple[str, ...] = ()
    """The scopes that it needs."""
    rule: RuleSettings | None = None
    """What says so; None: nothing does."""


def anybody(_identity: object | None) -> bool:
    """Decides that everybody may."""
    return True


def _nobody(_identity: object | None) -> bool:
    return False


def _somebody(identity: object | None) -> bool:
    return identity is not None


ANY_IDENTITY: Final = Grant(_somebody, "any identity")
NOBODY: Final = Grant(_nobody, "nobody")
"""Of requests that no rule takes in."""


def grant_of(rule: RuleSettings, source: str, *, scope_claim: str, roles_claim: str) -> Grant:
    """Compiles the conditions of a rule.

    Args:
        rule: the rule.
        source: see `Grant`.
        scope_claim: see `RightsSettings`.
        roles_claim: see there.
    """
    if rule.anonymous:
        return Grant(anybody, "anybody", source, rule=rule)
    if rule.nobody:
        return Grant(_nobody, "nobody", source, rule=rule)
    conditions = []
    if rule.issuers:
        conditions.append((ISSUER, ConditionSettings(one_of=rule.issuers)))
    if rule.scopes:
        conditions.append((scope_claim, ConditionSettings(contains_all=rule.scopes)))
    if rule.roles:
        conditions.append((roles_claim, ConditionSettings(contains_any=rule.roles)))
    conditions += rule.claims.items()
    tests = [_claim_test(name, test) for name, each in conditions for test, _ in _tests(each)]
    kinds = frozenset(() if "any" in rule.identity else rule.identity)
    decide = _decision(kinds, frozenset(rule.names), tests)
    return Grant(decide, _words(rule, kinds, conditions), source, rule.scopes, rule)


def _decision(kinds: frozenset[str], names: frozenset[str], tests: Sequence[Test]) -> Decide:
    if not (kinds or names or tests):
        return _somebody

    def decide(identity: object | None) -> bool:
        if not isinstance(identity, Identity):
            return False
        if (kinds and identity.kind not in kinds) or (names and identity.name not in names):
            return False
        claims = identity.claims
        for test in tests:  # noqa: SIM110 - a generator costs a microsecond
            if not test(claims):
                return False
        return True

    return decide


def _claim_test(name: str, test: Test) -> Test:
    """Returns the test of the claims of which one has to meet a test."""
    if "." not in name:
        return lambda claims: test(claims.get(name))
    steps = name.split(".")

    def nested(claims: Any) -> bool:
        if name in claims:  # names of claims may be URLs
            return test(claims[name])
        value = claims
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None
        return test(value)

    return nested


def _words(
    rule: RuleSettings, kinds: frozenset[str], conditions: Sequence[tuple[str, ConditionSettings]]
) -> str:
    parts = [f"identity {_listed(sorted(kinds), ' or ')}"] if kinds else []
    if rule.names:
        parts.append(f"named {_listed(rule.names, ' or ')}")
    parts += (f"{name} {words}" for name, each in conditions for _, words in _tests(each))
    return " and ".join(parts) or "any identity"


def _tests(condition: ConditionSettings) -> Iterator[tuple[Test, str]]:
    """Yields each test of a claim that a condition says, with its words."""
    for name in ("contains", "contains_all", "contains_any"):
        if words := getattr(condition, name):
            yield (
                _containing(name, (words,) if name == "contains" else words),
                _shown(name, words),
            )
    if condition.equals is not None:
        yield _equal((condition.equals,)), f"= {_scalar(condition.equals)}"
    if condition.one_of:
        texts = [_scalar(each) for each in condition.one_of]
        yield _equal(condition.one_of), f"= {_listed(texts, ' or ')}"
    for name, compare, sign in _COMPARISONS:
        if (limit := getattr(condition, name)) is not None:
            yield _comparing(compare, limit), f"{sign} {limit}"
    if condition.exists is not None:
        exists = condition.exists
        words = "exists" if exists else "does not exist"
        yield (lambda value: (value is not None) is exists), words


def _containing(name: str, wanted: Sequence[str]) -> Test:
    if len(wanted) == 1:
        word = wanted[0]
        return lambda value: word in _items(value)
    if name == "contains_any":
        return lambda value: any(map(_items(value).__contains__, wanted))
    return lambda value: all(map(_items(value).__contains__, wanted))


def _items(value: Any) -> Collection[Any]:
    """Returns the words of a text, or the items of a list; of anything else none."""
    if isinstance(value, str):
        return value.split(" ")
    return value if isinstance(value, list | tuple | set | frozenset) else ()


def _equal(wanted: Sequence[Any]) -> Test:
    # 1 equals True, and both are keys of one entry
    known = frozenset((type(each) is bool, each) for each in wanted)

    def test(value: Any) -> bool:
        return isinstance(value, str | bool | int | float) and (
            (type(value) is bool, value) in known
        )

    return test


def _comparing(compare: Callable[[Any, Any], bool], limit: float) -> Test:
    def test(value: Any) -> bool:
        return type(value) in (int, float) and compare(value, limit)

    return test


def _shown(name: str, words: str | Sequence[str]) -> str:
    if isinstance(words, str):
        return f"contains {words}"
    return f"contains {_listed(words, ' or ' if name == 'contains_any' else ', ')}"


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(words: Sequence[str], between: str) -> str:
    return between.join(words)
