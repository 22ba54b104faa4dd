"""The upstream port, answered with examples; no gRPC is spoken."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from gateway.contract.descriptors import Contract
from gateway.contract.method import Method
from gateway.mock.examples import Examples
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import (
    DEADLINE_EXCEEDED,
    INVALID_ARGUMENT,
    OK,
    StatusError,
    code_name,
)
from gateway.upstream.port import Outcome, RequestMessages
from gateway.upstream.reachability import HEALTH_CHECK_PATH
from gateway.upstream.unary_in_task import start_unary_in_task

ERROR_KEY: Final = "x-mock-error"
"""Metadata key with the code that a call shall end with: `NOT_FOUND`, `5`, or `NOT_FOUND: message`."""
AFTER_KEY: Final = "x-mock-error-after"
"""Metadata key with the number of messages before that; without it, none."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a server streams."""

    messages: int
    """Messages of a stream; 0: without end."""
    interval: float
    """Seconds between two of them."""


class MockUpstream:
    """Answers each method of a contract with examples."""

    def __init__(self, contract: Contract, seed: int, pace: Pace) -> None:
        self._examples = Examples(contract.comments, seed)
        self._pace = pace

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    @asynccontextmanager
    async def open(
        self,
        method: Method,
        requests: RequestMessages,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,  # noqa: ASYNC109 - the port's
    ) -> AsyncIterator[_MockCall]:
        """Opens a call; see `gateway.upstream.port.Upstream`.

        Raises:
            LookupError: the edge asks for health; a server without that service is healthy.
        """
        if method.path == HEALTH_CHECK_PATH:
            raise LookupError(method.path)
        answers = self._answers(method, requests, _Failure.wanted(metadata))
        try:
            yield _MockCall(answers, timeout)
        finally:
            await answers.aclose()

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

    async def _answers(
        self, method: Method, requests: RequestMessages, failure: _Failure | None
    ) -> Any:
        """Yields the answers of a call: one, some at a pace, or one for each request."""
        sent = 0
        if failure is not None and failure.after == 0:
            raise failure.error()
        async for answer in self._messages(method, requests):
            yield answer
            sent += 1
            if failure is not None and failure.after == sent:
                raise failure.error()
        if failure is not None:
            raise failure.error()

    async def _messages(self, method: Method, requests: RequestMessages) -> AsyncIterator[bytes]:
        if isinstance(requests, bytes):
            async for answer in self._to_one(method, requests):
                yield answer
            return
        number, request = 0, b""
        async for request in requests:
            if method.stream_type.server:
                yield self._answer(method, request, number)
                number += 1
        if not method.stream_type.server:
            yield self._answer(method, request, 0)

    async def _to_one(self, method: Method, request: bytes) -> AsyncIterator[bytes]:
        yield self._answer(method, request, 0)
        number = 1
        while method.stream_type.server and number != self._pace.messages:
            await asyncio.sleep(self._pace.interval)
            yield self._answer(method, request, number)
            number += 1

    def _answer(self, method: Method, request: bytes, number: int) -> bytes:
        """Returns an example, with the fields of the request that it has too."""
        digest = hashlib.sha256(request).hexdigest()
        answer = self._examples.message(method.output, f"{method.path}/{digest}/{number}")
        _repeat(GetMessageClass(method.input).FromString(request), answer)
        return bytes(answer.SerializePartialToString())


def _repeat(request: Any, answer: Any) -> None:
    """Copies the fields of a request that an answer has with the same name and type."""
    kind: Descriptor = answer.DESCRIPTOR
    for field, value in request.ListFields():
        same = kind.fields_by_name.get(field.name)
        if same is None or (same.type, same.is_repeated) != (field.type, field.is_repeated):
            continue
        if same.message_type is not None:
            if same.message_type is field.message_type and not same.is_repeated:
                getattr(answer, same.name).CopyFrom(value)
        elif same.enum_type is not field.enum_type:
            continue
        elif same.is_repeated:
            getattr(answer, same.name)[:] = value
        else:
            setattr(answer, same.name, value)


@dataclass(frozen=True, slots=True)
class _Failure:
    """The end that a caller has asked for."""

    code: int
    message: str
    after: int

    @classmethod
    def wanted(cls, metadata: Metadata) -> _Failure | None:
        """Reads it; None: the call shall succeed.

        Raises:
            StatusError: INVALID_ARGUMENT, it is no code, or no number of messages.
        """
        keys = {key: str(value) for key, value in metadata}
        text = keys.get(ERROR_KEY)
        if text is None:
            return None
        name, _, message = (part.strip() for part in text.partition(":"))
        codes = {str(number): number for number in code_pb2.Code.values()}
        code = ({**codes, **dict(code_pb2.Code.items())}).get(name.upper(), OK)
        if code == OK:
            names = ", ".join(key for key, number in code_pb2.Code.items() if number)
            raise StatusError.of(INVALID_ARGUMENT, f"{ERROR_KEY}: {name!r} is none of {names}")
        after = keys.get(AFTER_KEY, "0")
        if not (after.isascii() and after.isdigit()):
            raise StatusError.of(INVALID_ARGUMENT, f"{AFTER_KEY}: {after!r} is no number")
        return cls(code, message or f"{code_name(code)}, as {ERROR_KEY} asks", int(after))

    def error(self) -> StatusError:
        return StatusError(Status(code=self.code, message=self.message), by_upstream=True)


class _MockCall:
    def __init__(self, answers: AsyncIterator[bytes], timeout: float | None) -> None:
        self._answers = answers
        now = asyncio.get_running_loop().time()
        self._deadline = None if timeout is None else now + timeout

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await anext(self._answers)
        except TimeoutError:
            raise StatusError.of(DEADLINE_EXCEEDED, "Deadline Exceeded") from None

    async def initial_metadata(self) -> Metadata:
        return ()

    async def trailing_metadata(self) -> Metadata:
        return ()
