"""All bindings of a contract, and all that is wrong with them.

Two bindings that the same requests would reach are an error. No binding hides another one whole: of two
templates that both match a path, the table takes the one with the earlier literal, and each keeps the paths
that the other does not match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.contract.errors import ContractError
from gateway.contract.http_rule import Binding, bindings
from gateway.contract.method import Method
from gateway.contract.route_table import RouteConflict, RouteTable
from gateway.contract.stream_policy import stream_policy


def bind(methods: Iterable[Method]) -> tuple[list[Binding], list[ContractError]]:
    """Returns the bindings of some methods, and every problem that a person has to mend."""
    found: list[Binding] = []
    problems: list[ContractError] = []
    table: RouteTable[Binding] = RouteTable()
    for binding in (each for method in methods for each in _checked(method)):
        if isinstance(binding, ContractError):
            problems.append(binding)
            continue
        try:
            table.add(binding.http_method, binding.template, binding)
        except RouteConflict as conflict:
            problems.append(_conflict(binding, conflict.other))
        else:
            found.append(binding)
    if not found and not problems:
        problems.append(ContractError("no method of the served services has an HTTP rule"))
    return found, problems


def _checked(method: Method) -> Iterator[Binding | ContractError]:
    yield from bindings(method)
    try:
        stream_policy(method)
    except ValueError as error:
        yield ContractError(str(error), location=method.stream_location, subject=method.full_name)


def _conflict(binding: Binding, other: object) -> ContractError:
    before = f"{other.method.full_name} ({other})" if isinstance(other, Binding) else str(other)
    return ContractError(
        f"{binding} is bound already, to {before}",
        location=binding.method.location,
        subject=binding.method.full_name,
    )
