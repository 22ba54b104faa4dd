"""What tests of the server share."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.server.stage import MAKERS


@pytest.fixture(params=list(MAKERS))
def make(request: pytest.FixtureRequest) -> Any:
    """Both servers: what is promised of ours is first seen of grpc's."""
    return MAKERS[request.param]
