"""PATCH: the mask that the caller did not give."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from tests.edge.asgi import ask


@pytest.mark.parametrize(
    ("query", "body", "mask"),
    [
        ("", b'{"name":"n"}', "name"),
        ("", b'{"name":"","child":{"number":1,"tags":["a"]}}', "name,child.number,child.tags"),
        ("", b'{"child":{}}', "child"),
        ("?maskField=tags", b'{"name":"n"}', "tags"),
        ("?mask_field=child.name", b'{"name":"n"}', "child.name"),
        ("", b"", None),
    ],
)
async def test_the_mask_is_what_the_body_has(
    app: FastAPI, query: str, body: bytes, mask: str | None
) -> None:
    """A PATCH without a mask changes what its body names; a mask that is given stays."""
    answer = await ask(app, "PATCH", f"/v1/patched/x{query}", body)

    assert (answer.status, answer.json.get("maskField")) == (200, mask)


async def test_a_body_without_parts_has_no_mask_inferred(app: FastAPI) -> None:
    """Where the body is a message that JSON writes as one value, there is nothing to name."""
    answer = await ask(app, "PATCH", "/v1/stamped/x", b'"2026-11-22T08:00:00Z"')

    assert (answer.status, answer.json.get("maskField")) == (200, None)
