"""The policies that count: one of rules by address before identity, one of rules by identity behind rights.

A request takes its slots first, for they come back; then its tokens, rule by rule, and the first rule that
refuses ends it. What earlier rules have counted stays counted.

Source of the headers: draft-ietf-httpapi-ratelimit-headers-10 (September 2025), sections 3 and 4. The quota
of a rule is what may be asked for at once, its window the time in which that comes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import ceil
from time import monotonic
from typing import Final

from gateway.admission.limits.gcra import Decision
from gateway.admission.limits.memory import MemoryStore, Table
from gateway.admission.limits.refusal import RETRY_SECONDS, refusal
from gateway.admission.limits.rules import Plan, Rule, plan
from gateway.admission.limits.settings import LimitRule, LimitsSettings
from gateway.admission.limits.store import LimitStore, Wanted
from gateway.contract.method import Method
from gateway.exchange.request_info import RequestInfo

_POLICY: Final = b"ratelimit-policy"
_LEFT: Final = b"ratelimit"


def limits_policies(
    settings: LimitsSettings,
    health_paths: frozenset[str],
    *,
    store: LimitStore | None = None,
    clock: Callable[[], float] = monotonic,
) -> tuple[Limits | None, Limits | None]:
    """Makes the policy that stands before identity, and the one behind rights; None where there is no rule.

    Args:
        settings: the section.
        health_paths: which are open to anybody.
        store: counts requests together with other processes; None: this process does it alone. Messages and
            bytes, and what is under way, are counted by each process: a stream cannot wait for a store with
            each message.
        clock: seconds that do not go back.
    """
    memory = MemoryStore(settings.max_keys)
    rules = settings.all_rules()
    halves: list[Limits | None] = []
    for by_identity in (False, True):
        own = [rule for rule in rules if rule.needs_identity is by_identity]
        made = [(Rule(rule, settings, memory), rule) for rule in own]
        halves.append(
            Limits(
                made,
                store,
                clock,
                headers=settings.headers,
                health_paths=health_paths,
                preflights=not by_identity,
            )
            if made
            else None
        )
    return halves[0], halves[1]


class Limits:
    """Counts requests, what they send and are sent, and what is under way."""

    def __init__(
        self,
        rules: Sequence[tuple[Rule, LimitRule]],
        store: LimitStore | None,
        clock: Callable[[], float],
        *,
        headers: bool,
        health_paths: frozenset[str],
        preflights: bool,
    ) -> None:
        """Takes the rules, and whether preflights, which nobody has credentials for, are counted."""
        self._rules = rules
        self._store = store
        self._clock = clock
        self._headers = headers
        self._health_paths = health_paths
        self._preflights = preflights
        self._plans: dict[Method | None, Plan] = {}

    def for_contract(self) -> Limits:
        """Returns a policy with the same counts for the methods of another contract."""
        return Limits(
            self._rules,
            self._store,
            self._clock,
            headers=self._headers,
            health_paths=self._health_paths,
            preflights=self._preflights,
        )

    def admit(self, request: RequestInfo) -> Awaitable[None] | None:
        """See `Policy`."""
        method = request.method
        found = self._plans.get(method)
        if found is None:
            found = plan(self._rules, method)
            if method is None or not method.unknown_path:
                self._plans[method] = found
        if method is None and self._is_open(request):
            return None
        if found.is_plain and self._store is None:
            self._take_plain(request, found)
            return None
        told: list[str] = []
        if found.slots:
            self._take_slots(request, found, told)
        if found.messages:
            self._meter(request, found, told)
        if found.requests and self._store is not None:
            return self._share(request, found, told, self._store)
        self._take(request, found, told)
        return None

    def _is_open(self, request: RequestInfo) -> bool:
        if request.path in self._health_paths:
            return True
        return not self._preflights and request.is_preflight

    def _take_plain(self, request: RequestInfo, found: Plan) -> None:
        """Does what `_take` does, for a plan with one rule, which counts requests."""
        rule, _, table, cost = found.requests[0]
        key = rule.key(request)
        if key is None:
            return
        remaining, retry, full = table.take(key, cost, self._clock())
        if self._headers:
            seconds = ceil(retry or full)
            request.response_headers += (
                (_POLICY, found.policies),
                (_LEFT, b"%b%d;t=%d" % (rule.left, remaining, seconds)),
            )
        if retry:
            raise refusal(rule.name, rule.counts, retry)

    def _take(self, request: RequestInfo, found: Plan, told: list[str]) -> None:
        """Takes the tokens of a request in this process."""
        if found.requests:
            now = self._clock()
            for rule, _, table, cost in found.requests:
                key = rule.key(request)
                if key is not None:
                    self._obey(table.take(key, cost, now), rule, request, found, told)
        self._tell(request, found, told)

    def _share(
        self, request: RequestInfo, found: Plan, told: list[str], store: LimitStore
    ) -> Awaitable[None] | None:
        """Takes the tokens of a request in the store.

        A caller whose first bucket is known to be empty is refused at once: the store cannot say otherwise,
        so a flood of such requests does not reach it.
        """
        now = self._clock()
        asked: list[tuple[Rule, Table]] = []
        wanted: list[Wanted] = []
        for rule, rate, table, cost in found.requests:
            key = rule.key(request)
            if key is None:
                continue
            if not asked and (known := table.look(key, cost, now)).retry_seconds:
                self._obey(known, rule, request, found, told)
            asked.append((rule, table))
            wanted.append(Wanted(rate, key, cost))
        answer = store.take(wanted) if wanted else None
        if answer is None:
            self._take(request, found, told)
            return None
        return self._wait(answer, asked, wanted, request, found, told)

    async def _wait(
        self,
        answer: Awaitable[Sequence[Decision] | None],
        asked: Sequence[tuple[Rule, Table]],
        wanted: Sequence[Wanted],
        request: RequestInfo,
        found: Plan,
        told: list[str],
    ) -> None:
        """Obeys the store, and notes what it says: without it, this process goes on from there."""
        now = self._clock()
        decisions = await answer
        if decisions is None:
            self._take(request, found, told)
            return
        for (rule, table), (_, key, _), decision in zip(asked, wanted, decisions, strict=False):
            table.follow(key, now + decision.full_seconds, now)
            self._obey(decision, rule, request, found, told)
        self._tell(request, found, told)

    def _obey(
        self, decision: Decision, rule: Rule, request: RequestInfo, found: Plan, told: list[str]
    ) -> None:
        remaining, retry, full = decision
        if self._headers:
            told.append(f'"{rule.name}";r={remaining};t={ceil(retry or full)}')
        if retry:
            self._tell(request, found, told)
            raise refusal(rule.name, rule.counts, retry)

    def _take_slots(self, request: RequestInfo, found: Plan, told: list[str]) -> None:
        for rule, slots in found.slots:
            key = rule.key(request)
            if key is None:
                continue
            taken = slots.take(key)
            if taken:
                request.at_end.append(partial(slots.release, key))
            if self._headers:
                told.append(f'"{rule.name}";r={slots.limit - slots.taken(key)}')
            if not taken:
                self._tell(request, found, told)
                raise refusal(rule.name, rule.counts, RETRY_SECONDS)

    def _meter(self, request: RequestInfo, found: Plan, told: list[str]) -> None:
        method = request.method
        unary = method is not None and not method.streams
        for rule, table, by_bytes in found.messages:
            key = rule.key(request)
            if key is None:
                continue
            meter = Meter(rule, table, key, self._clock, by_bytes=by_bytes)
            if by_bytes:
                # what was sent before may still have to be paid
                self._obey(table.take(key, 0, self._clock()), rule, request, found, told)
            request.message_checks.append(meter.take)
            request.sent_checks.append(meter.charge if unary else meter.take)

    def _tell(self, request: RequestInfo, found: Plan, told: list[str]) -> None:
        """Adds the headers; a `RateLimit` of another policy is another line of the same list."""
        if told:
            request.response_headers.append((_POLICY, found.policies))
            request.response_headers.append((_LEFT, ", ".join(told).encode()))


class Meter:
    """Counts the messages of one request, for one rule."""

    __slots__ = ("_by_bytes", "_clock", "_key", "_rule", "_table")

    def __init__(
        self, rule: Rule, table: Table, key: str, clock: Callable[[], float], *, by_bytes: bool
    ) -> None:
        self._rule = rule
        self._table = table
        self._key = key
        self._clock = clock
        self._by_bytes = by_bytes

    def take(self, size: int) -> None:
        """Counts a message before it goes on.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, it is one too many, which ends the request.
        """
        cost = size if self._by_bytes else 1
        decision = self._table.take(self._key, cost, self._clock())
        if not decision.admitted:
            raise refusal(self._rule.name, self._rule.counts, decision.retry_seconds)

    def charge(self, size: int) -> None:
        """Counts the answer to a unary call, which is never refused: the call is done."""
        self._table.charge(self._key, size if self._by_bytes else 1, self._clock())
