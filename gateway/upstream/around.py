"""What stands around an upstream: opens its block, and hands on all that is not about a call."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any, Self

from gateway.upstream.port import Upstream


class AroundUpstream:
    """The part of an upstream that carries its calls by another; a class of it opens them.

    Attributes:
        inner: carries the calls.
    """

    def __init__(self, inner: Upstream) -> None:
        """Takes what carries the calls."""
        self.inner = inner

    @property
    def pools(self) -> tuple[Any, ...]:
        """The pools of connections of the upstream; empty before the block is entered."""
        return pools_of(self.inner)

    def contract_changed(self) -> None:
        """Tells the upstream that methods have changed."""
        if (changed := getattr(self.inner, "contract_changed", None)) is not None:
            changed()

    async def __aenter__(self) -> Self:
        """Prepares for calls."""
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Cancels the calls that are left."""
        await self.inner.__aexit__(*error)


async def all_opened(upstreams: Iterable[Upstream]) -> AsyncExitStack:
    """Opens upstreams; returns what closes them. If one fails, those before it are closed."""
    async with AsyncExitStack() as opened:
        for each in upstreams:
            await opened.enter_async_context(each)
        return opened.pop_all()


def pools_of(upstream: Any) -> tuple[Any, ...]:
    """Returns the pools of connections of an upstream; one of the user's has none."""
    pools: tuple[Any, ...] | None = getattr(upstream, "pools", None)
    if pools is not None:
        return pools
    pool = getattr(upstream, "pool", None)
    return () if pool is None else (pool,)
