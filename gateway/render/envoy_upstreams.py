"""Envoy's clusters of the list `upstreams`, and which of them a method goes to.

Rule: what Envoy would do otherwise than the edge is refused, with words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from gateway.contract.method import Method
from gateway.contract.method_patterns import fitting_prefix, prefix_of
from gateway.render.envoy_tls import Node, TlsOptions, is_ip
from gateway.render.envoy_upstream import host_and_address, seconds, upstream_cluster
from gateway.upstream_settings import RetrySettings, UpstreamSettings

_POLICIES: Final = {"round_robin": "ROUND_ROBIN", "least_outstanding": "LEAST_REQUEST"}
_POLICY_CONFIGS: Final = {
    "round_robin": "round_robin_lb_config",
    "least_outstanding": "least_request_lb_config",
}
_NO_LIMIT: Final = 2**31 - 1
_MULTIPLIER: Final = 2.0
_RETRY_ON: Final = {
    "CANCELLED": "cancelled",
    "DEADLINE_EXCEEDED": "deadline-exceeded",
    "INTERNAL": "internal",
    "RESOURCE_EXHAUSTED": "resource-exhausted",
    "UNAVAILABLE": "unavailable",
}
"""Status code -> Envoy's condition; it has none for the others."""


class UpstreamRoutes:
    """Which entry a method goes to."""

    def __init__(self, upstreams: Sequence[UpstreamSettings]) -> None:
        """Takes the entries.

        Raises:
            ValueError: Envoy cannot retry as one of them says.
        """
        for own in upstreams:
            if own.retry is not None:
                _check_retry(own.name, own.retry)
        self._by_prefix = {prefix_of(each): own for own in upstreams for each in own.methods}

    def of(self, method: Method) -> UpstreamSettings | None:
        """Returns the entry that takes a method; None: the default one does."""
        prefix = fitting_prefix(method.full_name, self._by_prefix)
        return None if prefix is None else self._by_prefix[prefix]


def cluster_of(own: UpstreamSettings, *, streams: bool) -> str:
    """Returns the name of the cluster for the unary or the streaming calls of an entry."""
    apart = streams and _is_bounded(own)
    return f"upstreams.{own.name}.streams" if apart else f"upstreams.{own.name}"


def retry_policy(own: UpstreamSettings, method: Method) -> Node:
    """Returns the field of a route that makes calls again; empty: calls of the method are made once."""
    retry = own.retry
    if retry is None or method.stream_type.client or not retry.is_safe(method):
        return {}
    on = [_RETRY_ON[code] for code in retry.retryable_status_codes]
    if "UNAVAILABLE" in retry.retryable_status_codes:
        on += ["connect-failure", "refused-stream"]  # no status says so there
    return {
        "retry_policy": {
            "retry_on": ",".join(on),
            "num_retries": retry.max_attempts - 1,
            "retry_back_off": {
                "base_interval": seconds(retry.initial_backoff_seconds),
                "max_interval": seconds(
                    max(retry.max_backoff_seconds, retry.initial_backoff_seconds)
                ),
            },
        }
    }


def _ejection(own: UpstreamSettings) -> Node:
    """Returns the fields of a cluster that leave out failing addresses; empty: all take calls, always.

    Raises:
        ValueError: Envoy has no such ejection.
    """
    ejection = own.ejection
    if ejection is None:
        return {}
    if ejection.slow_seconds is not None:
        raise ValueError("Envoy ejects for no latency: leave out slow_seconds")
    fields: Node = {
        "outlier_detection": {
            "consecutive_gateway_failure": ejection.consecutive_failures,
            "enforcing_consecutive_gateway_failure": 100,
            "enforcing_consecutive_5xx": 0,
            "enforcing_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": seconds(ejection.seconds),
            "max_ejection_time": seconds(max(ejection.max_seconds, ejection.seconds)),
            "max_ejection_percent": max(round(ejection.max_share * 100), 1),
        }
    }
    if ejection.slow_start_seconds:
        window = {
            "slow_start_window": seconds(ejection.slow_start_seconds),
            "min_weight_percent": {"value": 10},
        }
        fields[_POLICY_CONFIGS[own.balance]] = {"slow_start_config": window}
    return fields


def _check_retry(name: str, retry: RetrySettings) -> None:
    if unknown := [code for code in retry.retryable_status_codes if code not in _RETRY_ON]:
        raise ValueError(f"upstreams[{name}]: Envoy retries no {', '.join(unknown)}")
    if retry.backoff_multiplier != _MULTIPLIER:
        raise ValueError(
            f"upstreams[{name}]: Envoy has no backoff_multiplier other than {_MULTIPLIER:g}"
        )


def added_headers(own: UpstreamSettings) -> Node:
    """Returns the field of a route that adds the metadata of an entry; empty: it has none.

    Raises:
        ValueError: a value is in a file, which Envoy cannot read.
    """
    headers = []
    for each in own.metadata:
        if each.value is None:
            raise ValueError(
                f"upstreams[{own.name}]: Envoy reads no value_file of metadata; give value, which then"
                " stands in its configuration"
            )
        value = each.value.get_secret_value().replace("%", "%%")
        headers.append(
            {
                "header": {"key": each.key, "value": value},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        )
    return {"request_headers_to_add": headers} if headers else {}


def upstreams_clusters(
    upstreams: Sequence[UpstreamSettings], *, keepalive: float
) -> Iterator[Node]:
    """Yields the clusters of all entries.

    Raises:
        ValueError: Envoy does not support an address or the TLS settings of one.
    """
    for own in upstreams:
        try:
            yield _cluster(own, own.max_calls, keepalive, streams=False)
            if _is_bounded(own):
                yield _cluster(own, own.max_streams, keepalive, streams=True)
        except ValueError as error:
            raise ValueError(f"upstreams[{own.name}]: {error}") from error


def _is_bounded(own: UpstreamSettings) -> bool:
    return own.max_calls is not None or own.max_streams is not None


def _cluster(own: UpstreamSettings, limit: int | None, keepalive: float, *, streams: bool) -> Node:
    found = [host_and_address(each) for each in own.addresses]
    hosts = [host for host, _ in found]
    if own.has_tls and own.server_name is None and len(set(hosts)) > 1:
        raise ValueError("Envoy verifies one name for all addresses: give server_name")
    pipes = ["pipe" in address for _, address in found]
    named = any(not is_ip(host) for host, pipe in zip(hosts, pipes, strict=True) if not pipe)
    if named and any(pipes):
        raise ValueError("Envoy has names and Unix sockets in no one cluster")
    tls = TlsOptions(
        upstream_tls=own.tls,
        upstream_ca=own.ca,
        upstream_certificate=own.certificate,
        upstream_key=own.key,
        upstream_name=own.server_name,
    )
    name = cluster_of(own, streams=streams)
    cluster = upstream_cluster(
        own.addresses[0],
        own.max_connections,
        keepalive=keepalive,
        tls=tls,
        name=name,
        max_calls=_NO_LIMIT if limit is None else limit,
    )
    if own.retry is not None:
        (threshold,) = cluster["circuit_breakers"]["thresholds"]
        del threshold["max_retries"]
        threshold["retry_budget"] = {
            "budget_percent": {"value": own.retry.token_ratio * 100},
            "min_retry_concurrency": math.ceil(own.retry.max_tokens / 2),
        }
    endpoints: list[dict[str, Any]] = [{"endpoint": {"address": address}} for _, address in found]
    return cluster | {
        "type": "STRICT_DNS" if named else "STATIC",
        "connect_timeout": seconds(own.connect_timeout_seconds),
        "lb_policy": _POLICIES[own.balance],
        **_ejection(own),
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
