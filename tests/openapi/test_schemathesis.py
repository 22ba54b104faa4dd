"""schemathesis, with all of its checks, on the demo's contract and on the tests' own.

It makes requests of the document, right ones and wrong ones, and looks whether the edge answers as the
document says. All checks are on; some find nothing to look at, for the documents have no security schemes, no
required headers, and no resources that are made and deleted: `ignored_auth`, `missing_required_header`,
`use_after_free`, `ensure_resource_availability` and `object_level_authorization`. What OpenAPI 3.1 cannot say
of the two contracts is in `hooks`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.openapi.installed import INSTALLED, demo, echo, run

pytestmark = [pytest.mark.openapi, pytest.mark.timeout(1200)]

EXAMPLES = os.environ.get("OPENAPI_EXAMPLES", "50")
"""Requests that are drawn for each operation."""


async def schemathesis(base: str, *options: str) -> tuple[int, str]:
    """Runs it on an edge, with a fixed seed; streams are asked for as JSON arrays, which it can read."""
    return await run(
        *(INSTALLED / "venv/bin/schemathesis", "run", f"{base}/openapi.json"),
        *("--checks", "all", "--header", "Accept: application/json", "--request-timeout", "10"),
        # a name in a path is any text: hardly one is wrong
        "--suppress-health-check=filter_too_much",
        *("--seed", "15", "--max-examples", EXAMPLES, "--continue-on-failure", *options),
        seconds=1000,
        PYTHONPATH=str(Path(__file__).parent),
        SCHEMATHESIS_HOOKS="hooks",
    )


async def test_the_demo(tmp_path: Path) -> None:
    """All that ends is answered as the document says."""
    async with demo(tmp_path) as base:
        status, said = await schemathesis(
            base, "--exclude-path", "/convert:live", "--exclude-path-regex", "^/rates|:watch$"
        )

    assert status == 0, said


async def test_the_demos_stream_without_end(tmp_path: Path) -> None:
    """Wrong requests for a stream are refused; right ones are not sent, for their answers have no end."""
    async with demo(tmp_path) as base:
        status, said = await schemathesis(
            *(base, "--include-path-regex", "^/rates"),
            *("--mode", "negative", "--phases", "coverage,fuzzing"),
        )

    assert status == 0, said


async def test_the_demos_stream_in_both_directions(tmp_path: Path) -> None:
    """As the others, but for `negative_data_rejection`.

    Where the second message is wrong, the first has been answered, and the status with it; the error is the
    last element.
    """
    async with demo(tmp_path) as base:
        status, said = await schemathesis(
            base, "--include-path", "/convert:live", "--exclude-checks", "negative_data_rejection"
        )

    assert status == 0, said


@pytest.mark.parametrize("printed", ["plain", "all"])
async def test_the_tests_own_contract(tmp_path: Path, printed: str) -> None:
    """Every kind of field, binding and stream, but for calls that hang or fail because they are asked to."""
    others = ("print_proto_names", "print_enum_numbers", "print_int64_numbers", "print_defaults")
    settings = dict.fromkeys(others, "true") if printed == "all" else {}
    async with echo(tmp_path, **settings) as base:
        status, said = await schemathesis(
            *(base, "--exclude-path", "/v1/bidi", "--exclude-path-regex", "^/v1/(hang|fail)"),
            *("--phases", "coverage,fuzzing"),  # it links nothing here, so states tell nothing
        )

    assert status == 0, said


async def test_the_tests_own_stream_in_both_directions(tmp_path: Path) -> None:
    """As the demo's."""
    async with echo(tmp_path) as base:
        status, said = await schemathesis(
            base, "--include-path", "/v1/bidi", "--exclude-checks", "negative_data_rejection"
        )

    assert status == 0, said
