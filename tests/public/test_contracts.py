"""Every binding of every public contract is served; `tests.public.contracts` says where each is from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import orjson
import pytest
from openapi_spec_validator import validate

from gateway.contract.bindings import bind
from gateway.contract.http_rule import Binding
from gateway.contract.path_template import DEEP_WILDCARD, WILDCARD
from gateway.render.openapi import render_openapi
from tests.public.conftest import Serve, Served
from tests.public.contracts import CONTRACTS

BINDINGS = {
    "google.longrunning": 4,
    "google.cloud.location": 4,
    "google.iam.v1": 3,
    "google.pubsub.v1": 46,
    "google.logging.v2": 45,
    "google.privacy.dlp.v2": 150,
}
"""How many each had when its package was pinned; a contract may grow, and does not shrink unseen."""

every_contract = pytest.mark.parametrize("name", CONTRACTS)


def sample(binding: Binding) -> tuple[str, dict[str, str]]:
    """Returns a path that the binding's template matches, and what its variables then are."""
    numbers = count(1)
    segments = [_sample_segment(segment, numbers) for segment in binding.template.segments]
    values = {
        variable.field_path: "/".join(segments[variable.start : variable.end])
        for variable in binding.template.variables
    }
    verb = f":{binding.template.verb}" if binding.template.verb else ""
    return "/" + "/".join(segments) + verb, values


def _sample_segment(segment: str, numbers: Iterator[int]) -> str:
    if segment == DEEP_WILDCARD:
        return f"deep{next(numbers)}/deep{next(numbers)}"
    return f"s{next(numbers)}" if segment == WILDCARD else segment


def field(message: Any, path: str) -> Any:
    """Returns the value of a field of a message, by its dotted path."""
    for name in path.split("."):
        message = getattr(message, name)
    return message


async def fault(served: Served, binding: Binding) -> str:
    """Returns what goes wrong with a request for a binding; nothing if it arrives as it should."""
    path, values = sample(binding)
    takes_body = binding.body is not None or binding.method.stream_type.client
    answer = await served.ask(binding.http_method, path, b"{}" if takes_body else b"")
    if answer.status != 200 or not answer.complete:
        return f"{binding}: {answer.status} {answer.body!r}"
    if served.called != binding.method.full_name:
        return f"{binding}: reached {served.called}, not {binding.method.full_name}"
    arrived = {name: field(served.request, name) for name in values}
    return "" if arrived == values else f"{binding}: {arrived} arrived, not {values}"


@every_contract
def test_it_is_bound_without_a_problem(name: str) -> None:
    """What Google serves by these rules can be served: no rule is wrong, and none hides another."""
    found, problems = bind(CONTRACTS[name]().load().methods)

    assert problems == []
    assert len(found) >= BINDINGS[name]


@every_contract
async def test_every_binding_reaches_its_method(serve: Serve, name: str) -> None:
    """A path made from each template arrives at its method, with its variables in their fields."""
    async with serve(name) as served:
        bindings, _ = bind(served.contract.methods)
        faults = [text for binding in bindings if (text := await fault(served, binding))]

    assert faults == []


@every_contract
@pytest.mark.timeout(180)
def test_its_openapi_document_is_valid(name: str) -> None:
    """The document is OpenAPI 3.1 to a validator that is not ours."""
    validate(document(name))


@every_contract
def test_its_openapi_document_has_every_binding(name: str) -> None:
    """No operation takes another one's place: there are as many of them as bindings."""
    operations = [op for path in document(name)["paths"].values() for op in path.values()]
    bindings, _ = bind(CONTRACTS[name]().load().methods)

    assert len(operations) == len(bindings)


@every_contract
def test_its_openapi_paths_differ_in_more_than_names(name: str) -> None:
    """Paths that differ in the names of their parameters alone are identical (OpenAPI 3.1.1, 4.8.8.2)."""
    shapes = Counter(re.sub(r"{[^}]*}", "{}", path) for path in document(name)["paths"])

    assert [shape for shape, paths in shapes.items() if paths > 1] == []


def document(name: str) -> Any:
    """Returns the OpenAPI document of a contract, as a client gets it."""
    contract = CONTRACTS[name]().load()
    bindings, _ = bind(contract.methods)
    return orjson.loads(orjson.dumps(render_openapi(contract, bindings, title=name)))
