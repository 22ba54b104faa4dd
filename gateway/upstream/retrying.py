"""Retries of calls that may be made twice, until their first message has come.

Source: gRPC's A6 (client retries): `retryPolicy`, `retryThrottling`, pushback, and
`grpc-previous-rpc-attempts`. A call is retried only while its server has sent nothing but a status. There is
no hedging.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import StatusError
from gateway.upstream.around import AroundUpstream
from gateway.upstream.port import Call, Outcome, RequestMessages, Response, Upstream

_ATTEMPTS: Final = "grpc-previous-rpc-attempts"
_PUSHBACK: Final = "grpc-retry-pushback-ms"
_JITTER: Final = 0.2
"""Part of a backoff that is added to it or taken from it."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When and how often a call is made again; times in seconds."""

    is_safe: Callable[[Method], bool]
    """Whether a method may be called twice."""
    codes: frozenset[int]
    """Statuses after which a call is made again."""
    max_attempts: int = 3
    """Attempts of one call, the first one among them."""
    initial_backoff: float = 0.1
    max_backoff: float = 1.0
    multiplier: float = 2.0
    max_tokens: float = 10.0
    """What the budget holds. A failure takes one away; below one half nothing is retried."""
    token_ratio: float = 0.1
    """What a success adds: the share of calls that may be retries as long as failures go on."""


class RetryingUpstream(AroundUpstream):
    """An upstream whose calls are made again if they fail.

    Attributes:
        inner: carries the attempts.
        retries: what became of failed attempts that could be retried -> how many; `made` are retries, the
            others were refused, for the `budget`, the `deadline` or the number of `attempts`.
    """

    def __init__(self, inner: Upstream, policy: RetryPolicy) -> None:
        """Takes what carries the attempts."""
        super().__init__(inner)
        self.policy = policy
        self.retries = dict.fromkeys(("made", "budget", "deadline", "attempts"), 0)
        self._tokens = policy.max_tokens
        self._safe: dict[Method, bool] = {}

    def contract_changed(self) -> None:
        """Forgets the methods; tells the upstream the same."""
        self._safe.clear()
        super().contract_changed()

    def open(
        self,
        method: Method,
        requests: RequestMessages,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call; see `gateway.upstream.port.Upstream`. One whose requests stream is made once."""
        if not isinstance(requests, bytes) or not self._is_safe(method):
            return self.inner.open(method, requests, metadata=metadata, timeout=timeout)
        return _RetriedCall(_Attempts(self, method, requests, metadata, timeout))

    def start_unary(
        self,
        method: Method,
        request: bytes,
        on_outcome: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Starts a unary call; see `gateway.upstream.port.Upstream`."""
        if not self._is_safe(method):
            return self.inner.start_unary(
                method, request, on_outcome, metadata=metadata, timeout=timeout
            )
        call = _RetriedUnary(_Attempts(self, method, request, metadata, timeout), on_outcome)
        call.start()
        return call.cancel

    def succeeded(self) -> None:
        """Adds to the budget what a success adds."""
        policy = self.policy
        self._tokens = min(self._tokens + policy.token_ratio, policy.max_tokens)

    def may_retry(self) -> bool:
        """Takes a failure from the budget; returns whether it allows a retry."""
        self._tokens = max(self._tokens - 1, 0.0)
        return self._tokens > self.policy.max_tokens / 2

    def _is_safe(self, method: Method) -> bool:
        found = self._safe.get(method)
        if found is None:
            found = self._safe[method] = self.policy.is_safe(method)
        return found


class _Attempts:
    """The attempts of one call."""

    __slots__ = ("_deadline", "_metadata", "_step", "loop", "made", "method", "request", "upstream")

    def __init__(
        self,
        upstream: RetryingUpstream,
        method: Method,
        request: bytes,
        metadata: Metadata,
        timeout: float | None,
    ) -> None:
        self.upstream = upstream
        self.method = method
        self.request = request
        self.loop = asyncio.get_running_loop()
        self.made = 0
        self._step = 0
        self._metadata = metadata
        self._deadline = None if timeout is None else self.loop.time() + timeout

    def next(self) -> dict[str, Any]:
        """Counts an attempt; returns what it is made with."""
        self.made += 1
        metadata = self._metadata
        if self.made > 1:
            metadata = (*metadata, (_ATTEMPTS, str(self.made - 1)))
        return {"metadata": metadata, "timeout": self._remaining()}

    def delay(self, error: BaseException) -> float | None:
        """Returns after how many seconds the call is made again; None: it is not."""
        policy, retries = self.upstream.policy, self.upstream.retries
        if not isinstance(error, StatusError) or error.code not in policy.codes:
            return None
        allowed = self.upstream.may_retry()
        pushback = _pushback(error.trailing)
        if error.initial or (pushback is not None and pushback < 0):
            return None
        if self.made >= policy.max_attempts:
            retries["attempts"] += 1
            return None
        if not allowed:
            retries["budget"] += 1
            return None
        seconds = self._backoff(policy) if pushback is None else pushback
        if pushback is not None:
            self._step = 0
        seconds = max(seconds, error.retry_seconds or 0.0)
        remaining = self._remaining()
        if remaining is not None and seconds >= remaining:
            retries["deadline"] += 1
            return None
        retries["made"] += 1
        return seconds

    def _backoff(self, policy: RetryPolicy) -> float:
        longest = policy.initial_backoff * policy.multiplier**self._step
        self._step += 1
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
        return min(longest, policy.max_backoff) * jitter

    def _remaining(self) -> float | None:
        return None if self._deadline is None else max(self._deadline - self.loop.time(), 0.0)


class _RetriedUnary:
    """A unary call, whose attempts cost no task."""

    __slots__ = ("_attempts", "_cancel_inner", "_tell", "_timer")

    def __init__(self, attempts: _Attempts, tell: Callable[[Outcome], None]) -> None:
        self._attempts = attempts
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None
        self._cancel_inner: Callable[[], object] | None = None

    def start(self) -> None:
        attempts = self._attempts
        self._timer = None
        self._cancel_inner = attempts.upstream.inner.start_unary(
            attempts.method, attempts.request, self._on_outcome, **attempts.next()
        )

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        elif self._cancel_inner is not None:
            self._cancel_inner()

    def _on_outcome(self, outcome: Outcome) -> None:
        if isinstance(outcome, Response):
            self._attempts.upstream.succeeded()
        elif (delay := self._attempts.delay(outcome)) is not None:
            self._timer = self._attempts.loop.call_later(delay, self._again)
            return
        self._tell(outcome)

    def _again(self) -> None:
        try:
            self.start()
        except Exception as error:
            self._tell(error)


class _RetriedCall:
    """A call with one request, made again until its first message has come; its own block."""

    __slots__ = ("_attempts", "_block", "_call", "_is_committed", "_take")

    _call: Call
    _take: Callable[[], bytes | None] | None

    def __init__(self, attempts: _Attempts) -> None:
        self._attempts = attempts
        self._block: AbstractAsyncContextManager[Call] | None = None
        self._is_committed = False

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._block is not None:
            await self._block.__aexit__(error_type, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._is_committed:
            return await self._call.__anext__()
        failed: StatusError | None = None
        while True:
            try:
                message = await self._call.__anext__()
            except StatusError as error:
                delay = self._attempts.delay(error)
                if delay is None:
                    self._is_committed = True
                    raise
                failed = error
            except StopAsyncIteration:
                self._commit()
                raise
            else:
                self._commit()
                return message
            try:
                await self._close(failed)
            finally:
                failed = None  # its traceback has this frame
            await asyncio.sleep(delay)
            await self._open()

    def take_message(self) -> bytes | None:
        """See `Call`."""
        return self._take() if self._is_committed and self._take is not None else None

    async def initial_metadata(self) -> Metadata:
        """See `Call`."""
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Metadata:
        """See `Call`."""
        return await self._call.trailing_metadata()

    def _commit(self) -> None:
        self._is_committed = True
        self._attempts.upstream.succeeded()

    async def _open(self) -> None:
        attempts = self._attempts
        while True:
            block = attempts.upstream.inner.open(
                attempts.method, attempts.request, **attempts.next()
            )
            try:
                self._call = await block.__aenter__()
            except StatusError as error:
                delay = attempts.delay(error)
                if delay is None:
                    raise
            else:
                self._block = block
                self._take = getattr(self._call, "take_message", None)
                return
            await asyncio.sleep(delay)

    async def _close(self, error: StatusError) -> None:
        block, self._block = self._block, None
        if block is not None:
            await block.__aexit__(type(error), error, error.__traceback__)


def _pushback(trailing: Metadata) -> float | None:
    """Returns the delay that a server asks for, in seconds; negative: do not retry. None: it does not ask."""
    for key, value in trailing:
        if key == _PUSHBACK:
            text = value if isinstance(value, str) else ""
            return int(text) / 1000 if text.isdecimal() and len(text) < 10 else -1.0
    return None


def retries_of(upstream: Any) -> Mapping[str, int]:
    """Returns what became of the retries of an upstream; empty if it has none."""
    while upstream is not None:
        if isinstance(upstream, RetryingUpstream):
            return upstream.retries
        upstream = getattr(upstream, "inner", None)
    return {}
