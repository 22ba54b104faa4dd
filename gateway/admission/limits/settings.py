"""The section `limits` of the settings."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.sections import Section

Key = Literal["address", "identity", "api_key", "route"]
"""What callers are told apart by."""
Counted = Literal["requests", "messages", "bytes", "calls", "streams"]
"""What is counted; `calls` and `streams` are those that are under way at a time."""

CONCURRENT: Final = frozenset({"calls", "streams"})
BEFORE_IDENTITY: Final = frozenset({"address", "route"})
"""Keys that are known before anybody has asked who the caller is."""
SIMPLE_RULE: Final = "address"
"""Name of the rule that `requests_per_second` makes."""
_MOST: Final = 10**12
"""Numbers of a header have at most 15 digits (RFC 9651, 3.3.1)."""
_PATTERN: Final = r"^(\*|[A-Za-z_][A-Za-z0-9_.]*/(\*|[A-Za-z_][A-Za-z0-9_]*))$"
MethodPattern = Annotated[str, Field(pattern=_PATTERN)]
"""`package.Service/Method`, `package.Service/*`, or `*`."""


def _without_duplicates(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    if len(set(keys)) < len(keys):
        raise ValueError("names a key twice")
    return keys


class LimitRule(Section):
    """One limit: how much of what, for whom."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Name of the rule, which callers see in `RateLimit-Policy` and in errors."""
    by: Annotated[tuple[Key, ...], AfterValidator(_without_duplicates)] = ("address",)
    """What callers are told apart by: `address`, `identity`, `api_key`, `route`, or several; none: nothing.

    A caller without an identity is told apart by its address. `api_key` counts only callers with an API key.
    """
    counts: Counted = "requests"
    """What is counted: `requests`, `messages` of streams or `bytes` of messages, both ways, or what is under
    way at a time: `calls`, which are no streams, or `streams`."""
    limit: int = Field(gt=0, le=_MOST)
    """How many in each `seconds`; of `calls` and `streams`, how many at a time."""
    seconds: float = Field(default=1.0, gt=0, le=31 * 86_400)
    """The period in which `limit` tokens come back, evenly. Not for `calls` and `streams`."""
    burst: int | None = Field(default=None, gt=0, le=_MOST)
    """How many at once, after a pause; None: as many as `limit`. Not for `calls` and `streams`."""
    methods: tuple[MethodPattern, ...] = ()
    """Methods that the rule is about: `package.Service/Method` or `package.Service/*`; none: all requests.

    All requests are also those of no method, such as those of pages.
    """
    costs: dict[MethodPattern, Annotated[int, Field(ge=0)]] = Field(default={})
    """Pattern of a method -> tokens of a request; 1 if no pattern fits, 0: free. Only for `requests`."""

    @property
    def at_once(self) -> int:
        """How many at once."""
        return self.limit if self.burst is None else self.burst

    @property
    def needs_identity(self) -> bool:
        """Whether the rule is asked only when it is known who calls."""
        return not BEFORE_IDENTITY.issuperset(self.by)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.counts in CONCURRENT and {"seconds", "burst"} & self.model_fields_set:
            raise ValueError(f"{self.name}: `seconds` and `burst` say nothing of {self.counts}")
        if self.costs and self.counts != "requests":
            raise ValueError(f"{self.name}: only requests have `costs`, not {self.counts}")
        for pattern, cost in self.costs.items():
            if cost > self.at_once:
                raise ValueError(
                    f"{self.name}: the cost of {pattern} is more than {self.at_once}, which is all that"
                    " is ever there; raise `burst`"
                )
        return self


class LimitsSettings(Section):
    """How much callers may ask for. Each process counts on its own, unless requests are `shared`."""

    requests_per_second: float | None = Field(default=None, gt=0, le=1_000_000)
    """Maximum requests a second of one address; more are answered with 429. None is no limit."""
    burst: int | None = Field(default=None, gt=0, le=_MOST)
    """Maximum requests of one address at once, after a pause; None: those of a second, at least 1."""
    headers: bool = True
    """Tell callers what is left, by `RateLimit` and `RateLimit-Policy` in every answer."""
    ipv4_prefix: int = Field(default=32, ge=8, le=32)
    """Bits of an IPv4 address that tell callers apart."""
    ipv6_prefix: int = Field(default=64, ge=16, le=128)
    """Bits of an IPv6 address that tell callers apart: a network has 2^64 addresses for one customer."""
    max_keys: int = Field(default=100_000, ge=1, le=10_000_000)
    """Maximum callers that each rule counts apart, at about 200 bytes. More share 4,096 counters."""
    shared: bool = False
    """Count requests in the store (`feed_store`), together with all processes that have the same one."""
    shared_timeout_seconds: float = Field(default=0.02, gt=0, le=10)
    """Maximum time that a request waits for the store; it is counted by its process then."""
    rules: tuple[LimitRule, ...] = ()
    """Further limits, asked in this order; only in the file."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.all_rules()]
        if duplicate := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two rules are named {duplicate}")
        if self.burst is not None and self.requests_per_second is None:
            raise ValueError("`burst` needs `requests_per_second`; a rule has a `burst` of its own")
        return self

    def all_rules(self) -> tuple[LimitRule, ...]:
        """Returns the rules, with the one that `requests_per_second` makes first."""
        rate = self.requests_per_second
        if rate is None:
            return self.rules
        burst = max(1, round(rate)) if self.burst is None else self.burst
        count = max(1, round(rate))
        simple = LimitRule(name=SIMPLE_RULE, limit=count, seconds=count / rate, burst=burst)
        return (simple, *self.rules)
