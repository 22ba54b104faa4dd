"""What schemathesis is told of the contracts under test that OpenAPI 3.1 cannot say.

It alters requests that are to be accepted:

- parameters of a query cannot exclude each other, so of `echo.v1.Everything.choice` one stays;
- what an `Any` may hold depends on the type that it names, and `value` of an `Any` is left out;
- a mask in a query may have a path such as `a__b`, which has no JSON when it is echoed;
- what comes of an amount has to fit a double, which depends on the rate of the day and on the whole batch;
- version 2 of the demo takes names of resources whose currencies have a rate, amounts of `google.type.Money`
  that are greater than zero and not too large, pages of a size, and no token that it has not given.

Of those that are to be refused it drops some: in a query each value is a text, so a number or a truth value
in the place of a text, or of bytes, is none that is wrong.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import GenerationMode

_LARGEST_AMOUNT = 1e290
_MONEY = {"currencyCode": "USD", "units": "1", "nanos": 5}
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
    if case.path.startswith("/v2/"):
        _keep_to_version_2(case)


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


def _keep_to_version_2(case: Any) -> None:
    for name, code in (("name", "USD"), ("parent", "USD"), ("name_1", "EUR")):
        if name in (case.path_parameters or ()):
            case.path_parameters[name] = code
    query = case.query = case.query or {}
    if "pageSize" in query:
        query["pageSize"] = abs(int(query["pageSize"])) % 100
    query.pop("pageToken", None)
    if case.path.endswith(":convert") and case.method.upper() == "GET":
        query |= {"amount.currencyCode": "USD", "amount.units": "1", "amount.nanos": "5"}
    for message in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(message, dict) and "amount" in message:
            message["amount"] = _MONEY


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
