"""`Upstream.ask` for those whose calls can only be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata
from gateway.upstream.port import Outcome, Response, Upstream


def ask_in_task(
    upstream: Upstream,
    method: Method,
    request: bytes,
    told: Callable[[Outcome], None],
    *,
    metadata: Metadata = (),
    timeout: float | None = None,
) -> Callable[[], object]:
    """Opens a call in a task; see `gateway.upstream.port.Upstream.ask`."""

    async def ask() -> None:
        try:
            async with upstream.open(method, request, metadata=metadata, timeout=timeout) as call:
                message = await anext(call)
                outcome: Outcome = Response(
                    message, await call.initial_metadata(), await call.trailing_metadata()
                )
        except Exception as error:
            outcome = error
        told(outcome)

    return asyncio.get_running_loop().create_task(ask()).cancel
