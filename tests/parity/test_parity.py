"""The same contract, proven the same: both edges are asked the whole table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.compare import Compared
from tests.parity.differences import DIFFERENCES, Difference, shows, unlisted
from tests.parity.edges import why_no_envoy
from tests.parity.page import render_page
from tests.parity.requests import cases
from tests.parity.run import run

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "parity.md"

pytestmark = [
    pytest.mark.skipif(bool(why_no_envoy()), reason=why_no_envoy()),
    pytest.mark.timeout(240),  # all edges are started and asked before the first test
]


@pytest.fixture(scope="module")
async def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compared]:
    """What came of each request, by its name."""
    return await run(tmp_path_factory.mktemp("parity"))


@pytest.mark.parametrize("name", [case.name for case in cases()])
def test_both_edges_answer_alike(results: dict[str, Compared], name: str) -> None:
    """Whatever differs between the two answers is listed."""
    compared = results[name]

    assert {
        aspect: (compared.ours[aspect], compared.envoy[aspect])
        for aspect in unlisted(name, compared)
    } == {}


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_what_is_listed_is_still_so(results: dict[str, Compared], difference: Difference) -> None:
    """Each name in the list of a difference shows it."""
    gone = [p for p in difference.requests if not shows(difference, p, results)]

    assert gone == []


def test_the_page_is_fresh(results: dict[str, Compared]) -> None:
    """The page has the results of this run; `python scripts/parity.py` writes it."""
    assert PAGE.read_text() == render_page(results)
