"""All services of the edge itself, for one contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.contract.descriptors import Contract
from gateway.contract.method import Method
from gateway.exchange.own_calls import OwnCall
from gateway.rpc_services.health import health_calls
from gateway.rpc_services.reflection import reflection_calls


def own_services(
    contract: Contract, is_serving: Callable[[], Awaitable[bool]], *, reflection: bool
) -> dict[Method, OwnCall]:
    """Returns health, and reflection where it is wanted; a service of the contract goes before.

    Args:
        contract: what reflection shows.
        is_serving: asks whether the edge is ready, which health tells.
        reflection: whether callers may read the contract.
    """
    taken = {method.service_name for method in contract.methods}
    calls = health_calls(is_serving, taken)
    if reflection:
        calls |= reflection_calls(contract)
    return {method: run for method, run in calls.items() if method.service_name not in taken}
