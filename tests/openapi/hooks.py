"""What schemathesis is told of the contracts under test that OpenAPI 3.1 cannot say.

It alters requests that are to be accepted:

- parameters of a query cannot exclude each other, so of `echo.v1.Everything.choice` one stays;
- what an `Any` may hold depends on the type that it names, and `value` of an `Any` is left out;
- a mask in a query may have a path such as `a__b`, which has no JSON when it is echoed;
- what comes of an amount has to fit a double, which depends on the rate of the day and on the whole batch.

Of those that are to be refused it drops some: in a query each value is a text, so a number or a truth value
in the place of a text, or of bytes, is none that is wrong.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import GenerationMode

_LARGEST_AMOUNT = 1e290
_TEXTS = ("string", "bytes", "custom", "class", "nested.", "choiceNested.", "choice_nested.")
"""How the names begin of parameters that take texts."""


@schemathesis.hook  # type: ignore[untyped-decorator] # it is installed for this run alone
def before_call(_context: Any, case: Any, **_kwargs: Any) -> None:
    """Alters a request before it is sent."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if case.query:
        _keep_one_choice(case.query)
        _keep_camel_case(case.query)
    for part in (case.query, case.body):
        _soften(part)


@schemathesis.hook  # type: ignore[untyped-decorator] # it is installed for this run alone
def filter_case(_context: Any, case: Any) -> bool:
    """Drops a request that is wrong by the type of a value alone, which a query does not have."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.NEGATIVE:
        return True
    query: dict[str, Any] = case.query or {}
    return not any(name.startswith(_TEXTS) and _has_no_text(query[name]) for name in query)


def _has_no_text(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return any(_has_no_text(item) for item in value)
    return isinstance(value, bool | int | float)


def _keep_one_choice(query: dict[str, Any]) -> None:
    for name in [name for name in query if name.startswith("choice")][1:]:
        del query[name]


def _keep_camel_case(query: dict[str, Any]) -> None:
    for name in ("maskField", "mask_field"):
        if "_" in str(query.get(name, "")):
            del query[name]


def _soften(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _soften(item)
    elif isinstance(value, dict):
        for key in ("anyField", "any_field"):
            value.pop(key, None)
        if isinstance(amount := value.get("amount"), float):
            value["amount"] = min(amount, _LARGEST_AMOUNT)
        for item in value.values():
            _soften(item)
