"""All that a servicer can do with its context; each promise is first tried on grpc's own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.wire.server.stage import answering, refused, serving, taking, unary

BINARY = bytes(range(256))


async def test_initial_and_trailing_metadata(make: Any) -> None:
    """Metadata goes both ways: text and bytes, several of one key, in order."""
    seen: list[tuple[str, str | bytes]] = []
    sent = (("text", "a, b"), ("data-bin", BINARY), ("twice", "1"), ("twice", "2"))

    async def meet(request: bytes, context: Any) -> bytes:
        for pair in context.invocation_metadata():
            assert tuple(pair) == (pair.key, pair.value)
            seen.append(tuple(pair))
        await context.send_initial_metadata(sent)
        context.set_trailing_metadata((*sent, ("only-here", "yes")))
        return request

    async with serving({"Meet": unary(meet)}, make=make) as stage:
        call = stage.call("Meet", metadata=sent)
        assert tuple(await call.initial_metadata()) == sent
        await call
        assert tuple(await call.trailing_metadata()) == (*sent, ("only-here", "yes"))
    assert [pair for pair in seen if pair[0] != "user-agent"] == list(sent)
    assert [key for key, _ in seen if key == "user-agent"], "a client's name is metadata"


async def test_initial_metadata_is_sent_at_once(make: Any) -> None:
    """The head of an answer does not wait for its first message; it cannot be sent again."""
    told = asyncio.Event()
    errors: list[Exception] = []

    async def wait(_request: bytes, context: Any) -> None:
        await context.send_initial_metadata((("early", "yes"),))
        try:
            await context.send_initial_metadata(())
        except grpc.aio.UsageError as error:
            errors.append(error)
        await told.wait()

    async with serving({"Wait": answering(wait)}, make=make) as stage:
        call = stage.stream("Wait")
        assert (await call.initial_metadata())["early"] == "yes"
        told.set()
        assert await call.code() is grpc.StatusCode.OK
    assert [str(error) for error in errors] == ["Send initial metadata failed: already sent"]


async def test_abort(make: Any) -> None:
    """An abort ends the call with its code, its message and its metadata, and stops the servicer."""
    after: list[str] = []

    async def fail(_request: bytes, context: Any) -> None:
        context.set_trailing_metadata((("set-before", "kept only without others"),))
        await context.abort(grpc.StatusCode.ABORTED, "näh\n%", (("why", "because"),))
        after.append("never")

    async with serving({"Fail": unary(fail)}, make=make) as stage:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.call("Fail")
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert caught.value.details() == "näh\n%"
    assert tuple(caught.value.trailing_metadata()) == (("why", "because"),)
    assert after == []


async def test_abort_with_details_that_are_no_text(make: Any) -> None:
    """Is a fault of the servicer, and the call ends as with any other."""

    async def fail(_request: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.ABORTED, 123)

    async with serving({"Fail": unary(fail)}, make=make) as stage:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.call("Fail")
    assert caught.value.code() is grpc.StatusCode.UNKNOWN


async def test_an_error_that_cannot_say_what_it_is() -> None:
    """Ends the call as any other; grpc's own server never ends it."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise LookupError

    async def fail(_request: bytes, _context: Any) -> None:
        raise Mute

    async with serving({"Fail": unary(fail)}) as stage:
        with pytest.raises(
            grpc.aio.AioRpcError, match=r"Unexpected <class .*Mute'>: \(its text: "
        ) as caught:
            await stage.call("Fail")
    assert caught.value.code() is grpc.StatusCode.UNKNOWN


async def test_abort_keeps_what_was_set(make: Any) -> None:
    """An abort without details and metadata ends with those that were set before."""

    async def fail(_request: bytes, context: Any) -> None:
        context.set_details("set before")
        context.set_trailing_metadata((("set", "before"),))
        await context.abort(grpc.StatusCode.ABORTED)

    async with serving({"Fail": unary(fail)}, make=make) as stage:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.call("Fail")
    assert caught.value.details() == "set before"
    assert tuple(caught.value.trailing_metadata()) == (("set", "before"),)


async def test_abort_with_status(make: Any) -> None:
    """A status with its details ends a stream after what was yielded."""

    class Status(grpc.Status):
        code = grpc.StatusCode.DATA_LOSS
        details = "lost"
        trailing_metadata = (("detail-bin", b"\0"),)

    async def fail(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield request
        await context.abort_with_status(Status())

    async with serving({"Fail": answering(fail)}, make=make) as stage:
        call = stage.stream("Fail")
        assert await refused(call) == (grpc.StatusCode.DATA_LOSS, "lost")
        assert tuple(await call.trailing_metadata()) == (("detail-bin", b"\0"),)


async def test_after_an_abort_that_was_suppressed(make: Any) -> None:
    """A servicer that goes on after an abort can do nothing more; the client has its status."""
    said: list[str] = []
    over = asyncio.Event()

    async def stubborn(request: bytes, context: Any) -> bytes:
        for act in (
            context.abort(grpc.StatusCode.ABORTED, "first"),
            context.write(b"more"),
            context.abort(grpc.StatusCode.ABORTED, "second"),
        ):
            try:
                await act
            except grpc.aio.BaseError as error:
                said.append(f"{type(error).__name__}: {error}")
        said.append(f"{context.done()} {context.code().name} {context.details()}")
        over.set()
        return request

    async with serving({"Fail": unary(stubborn)}, make=make) as stage:
        assert await refused(stage.call("Fail")) == (grpc.StatusCode.ABORTED, "first")
        await over.wait()
    assert said == [
        "AbortError: Locally aborted.",
        "AbortError: Locally aborted.",
        "UsageError: Abort already called!",
        "True ABORTED first",
    ]


async def test_code_and_details_that_were_set(make: Any) -> None:
    """A call ends with the code and the details that were set; its response is dropped."""

    async def fail(request: bytes, context: Any) -> bytes:
        assert (context.code(), context.details(), context.trailing_metadata()) == (None, "", ())
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("not here")
        assert (context.code(), context.details()) == (grpc.StatusCode.NOT_FOUND, "not here")
        assert not context.cancelled()
        return request

    async def fail_late(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield request
        context.set_code(grpc.StatusCode.CANCELLED)
        assert context.cancelled()
        context.set_code(grpc.StatusCode.DATA_LOSS)

    methods = {"Fail": unary(fail), "FailLate": answering(fail_late)}
    async with serving(methods, make=make) as stage:
        assert await refused(stage.call("Fail")) == (grpc.StatusCode.NOT_FOUND, "not here")
        assert (await refused(stage.stream("FailLate")))[0] is grpc.StatusCode.DATA_LOSS


@pytest.mark.parametrize("wrong", ["ab", (("a", 1),), [["a", "b"]]])
async def test_trailing_metadata_of_other_types(make: Any, wrong: Any) -> None:
    """Trailing metadata that are no pairs of text are an error where they are set."""

    async def fail(_request: bytes, context: Any) -> bytes:
        with pytest.raises(TypeError, match="Invalid trailing metadata type, expected Tuple"):
            context.set_trailing_metadata(wrong)
        return b"refused"

    async with serving({"Fail": unary(fail)}, make=make) as stage:
        assert await stage.call("Fail") == b"refused"


async def test_trailing_metadata_that_cannot_be_sent(make: Any) -> None:
    """Trailing metadata with a key that HTTP/2 does not know end the call with INTERNAL."""

    async def fail(request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("Upper", "case"),))
        return request

    async with serving({"Fail": unary(fail)}, make=make) as stage:
        code, details = await refused(stage.call("Fail"))
        assert code is grpc.StatusCode.INTERNAL
        assert details.startswith("Invalid metadata")


async def test_initial_metadata_that_cannot_be_sent(make: Any) -> None:
    """Initial metadata that cannot be sent raise where they are given."""
    raised: list[Exception] = []

    async def fail(request: bytes, context: Any) -> bytes:
        try:
            await context.send_initial_metadata((("Upper", "case"),))
        except grpc.aio.InternalError as error:
            raised.append(error)
            await context.abort(grpc.StatusCode.ABORTED, "they did")
        return request

    async with serving({"Fail": unary(fail)}, make=make) as stage:
        await refused(stage.call("Fail"))
    assert len(raised) == 1


async def test_time_remaining(make: Any) -> None:
    """A servicer sees what is left of the client's deadline; None without one."""
    seen: list[float | None] = []

    async def look(request: bytes, context: Any) -> bytes:
        seen.append(context.time_remaining())
        return request

    async with serving({"Look": unary(look)}, make=make) as stage:
        await stage.call("Look", timeout=100)
        await stage.call("Look")
    assert seen[0] is not None
    assert 80 < seen[0] < 101
    assert seen[1] is None


async def test_peer_without_tls(make: Any) -> None:
    """A client without TLS has an address, and no identity."""
    seen: list[Any] = []

    async def look(request: bytes, context: Any) -> bytes:
        seen.extend((context.peer(), context.peer_identities(), context.peer_identity_key()))
        seen.append(context.auth_context())
        return request

    async with serving({"Look": unary(look)}, make=make) as stage:
        await stage.call("Look")
    assert seen[0].startswith("ipv4:127.0.0.1:")
    assert seen[1:] == [
        None,
        None,
        {"transport_security_type": [b"insecure"], "security_level": [b"TSI_SECURITY_NONE"]},
    ]


async def test_done_callbacks(make: Any) -> None:
    """Whoever waits for the end is called with the context, when the call is done."""
    seen: list[Any] = []
    ended = asyncio.Event()

    async def look(request: bytes, context: Any) -> bytes:
        def done(what: Any) -> None:
            seen.append((what is context, what.done(), what.cancelled(), what.code()))
            ended.set()

        context.add_done_callback(done)
        context.set_code(grpc.StatusCode.OK)
        seen.append(context.done())
        return request

    async with serving({"Look": unary(look)}, make=make) as stage:
        await stage.call("Look")
        await ended.wait()
    assert seen == [False, (True, True, False, grpc.StatusCode.OK)]


async def test_compression_of_one_call(make: Any) -> None:
    """A servicer chooses compression before the head is sent, and leaves it out for one message."""
    refusals: list[str] = []

    async def squeeze(request: bytes, context: Any) -> None:
        context.set_compression(grpc.Compression.Gzip)
        await context.write(request * 1000)
        context.disable_next_message_compression()
        await context.write(request)
        try:
            context.set_compression(grpc.Compression.Deflate)
        except RuntimeError as error:
            refusals.append(str(error))

    async with serving({"Squeeze": answering(squeeze)}, make=make) as stage:
        answers = [each async for each in stage.stream("Squeeze", b"text")]
        assert answers == [b"text" * 1000, b"text"]
    assert refusals == ["Compression setting must be specified before sending initial metadata"]


async def test_an_error_of_a_servicer(make: Any) -> None:
    """What a servicer raises is UNKNOWN with its type and text, or the code that was set before."""

    async def fail(_request: bytes, _context: Any) -> bytes:
        raise ValueError("of the servicer")

    async def fail_with_code(_request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("not these")
        raise ValueError("of the servicer")

    async def fail_late(request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield request
        raise ValueError("of the servicer")

    methods = {
        "Fail": unary(fail),
        "FailWithCode": unary(fail_with_code),
        "FailLate": answering(fail_late),
    }
    said = "Unexpected <class 'ValueError'>: of the servicer"
    async with serving(methods, make=make) as stage:
        assert await refused(stage.call("Fail")) == (grpc.StatusCode.UNKNOWN, said)
        assert await refused(stage.call("FailWithCode")) == (grpc.StatusCode.NOT_FOUND, said)
        assert await refused(stage.stream("FailLate")) == (grpc.StatusCode.UNKNOWN, said)


async def test_errors_of_serializers(make: Any) -> None:
    """A request that cannot be parsed, or a response that cannot be serialized, is UNKNOWN."""

    def broken(_message: Any) -> Any:
        raise KeyError("broken")

    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    async def count(requests: Any, _context: Any) -> bytes:
        return b"%d" % len([request async for request in requests])

    methods = {
        "Parse": unary(echo, request_deserializer=broken),
        "ParseEach": taking(count, request_deserializer=broken),
        "Serialize": unary(echo, response_serializer=broken),
    }
    expected = (grpc.StatusCode.UNKNOWN, "Unexpected <class 'KeyError'>: 'broken'")
    async with serving(methods, make=make) as stage:
        assert await refused(stage.call("Parse")) == expected
        assert await refused(stage.call("Serialize")) == expected
        call = stage.upload("ParseEach")
        await call.write(b"request")
        assert (await call.code(), await call.details()) == expected
