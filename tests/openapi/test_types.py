"""Clients in TypeScript: the types that openapi-typescript makes of the document, beside real answers.

An answer is written into a file as a constant of its type, so `tsc` refuses each name that the type has not,
each that it misses, and each value of another type.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import httpx
import orjson
import pytest

from tests.openapi.installed import INSTALLED, demo, echo, run

pytestmark = [pytest.mark.openapi, pytest.mark.timeout(300)]

PRINTED = {
    "plain": {},
    "proto-names": {"print_proto_names": "true"},
    "enum-numbers": {"print_enum_numbers": "true"},
    "int64-numbers": {"print_int64_numbers": "true"},
    "defaults": {"print_defaults": "true"},
    "all": {
        "print_proto_names": "true",
        "print_enum_numbers": "true",
        "print_int64_numbers": "true",
        "print_defaults": "true",
    },
}
FULL = {
    "doubleField": 0.5,
    "floatField": "NaN",
    "int32Field": 2,
    "int64Field": "9007199254740993",
    "uint64Field": "18446744073709551615",
    "boolField": True,
    "stringField": "s",
    "bytesField": "aGk=",
    "enumField": "COLOR_SCARLET",
    "enumList": ["COLOR_BLUE", 17],
    "nested": {"name": "n", "number": "-1", "child": {"tags": ["t"]}},
    "nestedList": [{}],
    "stringMap": {"k": "v"},
    "boolMap": {"true": "COLOR_RED"},
    "optionalInt32": 0,
    "choiceNested": {"name": "c"},
    "timestampField": "2026-11-22T08:00:00Z",
    "durationField": "1.5s",
    "maskField": "a.bC",
    "structField": {"a": [1, None, "x"]},
    "valueField": None,
    "listValueField": [True],
    "anyField": {"@type": "type.googleapis.com/echo.v1.Nested", "name": "in an Any"},
    "emptyField": {},
    "int64Wrapper": "7",
    "customName": "r",
}
DOLLARS = {"fromCurrency": "USD", "toCurrency": "EUR", "amount": 100}
DEMO_CALLS = [
    ("post", "/convert", "/convert", DOLLARS),
    ("get", "/convert", "/convert?fromCurrency=USD&toCurrency=EUR&amount=1", None),
    ("post", "/convert", "/convert", {**DOLLARS, "amount": -1}),
    ("post", "/convert:batch", "/convert:batch", [DOLLARS, DOLLARS]),
    ("post", "/convert:live", "/convert:live", [DOLLARS, {**DOLLARS, "amount": -1}]),
    ("post", "/hello", "/hello", {"name": "you"}),
    ("get", "/hello/{name}", "/hello/you", None),
]
ECHO_CALLS = [
    ("post", "/v1/echo", "/v1/echo", FULL),
    ("post", "/v1/echo", "/v1/echo", {}),
    ("post", "/v1/echo", "/v1/echo", {"choiceNull": None, "enumField": "COLOR_NEGATIVE"}),
    ("post", "/v1/echo", "/v1/echo", {"unknown": 1}),
    ("post", "/v1/stream", "/v1/stream", FULL),
    ("post", "/v1/upload", "/v1/upload", [FULL, {}]),
    ("get", "/v1/names/{string_field}", "/v1/names/x", None),
    ("get", "/v1/fail/{code}", "/v1/fail/5?details=true", None),
]
Call = tuple[str, str, str, Any]


class Serving(Protocol):
    """Runs a contract; gives the edge's base URL."""

    def __call__(self, folder: Path, **settings: Any) -> AbstractAsyncContextManager[str]:
        """Enters the block for which it runs."""
        ...


async def fetched(
    serving: Serving, calls: list[Call], folder: Path, settings: dict[str, str]
) -> tuple[bytes, list[tuple[Call, int, Any]]]:
    """Returns an edge's document, and its answers to some calls, with their statuses."""
    async with serving(folder, **settings) as base, httpx.AsyncClient(base_url=base) as client:
        document = (await client.get("/openapi.json")).content
        answers = []
        for call in calls:
            method, _, target, body = call
            headers = {"accept": "application/json"}
            answer = await client.request(method, target, json=body, headers=headers)
            answers.append((call, answer.status_code, answer.json()))
        return document, answers


def typescript(answers: list[tuple[Call, int, Any]]) -> str:
    """Returns a module in which each answer is a constant of its type."""
    lines = ['import type { paths } from "./schema";']
    for number, ((method, path, _, _), status, body) in enumerate(answers):
        answered = "200" if status == 200 else '"default"'
        kind = (
            f'paths["{path}"]["{method}"]["responses"][{answered}]["content"]["application/json"]'
        )
        lines.append(f"export const answer{number}: {kind} = {orjson.dumps(body).decode()};")
        if path == "/v1/echo" and status == 200:  # what is answered can be sent as it is
            sent = f'NonNullable<paths["{path}"]["{method}"]["requestBody"]>["content"]'
            lines.append(f'export const sent{number}: {sent}["application/json"] = answer{number};')
    return "\n".join(lines) + "\n"


async def compiled(folder: Path, document: bytes, module: str) -> tuple[int, str]:
    """Makes types of a document, and compiles a module that uses them."""
    (folder / "openapi.json").write_bytes(document)
    (folder / "module.ts").write_text(module)
    programs = INSTALLED / "node_modules/.bin"
    made = await run(
        programs / "openapi-typescript",
        folder / "openapi.json",
        "-o",
        folder / "schema.d.ts",
        seconds=60,
    )
    assert made[0] == 0, made[1]
    return await run(
        *(programs / "tsc", "--noEmit", "--strict", "--skipLibCheck", "false"),
        *("--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"),
        folder / "module.ts",
        seconds=120,
    )


@pytest.mark.parametrize("printed", PRINTED)
@pytest.mark.parametrize(
    ("serving", "calls"), [(demo, DEMO_CALLS), (echo, ECHO_CALLS)], ids=["demo", "echo"]
)
async def test_answers_have_the_types_of_the_document(
    tmp_path: Path, printed: str, serving: Serving, calls: list[Call]
) -> None:
    """However a process prints, what it answers compiles as what its document says."""
    document, answers = await fetched(serving, calls, tmp_path, PRINTED[printed])
    statuses = {status for _, status, _ in answers}
    status, said = await compiled(tmp_path, document, typescript(answers))

    assert (statuses > {200}, status, said) == (True, 0, "")


@pytest.mark.parametrize("printed", ["proto-names", "int64-numbers", "all"])
async def test_answers_of_another_process_have_not(tmp_path: Path, printed: str) -> None:
    """What a process with other settings answers does not compile, so the test above can fail."""
    calls = ECHO_CALLS[:1]
    document, _ = await fetched(echo, [], tmp_path, {})
    _, answers = await fetched(echo, calls, tmp_path, PRINTED[printed])
    status, said = await compiled(tmp_path, document, typescript(answers))

    assert status != 0, said
