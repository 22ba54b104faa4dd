"""One table of requests, one set of answers: under our server, under uvicorn, with middleware, mounted."""

from __future__ import annotations

import pytest

from tests.doors.served_table import OTHERS, OURS, Seen, ask_the_table

pytestmark = pytest.mark.timeout(240)  # all doors are asked before the first test


@pytest.fixture(scope="module")
async def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Seen]]:
    """Door -> name of the request -> answer."""
    return await ask_the_table(tmp_path_factory.mktemp("table"))


@pytest.mark.parametrize("door", [door.name for door in OTHERS])
def test_every_door_gives_the_same_answers(answers: dict[str, dict[str, Seen]], door: str) -> None:
    """Status, headers, body and end of each answer; nothing differs."""
    ours, others = answers[OURS.name], answers[door]

    different = {name: (ours[name], others[name]) for name in ours if ours[name] != others[name]}
    assert different == {}
