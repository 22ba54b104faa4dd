"""`Upstream.start_unary` over `Upstream.open`, for an upstream whose calls have to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import CANCELLED, StatusError
from gateway.upstream.port import Outcome, Response, Upstream


def start_unary_in_task(
    upstream: Upstream,
    method: Method,
    request: bytes,
    on_outcome: Callable[[Outcome], None],
    *,
    metadata: Metadata = (),
    timeout: float | None = None,
) -> Callable[[], object]:
    """Makes a unary call in a task; see `gateway.upstream.port.Upstream.start_unary`."""

    async def call_once() -> None:
        try:
            async with upstream.open(method, request, metadata=metadata, timeout=timeout) as call:
                message = await anext(call)
                outcome: Outcome = Response(
                    message, await call.initial_metadata(), await call.trailing_metadata()
                )
        except Exception as error:
            outcome = error
        on_outcome(outcome)

    def on_end(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            on_outcome(StatusError.of(CANCELLED, "the call was cancelled"))

    task = asyncio.get_running_loop().create_task(call_once())
    task.add_done_callback(on_end)
    return task.cancel
