"""How errors are answered, in methods of all four types."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from grpc_core._generated.finance_pb2 import ConvertRequest
from grpc_core.finance.errors import InvalidArgumentError, OutOfRangeError, Violation
from grpc_core.guard import MAX_VIOLATIONS, Guarded, status_of
from grpc_core.rate_feed import FeedClosedError
from tests.grpc_core.loopback import collect, each, refusal

SECRET = "the password is 1234"
LOGGER = "grpc_core.guard"

CALLS: dict[str, Callable[[Any], Any]] = {
    "Unary": lambda channel: channel.unary_unary("/test.Test/Unary")(b""),
    "ServerStreaming": lambda channel: collect(
        channel.unary_stream("/test.Test/ServerStreaming")(b"")
    ),
    "ClientStreaming": lambda channel: channel.stream_unary("/test.Test/ClientStreaming")(
        each([b""])
    ),
    "Bidi": lambda channel: collect(channel.stream_stream("/test.Test/Bidi")(each([b""]))),
}
"""A call of a method of each type, in bytes."""

every_type = pytest.mark.parametrize("name", CALLS)


class Failing:
    """Methods of all four types that fail in the same way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def one(self, request: Any, context: Any) -> bytes:
        """Fails before its answer."""
        raise self._error

    async def many(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        """Fails after its first response."""
        yield b"first"
        raise self._error


class Aborting(Failing):
    """Methods of all four types that abort."""

    async def one(self, request: Any, context: Any) -> bytes:
        """Aborts before its answer."""
        return await context.abort(grpc.StatusCode.DATA_LOSS, "gone")  # type: ignore[no-any-return]  # it never returns

    async def many(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        """Aborts after its first response."""
        yield b"first"
        await context.abort(grpc.StatusCode.DATA_LOSS, "gone")


class Waiting(Failing):
    """Methods of all four types that never end, and remember that they were left."""

    def __init__(self) -> None:
        super().__init__(Exception())
        self.begun, self.left = asyncio.Event(), asyncio.Event()

    async def one(self, request: Any, context: Any) -> bytes:
        """Waits for ever."""
        await self._wait()
        return b""

    async def many(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        """Waits for ever."""
        await self._wait()
        yield b""

    async def _wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()


class Reading(Failing):
    """Methods of all four types that read what they are sent."""

    async def one(self, request: Any, context: Any) -> bytes:
        """Reads the requests of a stream; a single one has been read."""
        return b"".join([each async for each in request])

    async def many(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        """Sends the requests of a stream back; a single one has been read."""
        async for each_ in request:
            yield each_


@asynccontextmanager
async def serving(methods: Failing, parse: Any = None, serialize: Any = None) -> AsyncIterator[Any]:
    """Serves methods that are guarded, and yields a channel to them."""
    server = grpc.aio.server()
    table = {
        "Unary": grpc.unary_unary_rpc_method_handler(methods.one, parse, serialize),
        "ServerStreaming": grpc.unary_stream_rpc_method_handler(methods.many, parse, serialize),
        "ClientStreaming": grpc.stream_unary_rpc_method_handler(methods.one, parse, serialize),
        "Bidi": grpc.stream_stream_rpc_method_handler(methods.many, parse, serialize),
    }
    Guarded(server).add_registered_method_handlers("test.Test", table)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


@every_type
async def test_a_bug_is_logged_once_and_never_told(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller learns that something failed, the log what, with its traceback."""
    async with serving(Failing(ValueError(SECRET))) as channel:
        for _ in range(2):
            answer = await refusal(CALLS[name](channel))
            assert answer.code is grpc.StatusCode.INTERNAL
            assert answer.message == "internal error"

    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [(record.name, record.getMessage()) for record in records] == [
        (LOGGER, f"request - /test.Test/{name} failed")
    ] * 2
    assert SECRET in caplog.text
    assert "Traceback" in caplog.text


@every_type
async def test_a_refusal_is_told_and_not_logged(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What the domain refuses reaches the caller in full."""
    error = InvalidArgumentError([Violation("amount", "no such amount")])
    async with serving(Failing(error)) as channel:
        answer = await refusal(CALLS[name](channel))

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.violations == [("amount", "no such amount")]
    assert not caplog.records


@every_type
async def test_an_abort_is_left_alone(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A method that aborts its call itself has its way."""
    async with serving(Aborting(Exception())) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await CALLS[name](channel)

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.DATA_LOSS, "gone")
    assert not caplog.records


@every_type
async def test_a_cancellation_is_left_alone(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A call that is cancelled leaves its method at once, and is no failure."""
    methods = Waiting()
    async with serving(methods) as channel:
        call = asyncio.ensure_future(CALLS[name](channel))
        await methods.begun.wait()
        call.cancel()
        await methods.left.wait()

    assert call.cancelled()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@every_type
async def test_a_message_that_cannot_be_parsed_is_no_bug_of_ours(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are no message are the caller's fault: told in our words, and not logged."""

    def parse(raw: bytes) -> ConvertRequest:
        return ConvertRequest.FromString(raw or b"\xff")

    async with serving(Reading(Exception()), parse) as channel:
        answer = await refusal(CALLS[name](channel))

    assert answer.code is grpc.StatusCode.INTERNAL
    assert answer.message == "request message cannot be parsed"
    assert not caplog.records


@pytest.mark.parametrize("name", ["ClientStreaming", "Bidi"])
async def test_an_answer_that_cannot_be_serialized_is_never_told(name: str) -> None:
    """A serializer that fails is a bug like any other."""

    def serialize(message: Any) -> bytes:
        raise ValueError(SECRET)

    async with serving(Reading(Exception()), None, serialize) as channel:
        answer = await refusal(CALLS[name](channel))

    assert (answer.code, answer.message) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_method_that_does_not_exist_is_unimplemented() -> None:
    """Names that nobody serves are answered by grpc, and not remembered."""
    async with serving(Failing(Exception())) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Test/Nothing")(b"")

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgumentError([Violation("a", "b")]), grpc.StatusCode.INVALID_ARGUMENT),
        (OutOfRangeError([Violation("a", "b")]), grpc.StatusCode.OUT_OF_RANGE),
        (FeedClosedError(), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_the_table(error: Exception, code: grpc.StatusCode) -> None:
    """Every error that the core raises on purpose has its code."""
    status = status_of(error)

    assert status is not None
    assert status.code == code.value[0]


def test_what_is_not_in_the_table_is_a_bug() -> None:
    """Any other error stands for no status."""
    assert status_of(ValueError()) is None


@pytest.mark.parametrize("number", [MAX_VIOLATIONS, MAX_VIOLATIONS + 1])
def test_a_status_is_never_too_long(number: int) -> None:
    """Violations are listed up to a limit, and the message counts the others."""
    error = InvalidArgumentError(Violation("field", "wrong") for _ in range(number))

    status = status_of(error)

    assert status is not None
    assert status.message.count("wrong") == MAX_VIOLATIONS
    assert status.message.endswith("; and 1 more") == (number > MAX_VIOLATIONS)
