"""Calls that are made again, over an upstream that fails as a test likes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Self, cast

import pytest

from gateway.contract.unknown_method import unknown_binding
from gateway.transcoding.status import UNAVAILABLE, StatusError
from gateway.upstream.port import Upstream
from gateway.upstream.retrying import RetryingUpstream, RetryPolicy

METHOD = unknown_binding("/some.Service/Method", streams=False).method
"""Nothing is asked of it."""


class Failing:
    """A call that fails when it is opened, or when its first message is read; leaving it may take a turn."""

    def __init__(self, where: str) -> None:
        self.where = where

    async def __aenter__(self) -> Self:
        if self.where == "open":
            raise StatusError.of(UNAVAILABLE, "not now")
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(30)

    def __aiter__(self) -> Failing:
        return self

    async def __anext__(self) -> bytes:
        raise StatusError.of(UNAVAILABLE, "not now")


@pytest.fixture
def make_upstream() -> Callable[[str], RetryingUpstream]:
    """Returns an upstream whose calls fail, and are made again in half a minute."""

    def make(where: str) -> RetryingUpstream:
        class Inner:
            def open(self, *_: Any, **__: Any) -> Failing:
                return Failing(where)

        policy = RetryPolicy(
            lambda _: True, frozenset({UNAVAILABLE}), initial_backoff=30, max_backoff=30
        )
        return RetryingUpstream(cast("Upstream", Inner()), policy)

    return make


@pytest.mark.parametrize("where", ["open", "read"])
async def test_an_error_of_an_attempt_is_seen_by_no_other_task(
    where: str, make_upstream: Callable[[str], RetryingUpstream]
) -> None:
    """While calls wait for their retries, and behind them, no exception is being handled.

    It would be the context of each that others raise, in an ever longer chain.
    """
    upstream = make_upstream(where)
    calls: list[asyncio.Task[object]] = []
    for _ in range(3):
        opened: Any = upstream.open(METHOD, b"")
        if where == "read":
            await opened.__aenter__()
        step = opened.__aenter__() if where == "open" else opened.__anext__()
        calls.append(asyncio.create_task(step))
    for _ in range(3):
        await asyncio.sleep(0)
    assert sys.exc_info() == (None, None, None)

    for each in calls:
        each.cancel()
        await asyncio.wait([each])
    assert sys.exc_info() == (None, None, None)
