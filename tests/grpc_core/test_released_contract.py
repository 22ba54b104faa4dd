"""The contract of today beside that of the last release, `protos/released.binpb`."""

from pathlib import Path

import pytest

from gateway.cli import main

PROTOS = Path(__file__).parents[2] / "protos"


def test_nothing_that_was_released_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    """Clients of the last release run on: on the wire, in JSON, over HTTP and in source."""
    status = main(["diff", str(PROTOS / "released.binpb"), str(PROTOS / "descriptor_set.binpb")])

    assert (capsys.readouterr().out, status) == ("nothing is broken\n", 0)
