"""Buckets in a store that several processes share.

All requests of one turn of the event loop are one script, and so one command. A request waits for it for some
milliseconds, and is then counted by its process; so are all others until the store has answered that command.

Keys in the store are HMACs, which end when their buckets are full. In a cluster all buckets have one hash
tag, so that a script can have any of them: one node counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Sequence
from time import monotonic
from typing import Any, Final, Self, TypeAlias

from gateway.admission.limits.gcra import Decision, remaining
from gateway.admission.limits.store import Wanted
from gateway.store.error import StoreError
from gateway.store.script import Script
from gateway.store.store import Store

log = logging.getLogger(__name__)

PURPOSE: Final = "limits"
_MICROSECONDS: Final = 1e6
_SILENT_SECONDS: Final = 60.0
"""Time without a request that was counted locally, after which the next one is logged."""
_MAX_BUCKETS: Final = 500
"""Maximum buckets of a script: others wait for the store meanwhile."""

SCRIPT: Final = Script("""
local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1767225600) * 1000000 + tonumber(time[2])
local told, refused = {}, nil
for i, key in ipairs(KEYS) do
  local request = ARGV[3 * i - 2]
  local used, over = -1, 0
  if request ~= refused then
    local cost, tolerance = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    local arrival = tonumber(redis.call('GET', key) or now)
    used = math.min(math.max(arrival - now, 0), tolerance)
    over = used + cost - tolerance
    if over > 0.5 then
      refused = request
    else
      used, over = used + cost, 0
      local expires = math.min(math.ceil(used / 1000) + 1, 1e13)
      redis.call('SET', key, string.format('%.3f', now + used), 'PX', string.format('%.0f', expires))
    end
  end
  told[2 * i - 1], told[2 * i] = used, math.ceil(over)
end
return told
""")
"""GCRA, as `gcra` has it, in microseconds since 2026, of which a double has enough digits for fractions.

For each key: the request that it is for, its cost and the tolerance, both as durations. Answers for each key:
the time until the bucket is full, or -1 if an earlier one has refused, and by how much it is over.
An arrival is cut to the tolerance: the clock of a server that has taken over may be behind.
"""

_Request: TypeAlias = tuple[Sequence[Wanted], asyncio.Future[Sequence[Decision] | None]]


class SharedBuckets:
    """A `LimitStore` in the store of several processes; used as a block.

    Attributes:
        local: why -> requests that this process has counted by itself: the store is `down` or `late`, or has
            `failed`.
    """

    def __init__(self, store: Store, seconds: float) -> None:
        """Takes the store, and how long a request waits for it."""
        self._store = store
        self._seconds = seconds
        self.local: Counter[str] = Counter()
        self._logged_at = float("-inf")
        self._batch: list[_Request] = []
        self._buckets = 0
        self._late: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Nothing is asked yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Gives up what the store has not answered."""
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking)

    def take(self, wanted: Sequence[Wanted]) -> Awaitable[Sequence[Decision] | None] | None:
        """See `LimitStore`."""
        if self._late or not self._store.is_up:
            self._count_locally("late" if self._late else "down", 1)
            return None
        loop = asyncio.get_running_loop()
        if self._buckets + len(wanted) > _MAX_BUCKETS:
            self._ask()
        if not self._batch:
            loop.call_soon(self._ask)
        answer: asyncio.Future[Sequence[Decision] | None] = loop.create_future()
        self._batch.append((wanted, answer))
        self._buckets += len(wanted)
        return answer

    def _ask(self) -> None:
        """Sends what was collected; a call that finds nothing has been overtaken by a full batch."""
        batch, self._batch, self._buckets = self._batch, [], 0
        if not batch:
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._decide(batch))
        timer = loop.call_later(self._seconds, self._give_up, task, batch)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        task.add_done_callback(self._late.discard)
        task.add_done_callback(lambda _: timer.cancel())

    async def _decide(self, batch: Sequence[_Request]) -> None:
        keys: list[str] = []
        arguments: list[str] = []
        for number, (wanted, _) in enumerate(batch):
            for rate, key, cost in wanted:
                keys.append(self._key(rate.name, key))
                arguments.append(str(number))
                arguments.append(repr(cost * rate.interval * _MICROSECONDS))
                arguments.append(repr(rate.tolerance * _MICROSECONDS))
        try:
            told = await self._store.evaluate(PURPOSE, SCRIPT, keys, arguments)
        except StoreError:
            self._answer(batch, "failed")
            return
        start = 0
        for wanted, answer in batch:
            end = start + 2 * len(wanted)
            if not answer.done():
                answer.set_result(_decisions(wanted, told[start:end]))
            start = end

    def _give_up(self, task: asyncio.Task[None], batch: Sequence[_Request]) -> None:
        """Lets the requests of a batch wait no longer; the command goes on, which keeps the connection."""
        self._late.add(task)
        self._answer(batch, "late")

    def _answer(self, batch: Sequence[_Request], reason: str) -> None:
        waiting = [answer for _, answer in batch if not answer.done()]
        for answer in waiting:
            answer.set_result(None)
        self._count_locally(reason, len(waiting))

    def _count_locally(self, reason: str, requests: int) -> None:
        if not requests:
            return
        self.local[reason] += requests
        before, self._logged_at = self._logged_at, monotonic()
        if self._logged_at - before > _SILENT_SECONDS:
            log.warning("limits are counted by this process alone: the store is %s", _WORDS[reason])

    def _key(self, name: str, key: str) -> str:
        return f"{self._store.prefix}{{limits}}:{self._store.digest('limits', name, key)}"


_WORDS: Final = {"down": "down", "late": "late", "failed": "no help: see its metrics"}


def _decisions(wanted: Sequence[Wanted], told: Sequence[Any]) -> list[Decision]:
    """Returns what the script says of one request; nothing of buckets behind one that refuses."""
    made: list[Decision] = []
    for number, (rate, _, _) in enumerate(wanted):
        used, over = told[2 * number] / _MICROSECONDS, told[2 * number + 1] / _MICROSECONDS
        if used < 0:
            break
        made.append(Decision(remaining(rate, used), over, used))
    return made
