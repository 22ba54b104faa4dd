"""The rules, prepared for requests: which are about a method, and what each costs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from math import ceil
from typing import Final, NamedTuple

from gateway.admission.error import AdmissionError
from gateway.admission.limits.gcra import Rate
from gateway.admission.limits.keys import MakeKey, make_key
from gateway.admission.limits.memory import MemoryStore, Slots, Table
from gateway.admission.limits.settings import CONCURRENT, LimitRule, LimitsSettings
from gateway.contract.method import Method

_UNITS: Final = {
    "requests": "",
    "bytes": ';qu="content-bytes"',
    "calls": ';qu="concurrent-requests"',
    "streams": ';qu="concurrent-requests"',
}
"""The quota unit of what is counted, as a parameter; a request is the default."""


class Rule:
    """One rule.

    Attributes:
        name: see the settings.
        counts: see there.
        limit: see there.
        key: makes the key of a request.
        left: what the member of `RateLimit` begins with, before the tokens that are left.
        rate: of the buckets; None where slots are counted.
        table: the buckets in memory, of messages and bytes.
        slots: of what is under way; None where there is a rate.
        policy: the member of `RateLimit-Policy`.
    """

    __slots__ = ("counts", "key", "left", "limit", "name", "policy", "rate", "slots", "table")

    def __init__(self, rule: LimitRule, settings: LimitsSettings, memory: MemoryStore) -> None:
        self.name = rule.name
        self.counts = rule.counts
        self.limit = rule.limit
        self.key: MakeKey = make_key(rule.by, settings.ipv4_prefix, settings.ipv6_prefix)
        self.rate: Rate | None = None
        self.table: Table | None = None
        self.slots: Slots | None = None
        policy = f'"{rule.name}";q={rule.at_once}{_UNITS.get(rule.counts, "")}'
        if rule.counts in CONCURRENT:
            self.slots = Slots(rule.limit)
        else:
            may_owe = rule.counts == "bytes"
            self.rate = Rate.of(rule.name, rule.limit, rule.seconds, rule.at_once, may_owe=may_owe)
            self.table = memory.table(self.rate)
            policy += f";w={ceil(self.rate.tolerance - 1e-9)}"
        self.policy = policy
        self.left = f'"{rule.name}";r='.encode()


class Plan(NamedTuple):
    """What is counted of the requests for one method; a rule behind another is asked behind it."""

    slots: tuple[tuple[Rule, Slots], ...]
    requests: tuple[tuple[Rule, Rate, Table, int], ...]
    """With the cost of a request."""
    messages: tuple[tuple[Rule, Table, bool], ...]
    """With whether a message counts its bytes."""
    policies: bytes
    """The value of `RateLimit-Policy`; empty if no rule is told."""
    is_plain: bool
    """Whether one rule counts requests, and no other anything."""


def plan(rules: Iterable[tuple[Rule, LimitRule]], method: Method | None) -> Plan:
    """Returns what is counted of the requests for a method; None is a request for none.

    Args:
        rules: all rules, as they are written too.
        method: of the requests.
    """
    streams = method is not None and method.streams
    slots: list[tuple[Rule, Slots]] = []
    requests: list[tuple[Rule, Rate, Table, int]] = []
    messages: list[tuple[Rule, Table, bool]] = []
    told: list[str] = []
    for rule, written in rules:
        if written.methods and not any(_fits(pattern, method) for pattern in written.methods):
            continue
        if rule.slots is not None:
            if method is None or streams != (rule.counts == "streams"):
                continue
            slots.append((rule, rule.slots))
            told.append(rule.policy)
        elif rule.counts == "requests" and rule.rate is not None and rule.table is not None:
            cost = _cost(written.costs, method)
            if not cost:
                continue
            requests.append((rule, rule.rate, rule.table, cost))
            told.append(rule.policy)
        elif rule.table is not None and method is not None:
            by_bytes = rule.counts == "bytes"
            if not (by_bytes or streams):
                continue
            messages.append((rule, rule.table, by_bytes))
            if by_bytes:
                told.append(rule.policy)
    return Plan(
        tuple(slots),
        tuple(requests),
        tuple(messages),
        ", ".join(told).encode(),
        is_plain=len(requests) == 1 and not slots and not messages,
    )


def check_patterns(settings: LimitsSettings, methods: Collection[Method]) -> None:
    """Checks that each pattern of a rule is about some method: a misspelt one would limit nothing.

    Raises:
        AdmissionError: one is not; the text names the nearest method.
    """
    paths = sorted({method.path[1:] for method in methods})
    for rule in settings.rules:
        for pattern in (*rule.methods, *rule.costs):
            if pattern == "*" or any(_fits(pattern, method) for method in methods):
                continue
            near = get_close_matches(pattern, paths, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise AdmissionError(
                f"limits.rules: {pattern} of {rule.name} is no method that is served{hint}"
            )


def _fits(pattern: str, method: Method | None) -> bool:
    if method is None:
        return pattern == "*"
    path = method.path[1:]
    return pattern in ("*", path) or pattern == f"{method.service_name}/*"


def _cost(costs: Mapping[str, int], method: Method | None) -> int:
    """Returns the tokens of a request: those of the method, of its service, of all, or 1."""
    if method is None:
        return costs.get("*", 1)
    for pattern in (method.path[1:], f"{method.service_name}/*", "*"):
        if pattern in costs:
            return costs[pattern]
    return 1
