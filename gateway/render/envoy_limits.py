"""Envoy's `local_ratelimit` from the section `limits`, and its circuit breakers from `overload`.

Envoy counts what the edge counts by address, or all together, before it is known which method is called. Each
rule is a filter, so that two rules may count the same callers.

Source: Envoy's `local_ratelimit.v3.LocalRateLimit`, whose descriptors without a value are one bucket for each
value; `cluster.v3.CircuitBreakers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.admission.limits.settings import LimitRule, LimitsSettings
from gateway.admission.overload.settings import OverloadSettings
from gateway.render.envoy_tls import Node
from gateway.render.envoy_upstream import seconds

LIMIT: Final = "envoy.filters.http.local_ratelimit"
_CONFIG: Final = (
    "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
)
_LEAST_SECONDS: Final = 0.05
_MOST: Final = 2**32 - 1
"""Numbers of a token bucket have 32 bits."""


def limits_problems(limits: LimitsSettings, overload: OverloadSettings) -> Iterator[str]:
    """Yields what Envoy would not obey, each with the name of the setting."""
    if limits.shared:
        yield "limits_shared: each Envoy counts on its own (local_ratelimit)"
    for rule in limits.all_rules():
        for name, problem in _problems(rule):
            yield f"limits.rules ({rule.name}): {name}: {problem}"
    if overload.adaptive:
        yield "overload_adaptive: Envoy's adaptive limit is another one; set overload_max_calls alone"


def _problems(rule: LimitRule) -> Iterator[tuple[str, str]]:
    if rule.counts != "requests":
        yield "counts", f"Envoy counts requests, and not {rule.counts}"
    if others := sorted(set(rule.by) - {"address"}):
        yield "by", f"Envoy counts by address, and not by {', '.join(others)}"
    if rule.methods:
        yield "methods", "Envoy counts before it is known which method is called"
    if rule.costs:
        yield "costs", "in Envoy each request costs 1"
    if rule.seconds < _LEAST_SECONDS:
        yield "seconds", f"Envoy has {_LEAST_SECONDS} at least"
    if max(rule.limit, rule.at_once) > _MOST:
        yield "limit", f"Envoy counts to {_MOST}"


def limit_filters(limits: LimitsSettings) -> list[Node]:
    """Returns one filter for each rule, in the order of the rules."""
    return [
        {
            "name": f"{LIMIT}.{rule.name}",
            "typed_config": {"@type": _CONFIG, **_limit(rule, limits)},
        }
        for rule in limits.all_rules()
    ]


def _limit(rule: LimitRule, limits: LimitsSettings) -> Node:
    bucket = {
        "max_tokens": rule.at_once,
        "tokens_per_fill": rule.limit,
        "fill_interval": seconds(rule.seconds),
    }
    every = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    limit: Node = {
        "stat_prefix": f"limit.{rule.name}",
        "token_bucket": bucket,
        "filter_enabled": every,
        "filter_enforced": every,
        "rate_limited_as_resource_exhausted": True,
    }
    if not rule.by:
        return limit
    key = "masked_remote_address"
    masks = {
        "v4_prefix_mask_len": limits.ipv4_prefix,
        "v6_prefix_mask_len": limits.ipv6_prefix,
    }
    return limit | {
        "rate_limits": [{"actions": [{key: masks}]}],
        "descriptors": [{"entries": [{"key": key}], "token_bucket": bucket}],
        "always_consume_default_token_bucket": False,
        "max_dynamic_descriptors": limits.max_keys,
    }
