"""The connection of one process to its store, and whether it works.

A store that fails is left alone: one task asks it by `PING`, after growing delays with jitter, and all other
commands fail at once until it answers. So a store that comes back meets one command a process.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from hmac import digest
from time import monotonic
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar

from gateway.store.error import StoreError
from gateway.store.script import Script
from grpc_wire.client.backoff import jittered, longer
from server_process.exposition import Histogram

log = logging.getLogger(__name__)

T = TypeVar("T")

Client: TypeAlias = Any
"""A `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; answers are bytes, by RESP2."""

_PING_SECONDS: Final = 1.0
"""Interval at which a store is asked that has answered nothing since."""
_FIRST_DELAY: Final = 0.1
_MAX_DELAY: Final = 5.0
_STEADY_SECONDS: Final = 5.0
"""Time that a store has to be up for its next failure to be a first one."""
_KEY_BYTES: Final = 20
"""Bytes of a key's digest: collisions are out of reach, and a key stays short."""
_NO_SECRET: Final = b"protoway"


class Driver(Protocol):
    """What speaks to a store of some kind."""

    failures: tuple[type[Exception], ...]
    """What its commands raise."""

    def connect(self) -> Client:
        """Returns a client; it connects at its first command."""
        ...

    async def aclose(self) -> None:
        """Closes what is no client's."""

    def evaluate(
        self, client: Client, script: Script, keys: Sequence[str], arguments: Sequence[Any]
    ) -> Awaitable[Any]:
        """Runs a script, and returns its answer."""
        ...

    def error(self, error: Exception) -> tuple[StoreError, bool]:
        """Returns what an error of a command is for others, and whether the store is down by it."""
        ...


class Store:
    """The store of one process; used as a block, in which it is asked.

    Attributes:
        prefix: what every key begins with.
        secret: that all replicas have; None: keys are hashed without one.
        is_up: whether it has answered last.
        timeout: maximum duration of a command, in seconds.
        problem: why it is down, without addresses; empty: it is not.
        followers: told of each change of `is_up`, in the event loop.
        durations: purpose -> durations of commands that were sent, failed ones too.
        failures: purpose and reason -> commands that failed; `down` counts those that were not sent.
        is_cluster: whether the keys of one script must lie in one slot.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        prefix: str = "protoway:",
        secret: bytes | None = None,
        timeout: float = 1.0,
        max_connections: int = 8,
        is_cluster: bool = False,
    ) -> None:
        """Takes what speaks to it, and settings; nothing is sent before the block."""
        self._driver = driver
        self.prefix = prefix
        self.secret = secret
        self.timeout = timeout
        self.is_cluster = is_cluster
        self.is_up = False
        self.problem = "the edge has not asked the store yet"
        self.followers: list[Callable[[bool], None]] = []
        self.durations: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.failures: Counter[tuple[str, str]] = Counter()
        self._client: Client = None
        self._places = asyncio.Semaphore(max_connections)
        self._up = asyncio.Event()
        self._look = asyncio.Event()
        self._answered_at = self._up_since = float("-inf")
        self._delay = _FIRST_DELAY
        self._is_logged = False
        self._watching: asyncio.Task[None] | None = None

    def key(self, kind: str, *parts: bytes | str) -> str:
        """Returns a key: prefix, kind and the HMAC of the parts in braces, which are a cluster's hash tag.

        So keys of one thing, which differ behind the braces, lie in one slot of a cluster; and who reads the
        store sees no part.
        """
        return f"{self.prefix}{kind}:{{{self.digest(kind, *parts)}}}"

    def digest(self, kind: str, *parts: bytes | str) -> str:
        """Returns the HMAC of kind and parts, in hexadecimal digits."""
        encoded = [
            part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            for part in parts
        ]
        text = b"".join(b"%d:%s" % (len(part), part) for part in (kind.encode(), *encoded))
        return digest(self.secret or _NO_SECRET, text, "sha256")[:_KEY_BYTES].hex()

    def connect(self) -> Client:
        """Returns a further client for commands that block; the caller limits their time and closes it."""
        return self._driver.connect()

    async def run(
        self,
        purpose: str,
        command: Callable[[Client], Awaitable[T]],
        *,
        seconds: float | None = None,
    ) -> T:
        """Runs a command, and returns its answer.

        Args:
            purpose: what it is for: the label of the metrics.
            command: sends it by the client that it is given; also several, as a pipeline.
            seconds: maximum duration; None, and at most: `timeout`.

        Raises:
            StoreError: the store is down, late, or refuses the command.
        """
        if not self.is_up:
            self.failures[purpose, "down"] += 1
            raise StoreError("down", "the store is down")
        return await self._send(purpose, command, min(seconds or self.timeout, self.timeout))

    async def evaluate(
        self,
        purpose: str,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Any],
        *,
        seconds: float | None = None,
    ) -> Any:
        """Runs a script, and returns its answer; in a cluster its keys lie in one slot.

        The other arguments and the errors are those of `run`.
        """
        evaluate = self._driver.evaluate
        return await self.run(
            purpose, lambda client: evaluate(client, script, keys, arguments), seconds=seconds
        )

    async def wait_until_up(self) -> None:
        """Returns when the store answers."""
        await self._up.wait()

    async def __aenter__(self) -> Self:
        """Connects; a store that is down is no error."""
        self._client = self._driver.connect()
        await self._ping()
        self._watching = asyncio.get_running_loop().create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the connections."""
        assert self._watching is not None  # noqa: S101 - the block was entered
        self._watching.cancel()
        await asyncio.wait({self._watching})
        self.is_up = False
        await self._close(self._client)
        with suppress(*self._driver.failures):
            await self._driver.aclose()

    async def _send(
        self, purpose: str, command: Callable[[Client], Awaitable[T]], seconds: float
    ) -> T:
        started = monotonic()
        try:
            async with asyncio.timeout(seconds), self._places:
                answer = await command(self._client)
        except TimeoutError:
            self._look.set()
            failure = StoreError("timeout", "the store does not answer in time")
        except self._driver.failures as error:
            failure, is_down = self._driver.error(error)
            if is_down:
                self._mark(failure)
        else:
            self._answered_at = monotonic()
            self.durations[purpose].observe(self._answered_at - started)
            return answer
        self.durations[purpose].observe(monotonic() - started)
        self.failures[purpose, failure.reason] += 1
        raise failure

    async def _watch(self) -> None:
        """Asks the store while it is silent, after a timeout at once, and while it is down."""
        while True:
            if self.is_up:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PING_SECONDS):
                        await self._look.wait()
                due = self._look.is_set() or monotonic() - self._answered_at >= _PING_SECONDS
                self._look.clear()
                if not due:
                    continue
            else:
                await asyncio.sleep(jittered(self._delay))
                self._delay = longer(self._delay, _MAX_DELAY)
                await self._reconnect()
            await self._ping()

    async def _reconnect(self) -> None:
        """Takes another client, which knows nothing of what was: a cluster may have other nodes now."""
        old, self._client = self._client, self._driver.connect()
        await self._close(old)

    async def _close(self, client: Client) -> None:
        with suppress(TimeoutError, *self._driver.failures):
            async with asyncio.timeout(self.timeout):
                await client.aclose()

    async def _ping(self) -> None:
        try:
            await self._send("ping", lambda client: client.ping(), self.timeout)
        except StoreError as error:
            self._mark(error)
        else:
            self._mark(None)

    def _mark(self, problem: StoreError | None) -> None:
        """Notes whether the store is up, and tells log and followers of a change."""
        was_up, now = self.is_up, monotonic()
        self.is_up = problem is None
        self.problem = "" if problem is None else _without_address(problem)
        if problem is None and not was_up:
            if self._is_logged:
                log.warning("the store answers again")
            self._up_since, self._is_logged = now, False
            self._up.set()
        elif was_up and now - self._up_since >= _STEADY_SECONDS:
            self._delay = _FIRST_DELAY
        if problem is not None:
            self._up.clear()
            if not self._is_logged:
                self._is_logged = True
                log.warning("%s; this process goes on without it", problem)
        if was_up is not self.is_up:
            for follow in self.followers:
                follow(self.is_up)


def _without_address(problem: StoreError) -> str:
    """Returns what may be told to anybody."""
    return str(problem).partition(":")[0]
