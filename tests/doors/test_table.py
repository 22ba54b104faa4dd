"""One table of requests, one set of answers: under our server, under uvicorn, with middleware, mounted.

A request may come whole or in parts, and thus be answered at once or by a task.
"""

from __future__ import annotations

import pytest

from tests.doors.served_table import HTTP2, OTHERS, OURS, DoorOfTable, Seen, ask_the_table

pytestmark = pytest.mark.timeout(240)  # all doors are asked before the first test


@pytest.fixture(scope="module")
async def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Seen]]:
    """Door -> name of the request -> answer."""
    return await ask_the_table(tmp_path_factory.mktemp("table"))


@pytest.mark.parametrize("door", OTHERS, ids=lambda door: door.name)
def test_every_door_gives_the_same_answers(
    answers: dict[str, dict[str, Seen]], door: DoorOfTable
) -> None:
    """Status, headers, body, trailers and end of each answer; nothing differs.

    gRPC is refused where there are no trailers, and else answered as whole requests over HTTP/2 are.
    """
    ours, others = answers[OURS.name], answers[door.name]
    if door.has_grpc:
        grpc = {name: seen for name, seen in answers[HTTP2.name].items() if name[:5] == "grpc/"}
        assert grpc["grpc/unary"].trailers["grpc-status"] == "0"
        ours = ours | grpc

    different = {name: (ours[name], others[name]) for name in ours if ours[name] != others[name]}
    assert different == {}
