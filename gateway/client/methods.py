"""Finds the method that a person names."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from gateway.contract.method import Method
from gateway.options import OptionError

_SHOWN: Final = 10


def find_method(methods: Sequence[Method], name: str) -> Method:
    """Returns the method of a name, of which the beginning may be left out.

    Args:
        methods: of the contract.
        name: `package.Service.Method`, `package.Service/Method`, `Service.Method` or `Method`.

    Raises:
        OptionError: no method has this name, or several have.
    """
    wanted = name.strip("/").replace("/", ".")
    named = {method.full_name: method for method in methods}
    if wanted in named:
        return named[wanted]
    found = [full for full in named if full.endswith(f".{wanted}")]
    if len(found) == 1:
        return named[found[0]]
    if found:
        raise OptionError(f"call: several methods are called {name}: {_listed(found)}")
    near = get_close_matches(wanted, named, n=1, cutoff=0.4)
    if not near:
        last = {full.rpartition(".")[2]: full for full in named}
        near = [last[each] for each in get_close_matches(wanted.rpartition(".")[2], last, n=1)]
    hint = f"did you mean {near[0]}?" if near else f"there are {_listed(list(named))}"
    raise OptionError(f"call: the contract has no method {name}; {hint}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
