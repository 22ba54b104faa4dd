"""Client interceptors written for `grpc.aio`, as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc import StatusCode, aio

from grpc_wire.client import Channel, insecure_channel
from tests.echo_server import EchoServer, FailRequest
from tests.wire.client.test_calls import MESSAGE, SERVICE, each, unary

METHODS = {
    "unary_unary": "Unary",
    "unary_stream": "ServerStream",
    "stream_unary": "ClientStream",
    "stream_stream": "Bidi",
}


class Adding(
    aio.UnaryUnaryClientInterceptor,
    aio.UnaryStreamClientInterceptor,
    aio.StreamUnaryClientInterceptor,
    aio.StreamStreamClientInterceptor,
):
    """Adds metadata, and remembers what was called."""

    def __init__(self, name: str, method: str | None = None) -> None:
        self.name = name
        self.method = method
        self.seen: list[Any] = []

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Adds, and goes on."""
        return await self._on(continuation, details, request)

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        """Adds, and goes on."""
        return await self._on(continuation, details, request)

    async def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        """Adds, and goes on."""
        return await self._on(continuation, details, requests)

    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        """Adds, and goes on."""
        return await self._on(continuation, details, requests)

    async def _on(self, continuation: Any, details: Any, requests: Any) -> Any:
        metadata = details.metadata or aio.Metadata()
        metadata.add("added", self.name)
        self.seen.append(details.method)
        method = details.method if self.method is None else self.method.encode()
        return await continuation(details._replace(method=method, metadata=metadata), requests)


async def answers(call: Any, kind: str) -> list[bytes]:
    """Returns all responses of a call of any kind."""
    if kind.endswith("unary"):
        return [await call]
    return [message async for message in call]


def begin(channel: Channel, kind: str, name: str, **settings: Any) -> Any:
    """Begins a call of any kind."""
    request = each(MESSAGE) if kind.startswith("stream") else MESSAGE
    return getattr(channel, kind)(SERVICE + name)(request, **settings)


@pytest.mark.parametrize("kind", METHODS)
async def test_they_stand_before_each_kind(echo: EchoServer, kind: str) -> None:
    """The outermost is asked first; answers are the same as without them."""
    name = METHODS[kind]
    first, second = Adding("first"), Adding("second")
    async with (
        insecure_channel(echo.address, interceptors=(first, second)) as channel,
        insecure_channel(echo.address) as plain,
    ):
        expected = await answers(begin(plain, kind, name), kind)
        call = begin(channel, kind, name, timeout=5)
        assert await answers(call, kind) == expected
        assert await call.code() is StatusCode.OK
        if kind == "unary_unary":
            assert (await call.initial_metadata()).get_all("added") == ["first", "second"]

    assert first.seen == second.seen == [(SERVICE + name).encode()]


@pytest.mark.parametrize("kind", METHODS)
async def test_they_may_call_another_method(echo: EchoServer, kind: str) -> None:
    """The method that the last of them names is called."""
    other = Adding("other", SERVICE + "Bidi")
    async with insecure_channel(echo.address, interceptors=(other,)) as channel:
        assert await answers(begin(channel, kind, "Nothing"), kind) == [MESSAGE]


async def test_they_may_answer_themselves(echo: EchoServer) -> None:
    """What they return in place of a call is what the caller gets."""

    class Cached(aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, *_: Any) -> Any:
            return b"cached"

    class Two(aio.UnaryStreamClientInterceptor):
        async def intercept_unary_stream(
            self, continuation: Any, details: Any, request: Any
        ) -> Any:
            await continuation(details, request)
            return each(b"a", b"b")

    async with insecure_channel(echo.address, interceptors=(Cached(), Two())) as channel:
        assert await begin(channel, "unary_unary", "Hang") == b"cached"
        assert await answers(begin(channel, "unary_stream", "Hang"), "unary_stream") == [b"a", b"b"]


async def test_they_see_errors(echo: EchoServer) -> None:
    """What a call ends with is raised where it is awaited, and may be tried again."""

    class Again(aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, _: Any) -> Any:
            call = await continuation(details, FailRequest(code=14).SerializeToString())
            assert await call.code() is StatusCode.UNAVAILABLE
            return await continuation(details, b"")

    async with insecure_channel(echo.address, interceptors=(Again(),)) as channel:
        assert await begin(channel, "unary_unary", "Fail") == b""


async def test_written_requests_and_cancel(echo: EchoServer) -> None:
    """Calls behind interceptors are written to, and cancelled."""
    async with insecure_channel(echo.address, interceptors=(Adding("a"),)) as channel:
        call: Any = channel.stream_stream(SERVICE + "Bidi")()
        await call.write(MESSAGE)
        assert await call.read() == MESSAGE
        await call.done_writing()
        assert await call.read() is aio.EOF

        call = channel.unary_stream(SERVICE + "HangStream")(b"")
        await call.read()
        assert call.cancel()
        assert call.cancelled()


class Doubling(aio.UnaryStreamClientInterceptor):
    """Replaces the responses of a stream by an iterator, as most interceptors of streams do."""

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        """Yields each response twice."""
        call = await continuation(details, request)

        async def responses() -> AsyncIterator[bytes]:
            async for response in call:
                yield response
                yield response

        return responses()


async def test_an_iterator_has_the_status_of_its_call(echo: EchoServer) -> None:
    """Metadata, too; `read` and the end work as on a call."""
    request = FailRequest(code=5, message="none", after=1).SerializeToString()
    async with insecure_channel(echo.address, interceptors=(Doubling(),)) as channel:
        call: Any = channel.unary_stream(SERVICE + "FailStream")(request, timeout=5)
        ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call.add_done_callback(ended.set_result)
        first, second = await call.read(), await call.read()
        assert first == second
        with pytest.raises(aio.AioRpcError, match="none"):
            await call.read()

        assert (await call.code(), await call.details()) == (StatusCode.NOT_FOUND, "none")
        assert await call.trailing_metadata() == aio.Metadata()
        assert await asyncio.wait_for(ended, 5) is call
        assert call.done()
        assert not call.cancelled()
        assert call.time_remaining() is not None
        assert "NOT_FOUND" in await call.debug_error_string()


async def test_an_iterator_needs_no_call() -> None:
    """`grpc.aio`'s own object breaks where an interceptor of a stream starts no call."""

    class Alone(aio.StreamStreamClientInterceptor):
        async def intercept_stream_stream(self, *_: Any) -> Any:
            return each(b"a")

    async with insecure_channel("127.0.0.1:1", interceptors=(Alone(),)) as channel:
        call: Any = channel.stream_stream(SERVICE + "Bidi")(each())
        assert [message async for message in call] == [b"a"]
        assert await call.code() is StatusCode.OK
        assert await call.initial_metadata() == aio.Metadata()


async def test_what_they_raise_is_the_calls_end(echo: EchoServer) -> None:
    """An error of gRPC as its status, any other wherever the call is awaited."""

    class Raising(aio.UnaryUnaryClientInterceptor):
        def __init__(self, error: Exception) -> None:
            self._error = error

        async def intercept_unary_unary(self, *_: Any) -> Any:
            raise self._error

    refused = aio.AioRpcError(StatusCode.ABORTED, aio.Metadata(), aio.Metadata(("a", "b")), "no")
    async with insecure_channel(echo.address, interceptors=(Raising(refused),)) as channel:
        call: Any = unary(channel)(MESSAGE)
        with pytest.raises(aio.AioRpcError, match="no"):
            await call
        assert await call.code() is StatusCode.ABORTED
        assert await call.trailing_metadata() == aio.Metadata(("a", "b"))
    async with insecure_channel(echo.address, interceptors=(Raising(KeyError("k")),)) as channel:
        call = unary(channel)(MESSAGE)
        for waiting in (call, call.code()):
            with pytest.raises(KeyError):
                await waiting
        assert call.done()


async def test_an_interceptor_that_waits_is_cancelled(echo: EchoServer) -> None:
    """By the call's `cancel`; who only waits for the status does not cancel it."""

    class Waiting(aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, *_: Any) -> Any:
            await asyncio.Event().wait()

    async with insecure_channel(echo.address, interceptors=(Waiting(),)) as channel:
        call: Any = unary(channel)(MESSAGE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call.code(), 0.01)
        assert not call.done()
        assert call.cancel()
        assert await call.code() is StatusCode.CANCELLED
        assert call.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_a_write_after_the_end(echo: EchoServer, kind: str) -> None:
    """Raises as on a call without interceptors, and does not wait for ever."""
    async with insecure_channel(echo.address, interceptors=(Adding("a"),)) as channel:
        call = getattr(channel, kind)(SERVICE + METHODS[kind])()
        await call.write(MESSAGE)
        await call.done_writing()
        with pytest.raises(asyncio.InvalidStateError, match="half closed"):
            await call.write(MESSAGE)
        assert call.cancel()
        with pytest.raises(asyncio.InvalidStateError, match="finished"):
            await call.write(MESSAGE)
        iterated = getattr(channel, kind)(SERVICE + METHODS[kind])(each(MESSAGE))
        with pytest.raises(aio.UsageError, match="mixed"):
            await iterated.write(MESSAGE)
