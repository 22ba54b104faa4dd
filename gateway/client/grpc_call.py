"""One call over gRPC, by the transport that the edge has too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from gateway.client.progress import Progress
from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata
from gateway.upstream.port import RequestMessages, Upstream


async def grpc_call(
    upstream: Upstream,
    method: Method,
    requests: Iterator[bytes],
    on_response: Callable[[bytes], None],
    progress: Progress,
    *,
    metadata: Metadata,
    deadline: float | None,
) -> None:
    """Makes a call, and ends with it.

    Args:
        upstream: carries it.
        method: that is called.
        requests: serialized messages; may block.
        on_response: called with each serialized response.
        progress: counts.
        metadata: sent to the server.
        deadline: seconds until the call ends; None: no limit.

    Raises:
        StatusError: the call ended with another status than OK.
        Exception: whatever the iterator of requests raised.
    """
    sent: RequestMessages
    if method.stream_type.client:
        sent = _counted(_in_thread(requests), progress)
    else:
        sent = next(requests)
        progress.count(sent=1)
    async with (
        upstream,
        upstream.open(method, sent, metadata=metadata, timeout=deadline) as call,
    ):
        first = True
        async for message in call:
            if first:
                progress.metadata("initial metadata", await call.initial_metadata())
                first = False
            progress.count(received=1)
            on_response(message)
        progress.metadata("trailing metadata", await call.trailing_metadata())


async def _counted(requests: AsyncIterator[bytes], progress: Progress) -> AsyncIterator[bytes]:
    async for request in requests:
        progress.count(sent=1)
        yield request


async def _in_thread(requests: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yields what an iterator yields in a thread of its own, one at a time.

    The thread is a daemon: it may wait for a stdin that nobody writes to, when the call has ended.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(1)

    def put(item: bytes | BaseException | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def read() -> None:
        try:
            for request in requests:
                room.acquire()
                put(request)
        except BaseException as error:  # raised where it is awaited
            put(error)
        else:
            put(None)

    threading.Thread(target=read, name="requests", daemon=True).start()
    while (item := await queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        room.release()
        yield item
