"""The section `rights` of the settings: rules, which say who may send which requests.

Rule: what is wrong with a rule alone is found here; what does not fit the contract, by `compiling`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from gateway.admission.rights.patterns import Pattern, parse_pattern
from gateway.sections import Section

Scalar: TypeAlias = StrictStr | StrictBool | StrictInt | StrictFloat
Number: TypeAlias = StrictInt | StrictFloat
Kind: TypeAlias = Literal["any", "jwt", "api_key", "certificate", "ticket"]


def _several(value: Any) -> Any:
    """Takes one text for a list of one."""
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_several)]
"""One text, or a list."""
Scalars = Annotated[
    tuple[Scalar, ...],
    Field(min_length=1),
    BeforeValidator(lambda value: value if isinstance(value, list | tuple) else (value,)),
]
"""One value, or a list."""


class ConditionSettings(Section):
    """What one claim must be; all that is given must hold. A missing claim meets only `exists: false`."""

    contains: StrictStr | None = None
    """A word of a text with spaces between, as `scope` is, or an item of a list."""
    contains_any: Texts = ()
    """At least one of these words or items."""
    contains_all: Texts = ()
    """All of these words or items."""
    equals: Scalar | None = None
    """Exactly this text, number or boolean."""
    one_of: Annotated[tuple[Scalar, ...], BeforeValidator(_several)] = ()
    """Exactly one of these."""
    at_least: Number | None = None
    """A number that is not smaller."""
    at_most: Number | None = None
    """A number that is not larger."""
    above: Number | None = None
    """A larger number."""
    below: Number | None = None
    """A smaller number."""
    exists: StrictBool | None = None
    """Whether the claim is there, whatever it is."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"says nothing; write one of {', '.join(type(self).model_fields)}")
        return self


def _condition(value: Any) -> Any:
    """Takes a scalar for what the claim must equal."""
    return {"equals": value} if isinstance(value, str | bool | int | float) else value


class RuleSettings(Section):
    """One rule. `anonymous` and `nobody` stand alone; all others that are given must hold."""

    requests: Annotated[Texts, Field(min_length=1)]
    """Patterns: `package.Service/*`, a method, `GET /v1/books/{id}`, `/docs`, `pages`, `*`."""
    anonymous: bool = False
    """Anybody may send them, without an identity too."""
    nobody: bool = False
    """Nobody may send them."""
    identity: Annotated[tuple[Kind, ...], BeforeValidator(_several)] = ()
    """`any` identity, or one of some kinds: `jwt`, `api_key`, `certificate`, `ticket`."""
    names: Texts = ()
    """Identities by their names: subject of a token, name of a key or a certificate."""
    issuers: Texts = ()
    """Tokens of these issuers; with several issuers, `names` need it: each has subjects of its own."""
    scopes: Texts = ()
    """Scopes, all of which the caller must have."""
    roles: Texts = ()
    """Roles, one of which the caller must have."""
    claims: Mapping[str, Annotated[ConditionSettings, BeforeValidator(_condition)]] = Field(
        default_factory=dict
    )
    """Claim -> what it must be. `a.b` is `b` inside of `a`, where there is no claim of the whole name."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        for text in self.requests:
            try:
                parse_pattern(text)
            except ValueError as error:
                problems.append(str(error))
        given = [name for name in _CONDITIONS if getattr(self, name)]
        alone = [name for name in ("anonymous", "nobody") if getattr(self, name)]
        if not given and not alone:
            problems.append(
                "says not who may send the requests: write anonymous, nobody,"
                f" {', '.join(_CONDITIONS[:-1])} or {_CONDITIONS[-1]}"
            )
        if alone and len(given) + len(alone) > 1:
            problems.append(f"{alone[0]} stands alone, without {', '.join([*alone[1:], *given])}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def mixes_issuers(self, issuers: Collection[str]) -> bool:
        """Whether the rule admits a name whichever of several issuers has given it."""
        tokens = not self.identity or not {"any", "jwt", "ticket"}.isdisjoint(self.identity)
        says_which = bool(self.issuers) or "iss" in self.claims
        return len(issuers) > 1 and bool(self.names) and tokens and not says_which

    def patterns(self) -> tuple[Pattern, ...]:
        """Returns the patterns of `requests`."""
        return tuple(parse_pattern(text) for text in self.requests)


_CONDITIONS = ("identity", "names", "issuers", "scopes", "roles", "claims")


class RightsSettings(Section):
    """Who may call what. Without rules, here or in the contract, rights are not checked."""

    rules: tuple[RuleSettings, ...] = ()
    """Rules, of which the first that takes in a request decides. A request that none takes in is refused."""
    contract: bool = True
    """Obey `(gateway.v1.rights)` of the contract, for methods that no rule takes in."""
    scope_claim: str = Field(default="scope", min_length=1)
    """Claim with the caller's scopes: a list, or a text with spaces between."""
    roles_claim: str = Field(default="roles", min_length=1)
    """Claim with the caller's roles: a list, or a text with spaces between."""
