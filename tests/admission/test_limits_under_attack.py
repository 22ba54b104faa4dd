"""A flood from ever new addresses: memory, work, and what it gains."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from ipaddress import IPv6Address
from time import perf_counter

from gateway.admission.identity import Identity
from gateway.admission.limits.policy import limits_policies
from gateway.admission.limits.settings import LimitRule, LimitsSettings
from gateway.exchange.policy import Policy
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import StatusError

NETWORK = int(IPv6Address("2001:db8::"))
HOUR = LimitRule(name="hour", limit=10, seconds=3600)
SECOND = LimitRule(name="second", limit=100)
CALLS = LimitRule(name="calls", limit=5, counts="calls")
BYTES = LimitRule(name="bytes", limit=1000, seconds=3600, counts="bytes")


def policy_of(*rules: LimitRule, max_keys: int) -> Policy:
    """Returns the policy before identity."""
    settings = LimitsSettings(rules=rules, max_keys=max_keys, headers=True)
    policy = limits_policies(settings, frozenset())[0]
    assert policy is not None
    return policy


def address(number: int) -> str:
    """Returns an address in a network of its own."""
    return str(IPv6Address(NETWORK + (number << 64)))


def ask(policy: Policy, client: str) -> bool:
    """Makes one request from an address, to its end; returns whether it was admitted."""
    request = RequestInfo(client=client)
    try:
        policy.admit(request)
    except StatusError:
        return False
    finally:
        for tell in request.at_end:
            tell()
    return True


def test_a_hundred_thousand_addresses_keep_memory_flat() -> None:
    """Slow limits, whose buckets all stay in use: the table is full, and so are what newcomers share."""
    policy = policy_of(HOUR, SECOND, CALLS, BYTES, max_keys=10_000)
    for number in range(100_000):
        ask(policy, address(number))
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(100_000, 200_000):
        ask(policy, address(number))
    gc.collect()

    # a table that grew would have one for each address
    assert sys.getallocatedblocks() - before < 5_000


def test_the_memory_of_a_caller_is_what_the_page_says() -> None:
    """About 200 bytes for each that a rule counts apart."""
    policy = policy_of(HOUR, max_keys=1_000_000)
    ask(policy, address(0))
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(10_000):
            ask(policy, address(number))
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown < 300 * 10_000


def test_a_flood_of_addresses_gains_nothing_by_being_forgotten() -> None:
    """Coming back after 30,000 others, an address finds its bucket as empty as it left it."""
    policy = policy_of(HOUR, max_keys=10_000)
    first = [address(number) for number in range(100)]
    for client in first:
        assert [ask(policy, client) for _ in range(11)] == [True] * 10 + [False]
    for number in range(1000, 31_000):
        ask(policy, address(number))

    assert not any(ask(policy, client) for client in first)


def test_a_request_of_a_flood_costs_no_more_than_the_first() -> None:
    """The table is full or empty; the bound is wide, for the machine is shared."""
    policy = policy_of(HOUR, max_keys=10_000)
    clients = [address(number) for number in range(60_000)]

    def seconds(part: list[str]) -> float:
        begin = perf_counter()
        for client in part:
            ask(policy, client)
        return perf_counter() - begin

    first = seconds(clients[:10_000])
    last = min(seconds(clients[at : at + 10_000]) for at in range(20_000, 60_000, 10_000))

    assert last < 10 * first


def test_a_long_name_takes_no_more_memory_than_a_short_one() -> None:
    """A subject is the caller's choice, so only its digest is kept."""
    rule = LimitRule(name="r", limit=10, seconds=3600, by=("identity",))
    policy = limits_policies(LimitsSettings(rules=(rule,)), frozenset())[1]
    assert policy is not None
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(500):
            request = RequestInfo()
            request.identity = Identity(f"{'x' * 10_000}{number}", "jwt")
            policy.admit(request)
        del request
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown < 500 * 1000
