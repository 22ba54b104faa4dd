"""Tests of an edge without a gRPC server: an upstream that follows scripts, and the edge on a free port.

    upstream = ScriptedUpstream({"/hello.Greeter/SayHello": [{"message": "Hello, World!"}]})
    with serving(create_app(settings, upstream), settings) as url:
        assert httpx.get(f"{url}/hello/World").json() == {"message": "Hello, World!"}

A script says what a method answers. It is one of these:

- a list of messages; a method that does not stream answers with the first one;
- a `StatusError`, with which each call ends;
- an async generator function. It is given the call, reads the requests, and yields messages. A
  `StatusError` that it raises ends the call. Any other exception is a bug of the script: it is logged,
  and the caller gets a 500.

A message is a dict in protobuf's JSON, a message of a generated class, or bytes as they travel.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias, TypeVar, overload

from fastapi import FastAPI
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.method import Method
from gateway.server import Server
from gateway.settings import Settings
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import UNIMPLEMENTED, StatusError
from gateway.upstream.port import Outcome, RequestMessages
from gateway.upstream.unary_in_task import start_unary_in_task

__all__ = ["Script", "ScriptedCall", "ScriptedUpstream", "StatusError", "serving"]

M = TypeVar("M", bound=Message)
ScriptedMessage: TypeAlias = bytes | Message | Mapping[str, Any]
"""A message: bytes, one of a generated class, or a dict in protobuf's JSON."""
Generator: TypeAlias = Callable[["ScriptedCall"], AsyncIterator[ScriptedMessage]]
Script: TypeAlias = Generator | Iterable[ScriptedMessage] | StatusError
"""What a method answers."""

_POLL_SECONDS: Final = 0.005


@dataclass(eq=False)
class ScriptedCall:
    """One call: what the edge sent, and how the call ended.

    Attributes:
        method: the method that was called.
        requests: the bytes of each request message; see `messages` for the messages themselves.
        metadata: pairs of key and value.
        timeout: seconds that the call may take; None: no limit.
        initial: initial metadata of the answer. A script sets them before its first message.
        trailing: trailing metadata of the answer.
        ended: set when the edge has left the call, for whatever reason.
        finished: whether the edge has read the script to its end. A method that answers with one message
            is read up to that. For a stream, False after `ended` means that the edge cancelled the call.
    """

    method: Method
    requests: AsyncIterator[bytes]
    metadata: Metadata
    timeout: float | None
    initial: Metadata = ()
    trailing: Metadata = ()
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    finished: bool = False

    @overload
    def messages(self) -> AsyncIterator[Any]: ...
    @overload
    def messages(self, kind: type[M]) -> AsyncIterator[M]: ...
    async def messages(self, kind: type[Message] | None = None) -> AsyncIterator[Message]:
        """Yields the request messages.

        Args:
            kind: their generated class; None: a class made from the contract.
        """
        made = kind or GetMessageClass(self.method.input)
        async for request in self.requests:
            yield made.FromString(request)

    @overload
    async def message(self) -> Any: ...
    @overload
    async def message(self, kind: type[M]) -> M: ...
    async def message(self, kind: type[Message] | None = None) -> Message:
        """Returns the next request message; of a method whose client does not stream, the only one.

        Args:
            kind: its generated class; None: a class made from the contract.

        Raises:
            StopAsyncIteration: there are no more.
        """
        made = kind or GetMessageClass(self.method.input)
        return made.FromString(await anext(self.requests))


class ScriptedUpstream:
    """Answers each method by its script, and keeps the calls for the test to look at.

    Attributes:
        scripts: the scripts by the gRPC path of their methods, `/package.Service/Method`. A test may change
            them. A method without a script answers UNIMPLEMENTED.
        calls: the calls so far, in order.
    """

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        """Takes the scripts by the gRPC path of their methods."""
        self.scripts = dict(scripts)
        self.calls: list[ScriptedCall] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def open(
        self,
        method: Method,
        requests: RequestMessages,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> _Block:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        stream = _One(requests) if isinstance(requests, bytes) else requests
        call = ScriptedCall(method, stream, metadata, timeout)
        self.calls.append(call)
        return _Block(call, _generator(self.scripts.get(method.path, _unimplemented)))

    def start_unary(
        self,
        method: Method,
        request: bytes,
        on_outcome: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Starts a unary call in a task; see `gateway.upstream.port.Upstream`."""
        return start_unary_in_task(
            self, method, request, on_outcome, metadata=metadata, timeout=timeout
        )


@contextmanager
def serving(app: FastAPI, settings: Settings) -> Iterator[str]:
    """Serves an application in a thread while the block runs, on a free port of 127.0.0.1.

    The block is given the base URL. Open streams are ended when the block is left.

    Args:
        app: what `create_app` has made, perhaps with routes and middleware of your own.
        settings: those that it was made with. `host`, `port` and `workers` are not used.

    Raises:
        RuntimeError: the application did not start; the log says why.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(app, settings)
        thread = threading.Thread(target=_run, args=(server, listening), name="edge")
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise RuntimeError("the application did not start; the log says why")
                time.sleep(_POLL_SECONDS)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _run(server: Server, listening: socket.socket) -> None:
    with suppress(SystemExit):  # an application that does not start
        server.run(sockets=[listening])


class _Block:
    def __init__(self, call: ScriptedCall, script: Generator) -> None:
        self._call = call
        self._answers = script(call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._answers, "aclose", None)
        if close is not None:
            await close()
        self._call.ended.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return _serialized(await anext(self._answers), self._call.method)
        except StopAsyncIteration:
            self._call.finished = True
            raise
        except StatusError as error:
            call = self._call
            error.initial = error.initial or call.initial
            error.trailing = error.trailing or call.trailing
            raise

    async def initial_metadata(self) -> Metadata:
        return self._call.initial

    async def trailing_metadata(self) -> Metadata:
        return self._call.trailing


class _One:
    """One request, as an iterator: a generator that is not read to its end leaves the loop a task."""

    def __init__(self, request: bytes) -> None:
        self._requests = iter((request,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for request in self._requests:
            return request
        raise StopAsyncIteration


def _generator(script: Script) -> Generator:
    """Returns a script as a function of the call."""
    if callable(script):
        return script

    async def answers(_call: ScriptedCall) -> AsyncIterator[ScriptedMessage]:
        if isinstance(script, StatusError):
            raise StatusError(
                script.status,
                http_status=script.http_status,
                initial=script.initial,
                trailing=script.trailing,
            )
        for answer in script:
            yield answer

    return answers


def _serialized(answer: ScriptedMessage, method: Method) -> bytes:
    """Returns the bytes of an answer.

    Raises:
        TypeError: it is a message of another type than the method answers with.
        ParseError: a dict is not what that type is in JSON.
    """
    if isinstance(answer, bytes):
        return answer
    expected = method.output
    if isinstance(answer, Message):
        if answer.DESCRIPTOR.full_name != expected.full_name:
            got = answer.DESCRIPTOR.full_name
            raise TypeError(f"{method.path} answers with {expected.full_name}, not with {got}")
        return answer.SerializeToString()
    message = GetMessageClass(expected)()
    ParseDict(dict(answer), message, descriptor_pool=expected.file.pool)
    return message.SerializeToString()


async def _unimplemented(call: ScriptedCall) -> AsyncIterator[bytes]:
    answers: tuple[bytes, ...] = ()
    for answer in answers:
        yield answer
    raise StatusError.of(UNIMPLEMENTED, f"no script for {call.method.path}")
