"""Environment variables with a program's prefix that are no setting of it: a misspelt one stops the start."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Final

_ADDED_FOR_A_SERVICE: Final = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
"""Names that Kubernetes sets for each Service in the namespace, and Docker for each link.

A Service `core` or `protoway-grpc` has them begin with a prefix of ours, so they are not refused.
"""
_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://")
"""Begins the value of `NAME_PORT`, which both of them set too."""


def unknown_variables(
    environment: Mapping[str, str],
    prefix: str,
    settings: Collection[str],
    others: Collection[str] = (),
) -> list[str]:
    """Returns a line for each variable that has the prefix and sets nothing, with the nearest name.

    Args:
        environment: names and values; names are compared without regard to case.
        prefix: of the program's variables, in upper case.
        settings: names of the settings, without the prefix.
        others: names without the prefix that are not the program's, and are not refused.
    """
    known = [name.upper() for name in settings]
    passed = {*known, *(name.upper() for name in others)}
    problems: list[str] = []
    for variable in sorted(environment):
        name = variable.upper().removeprefix(prefix)
        if not variable.upper().startswith(prefix) or name in passed:
            continue
        if _ADDED_FOR_A_SERVICE.fullmatch(name) or is_service_address(environment[variable]):
            continue
        near = get_close_matches(name, known, n=1)
        advice = f"did you mean {prefix}{near[0]}?" if near else "unset it"
        problems.append(f"{variable}: no such setting; {advice}")
    return problems


def unknown_names(given: Iterable[str], settings: Iterable[str]) -> list[str]:
    """Returns a line for each name, as given in Python, that is no setting, with the nearest one."""
    known = list(settings)
    problems: list[str] = []
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            problems.append(
                f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
            )
    return problems


def is_service_address(value: object) -> bool:
    """Whether a value is what Kubernetes sets `NAME_PORT` to, such as `tcp://10.0.0.1:8080`."""
    return isinstance(value, str) and _ADDRESS.match(value) is not None
