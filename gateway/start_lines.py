"""What the start says: where it listens, what it serves, and the cost of middleware."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fastapi import FastAPI

from gateway.contract.http_rule import Binding
from gateway.contract.signature import signature
from gateway.contract.stream_policy import SlowConsumer, stream_policy
from gateway.doors.asgi import ContractRoutes
from gateway.listening import shown_host
from gateway.settings import Settings

SERVING: Final = "protoway: serving HTTP on "
"""What the first start line begins with."""
UNARY_COST: Final = "2 to 2.5"
"""CPU of a unary call through one middleware, as a multiple of that without any (`bench/middleware.py`)."""
_SHOWN_SERVICES: Final = 3
"""Maximum services that the start line names."""


def middleware_line(app: FastAPI) -> Sequence[str]:
    """Returns the line that names the user's middleware and its cost, outermost first; without any, none."""
    classes: list[object] = [each.cls for each in app.user_middleware]
    names = [_name(each) for each in classes if each is not ContractRoutes]
    if not names:
        return ()
    take = "takes" if len(names) == 1 else "take"
    cost = f"at about {UNARY_COST} times the CPU of a unary call"
    page = "docs/how-to/python-application.md"
    return (
        f"protoway: {', '.join(names)} {take} every request through ASGI, {cost}; policies do not ({page})",
    )


def _name(middleware: object) -> str:
    return getattr(middleware, "__name__", None) or type(middleware).__name__


def shown(listening: socket.socket, scheme: str) -> str:
    """Returns where a socket listens, as a URL or as `unix:PATH`."""
    if listening.family == socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    return f"{scheme}://{shown_host(host)}:{port}"


def streams_line(bindings: Sequence[Binding], settings: Settings) -> Sequence[str]:
    """Returns the line that says what several workers without a store lose of streams; mostly none."""
    policies = {each.method.path: stream_policy(each.method) for each in bindings}
    kept = [
        path for path, policy in policies.items() if policy and (policy.shared or policy.linger)
    ]
    if settings.workers == 1 or settings.store.url is not None or not kept:
        return ()
    line = (
        f"protoway: each of the {settings.workers} workers has its own streams of {', '.join(kept)}:"
        " who comes back to another one is told that the stream has restarted, unless they share a store"
        " (--feed-store; docs/reference/shared-streams.md)"
    )
    return (line,)


def unshared_streams(bindings: Iterable[Binding]) -> Iterator[str]:
    """Yields what a store of feeds does not share, and why."""
    for method in {each.method.path: each.method for each in bindings}.values():
        policy = stream_policy(method)
        if policy is None:
            continue
        if not policy.shared:
            why = "each of its readers has a call of its own"
            if policy.slow_consumer is SlowConsumer.BLOCK:
                why += ", and holds it back, which a log cannot do"
            yield f"feed_store does not share the stream of {method.path}: {why}"
        elif not isinstance(signature(method), bytes):
            why = "a message that holds a google.protobuf.Any has no signature that other processes know"
            yield f"feed_store does not share the stream of {method.path}: {why}"


def served(bindings: Sequence[Binding], settings: Settings) -> str:
    """Returns what is served, in one line: routes, services, contract, upstream and transport."""
    services = list(dict.fromkeys(binding.method.service_name for binding in bindings))
    names = ", ".join(services[:_SHOWN_SERVICES])
    if len(services) > _SHOWN_SERVICES:
        names += f" and {len(services) - _SHOWN_SERVICES} more"
    routes = f"{len(bindings)} route{'s' if len(bindings) != 1 else ''}"
    return (
        f"{routes} of {names} from {settings.contract_words()};"
        f" upstream {settings.upstream} by {settings.transport}"
    )
