"""Interceptors and plain functions; each promise is first tried on grpc's own server."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.wire.server.stage import (
    answering,
    both_ways,
    each,
    refused,
    serving,
    taking,
    unary,
)

_SEEN: contextvars.ContextVar[list[str]] = contextvars.ContextVar("seen")


async def echo(request: bytes, _context: Any) -> bytes:
    """Answers with the request."""
    return request


class Named(grpc.aio.ServerInterceptor):
    """Says that it was there, and hands on."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Keeps its name in the context of the call."""
        _SEEN.set([*_SEEN.get([]), self._name])
        return await continuation(handler_call_details)


class Guard(grpc.aio.ServerInterceptor):
    """Lets only those through who have a token, by answering in the place of the method."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Looks at the metadata."""
        metadata = dict(handler_call_details.invocation_metadata)
        if metadata.get("token") == handler_call_details.method:
            return await continuation(handler_call_details)

        async def refuse(_request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")

        return unary(refuse)


class Broken(grpc.aio.ServerInterceptor):
    """Raises."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Raises."""
        raise ValueError("of an interceptor")


async def test_interceptors_are_called_in_order(make: Any) -> None:
    """The first is outermost; what they put into the context of the call the method sees."""

    async def look(_request: bytes, _context: Any) -> bytes:
        return ",".join(_SEEN.get()).encode()

    chain = [Named("first"), Named("second")]
    async with serving({"Look": unary(look)}, make=make, interceptors=chain) as stage:
        assert await stage.call("Look") == b"first,second"
        assert await stage.call("Look") == b"first,second"


async def test_an_interceptor_answers_by_itself(make: Any) -> None:
    """An interceptor that gives another method is believed, call by call."""
    async with serving({"Echo": unary(echo)}, make=make, interceptors=[Guard()]) as stage:
        for _ in range(2):
            expected = (grpc.StatusCode.UNAUTHENTICATED, "no token")
            assert await refused(stage.call("Echo")) == expected
            allowed = stage.call("Echo", metadata=(("token", "/test.Service/Echo"),))
            assert await allowed == b"request"


async def test_an_interceptor_sees_methods_that_nobody_has(make: Any) -> None:
    """An interceptor is asked before it is known whether there is such a method; none is none."""
    async with serving({}, make=make, interceptors=[Named("one")]) as stage:
        code, details = await refused(stage.call("Nothing"))
        assert (code, details) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


async def test_an_interceptor_that_raises(make: Any) -> None:
    """What an interceptor raises is UNKNOWN, as if the servicer had raised it."""
    async with serving({"Echo": unary(echo)}, make=make, interceptors=[Broken()]) as stage:
        said = "Unexpected <class 'ValueError'>: of an interceptor"
        assert await refused(stage.call("Echo")) == (grpc.StatusCode.UNKNOWN, said)


async def test_what_is_no_interceptor(make: Any) -> None:
    """What is no interceptor is refused when the server is made."""
    with pytest.raises(ValueError, match="must be ServerInterceptor"):
        make(interceptors=[object()])


async def test_handlers_that_look_for_themselves(make: Any) -> None:
    """A generic handler is asked for every call, with its metadata."""

    class Dynamic(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            wanted = dict(handler_call_details.invocation_metadata).get("answer")
            if wanted is None:
                return None

            async def answer(_request: bytes, _context: Any) -> bytes:
                return bytes(wanted, "ascii")

            return unary(answer)

    async with serving({"Echo": unary(echo)}, make=make, handlers=[Dynamic()]) as stage:
        assert await stage.call("Echo", metadata=(("answer", "one"),)) == b"one"
        assert await stage.call("Echo", metadata=(("answer", "two"),)) == b"two"
        assert await stage.call("Echo") == b"request"


class Plain:
    """Servicers that are plain functions."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.called_back = threading.Event()

    def unary(self, request: bytes, context: Any) -> bytes:
        """Uses what a plain function may of its context."""
        self.threads.add(threading.current_thread().name)
        context.add_callback(self.called_back.set)
        context.send_initial_metadata((("early", "yes"),))
        context.set_trailing_metadata((("late", "yes"),))
        assert context.peer().startswith("ipv4:")
        assert context.time_remaining() > 0
        assert dict(context.invocation_metadata())["sent"] == "yes"
        return request

    def abort(self, _request: bytes, context: Any) -> bytes:
        """Aborts."""
        context.abort(grpc.StatusCode.ABORTED, "plainly")
        raise AssertionError("never")

    def fail(self, _request: bytes, _context: Any) -> bytes:
        """Raises."""
        raise ValueError("plain")

    def count(self, request: bytes, _context: Any) -> Iterator[bytes]:
        """Answers with each byte."""
        for byte in request:
            self.threads.add(threading.current_thread().name)
            yield bytes([byte])

    def listed(self, request: bytes, _context: Any) -> list[bytes]:
        """Answers with each byte, all at once."""
        return [bytes([byte]) for byte in request]

    def join(self, requests: Iterator[bytes], _context: Any) -> bytes:
        """Answers with all requests."""
        return b",".join(requests)

    def double(self, requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        """Answers each request twice."""
        for request in requests:
            yield request
            yield request

    def methods(self) -> dict[str, Any]:
        """Returns them by name."""
        return {
            "Unary": unary(self.unary),
            "Abort": unary(self.abort),
            "Fail": unary(self.fail),
            "Count": answering(self.count),
            "Listed": answering(self.listed),
            "Join": taking(self.join),
            "Double": both_ways(self.double),
        }


async def test_plain_functions(make: Any) -> None:
    """Plain functions and generators of all four types run in the given threads, not in the loop."""
    plain = Plain()
    with ThreadPoolExecutor(4, thread_name_prefix="mine") as pool:
        async with serving(plain.methods(), make=make, migration_thread_pool=pool) as stage:
            call = stage.call("Unary", timeout=20, metadata=(("sent", "yes"),))
            assert await call == b"request"
            assert (await call.initial_metadata())["early"] == "yes"
            assert (await call.trailing_metadata())["late"] == "yes"
            for method in ("Count", "Listed"):
                assert [each async for each in stage.stream(method, b"abc")] == [b"a", b"b", b"c"]
            assert await stage.upload("Join", each([b"a", b"b"])) == b"a,b"
            answers = [answer async for answer in stage.talk("Double", each([b"a", b"b"]))]
            assert answers == [b"a", b"a", b"b", b"b"]
    assert plain.called_back.is_set()
    assert all(name.startswith("mine") for name in plain.threads)


async def test_plain_functions_that_fail(make: Any) -> None:
    """A plain function aborts and raises as an asynchronous one does."""
    async with serving(Plain().methods(), make=make) as stage:
        assert await refused(stage.call("Abort")) == (grpc.StatusCode.ABORTED, "plainly")
        code, details = await refused(stage.call("Fail"))
        assert code is grpc.StatusCode.UNKNOWN
        assert details == "Unexpected <class 'ValueError'>: plain"


async def test_a_plain_function_does_not_hold_the_loop() -> None:
    """While a plain function waits, other calls are answered."""
    release = threading.Event()

    def block(request: bytes, _context: Any) -> bytes:
        assert release.wait(20)
        return request

    async with serving({"Block": unary(block), "Echo": unary(echo)}) as stage:
        blocked = asyncio.ensure_future(stage.call("Block"))
        assert await stage.call("Echo") == b"request"
        assert not blocked.done()
        release.set()
        assert await blocked == b"request"


async def test_a_plain_function_that_raises_stop_iteration() -> None:
    """`next` of requests that have ended, in a thread: the call fails as for any other exception.

    `grpc.aio`, whose future does not take it, lets the client wait.
    """

    def second(requests: Any, _context: Any) -> bytes:
        next(requests)
        return bytes(next(requests))

    async with serving({"Second": taking(second)}) as stage:
        code, details = await refused(stage.upload("Second", each([b"one"]), timeout=5))
        assert code is grpc.StatusCode.UNKNOWN
        assert "StopIteration" in details
