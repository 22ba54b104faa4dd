"""Both event loops, and a look behind each test: what it has left, and what the loop was told of."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from tests.whole.certificates import made
from tests.wire.faults.leavings import left_behind, objects
from tests.wire.tls import Tls

_FAILED = pytest.StashKey[bool]()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test here runs on either loop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remembers which tests have failed."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> None:
    """What was there before is not looked at again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Who has what certificate."""
    return Tls(made(tmp_path_factory.mktemp("tls")))


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, parties: Tls) -> Tls | None:
    """A test that asks for it runs without TLS and with it."""
    return parties if request.param == "tls" else None


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_left(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[None]:
    """No task, timer, connection or call is left, and the loop's exception handler was told nothing."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    before = objects()
    yield
    if request.node.stash.get(_FAILED, False):
        return  # what holds a traceback holds all that it had seen
    caplog.get_records("call").clear()  # these hold tracebacks too
    left = await left_behind(before)
    loop.set_exception_handler(None)
    assert left == {}
    assert told == []
