"""Which caller may call which service, by the client certificate of its connection.

Rule: only URIs and DNS names among a certificate's alternative names are names of a caller, each compared
with names of its own kind; a common name is none (RFC 6125, 6.4.4). TLS has verified the certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

ANY: Final = "*"
"""As a service: each that has no rule. As a caller: each with a certificate."""

Rules: TypeAlias = Mapping[str, frozenset[str]]
"""Service -> callers."""
Check: TypeAlias = Callable[[Any], None]
"""Raises CallerNotAllowedError if the caller of a context may not call."""


class CallerNotAllowedError(Exception):
    """A caller may not call a service."""


class CallersError(Exception):
    """The rules name a service that is not served. The text is one line."""


def read_rules(text: object) -> object:
    """Reads `SERVICE=CALLER,CALLER SERVICE=…`; leaves rules that are no text.

    Raises:
        ValueError: it is not of that form, or names a service twice.
    """
    if not isinstance(text, str):
        return text
    rules: dict[str, frozenset[str]] = {}
    for rule in text.split():
        service, equals, callers = rule.partition("=")
        names = frozenset(filter(None, callers.split(",")))
        if not (service and equals and names):
            raise ValueError("rules are SERVICE=CALLER,CALLER with spaces between")
        if service in rules:
            raise ValueError(f"service {service} has two rules")
        rules[service] = names
    return rules


def check_services(rules: Rules, services: Collection[str]) -> None:
    """Checks that the rules name services that are served.

    Raises:
        CallersError: one is not.
    """
    if unknown := sorted(rules.keys() - {ANY, *services}):
        raise CallersError(f"allowed_callers: no service {unknown[0]} is served")


def check_of(rules: Rules, service: str) -> Check | None:
    """Returns the check of a service; None: anyone may call it."""
    if not rules:
        return None
    allowed = rules.get(service, rules.get(ANY, frozenset[str]()))
    if ANY in allowed:
        return None

    def check(context: Any) -> None:
        names = names_of(context.auth_context())
        if not allowed & names:
            raise CallerNotAllowedError(f"this caller may not call {service}")

    return check


def names_of(properties: Mapping[str, Any]) -> set[str]:
    """Returns the names of a caller: URIs, which have a scheme, and DNS names, which have none."""
    uris = {each.decode("utf-8", "replace") for each in properties.get("peer_uri", ())}
    names = {each.decode("utf-8", "replace") for each in properties.get("peer_dns", ())}
    return {each for each in uris if ":" in each} | {each for each in names if ":" not in each}
