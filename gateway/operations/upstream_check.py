"""Whether one upstream answers, for readiness.

Rule: whoever asks, the upstream is asked at most once in `_FRESH_SECONDS`, and by one call at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from gateway.upstream.health_check import problem_of
from gateway.upstream.port import Upstream

log = logging.getLogger(__name__)

_FRESH_SECONDS: Final = 1.0
"""Age up to which the last answer of the upstream is told again."""
_SLACK_SECONDS: Final = 1.0
"""Time beyond the timeout of a call after which an upstream that keeps to no timeout is given up."""


class UpstreamCheck:
    """The question to one upstream.

    Attributes:
        name: of the check.
        is_required: whether the edge is ready only if it passes.
    """

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        service: str = "",
        *,
        addresses: int = 1,
        is_required: bool = True,
    ) -> None:
        """Takes what is asked.

        Args:
            name: of the check.
            upstream: the upstream.
            service: that it is asked about; empty: the whole server.
            addresses: how many it has, to which calls go in turn; it answers if one of them does.
            is_required: whether the edge is ready only if it passes.
        """
        self.name = name
        self.is_required = is_required
        self._upstream = upstream
        self._service = service
        self._addresses = addresses
        self._asked_at = float("-inf")
        self._problem = ""
        self._asking: asyncio.Task[str] | None = None

    @property
    def last(self) -> str | None:
        """Why it did not answer the last time, or ""; None before the first."""
        return self._problem if self._asked_at > float("-inf") else None

    @property
    def is_stale(self) -> bool:
        """Whether the last answer is too old to be told again."""
        return time.monotonic() - self._asked_at >= _FRESH_SECONDS

    async def problem(self, seconds: float) -> str:
        """Returns why it does not answer, or ""; asks if that was not done just now.

        `seconds` is the maximum duration of the question.
        """
        if self._asking is None and not self.is_stale:
            return self._problem
        return await asyncio.shield(self.start_asking(seconds))

    def start_asking(self, seconds: float) -> asyncio.Task[str]:
        """Returns the question that is under way, or a new one."""
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask(seconds))
        return self._asking

    async def stop(self) -> None:
        """Cancels a question that is under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _ask(self, seconds: float) -> str:
        before = self._problem
        try:
            async with asyncio.timeout(seconds + _SLACK_SECONDS):
                for _ in range(self._addresses):
                    self._problem = await problem_of(
                        self._upstream, self._service, seconds / self._addresses
                    )
                    if not self._problem:
                        break
        except TimeoutError:
            self._problem = "the upstream does not answer in time"
        finally:
            self._asked_at = time.monotonic()
            self._asking = None
        if self._problem != before and not (self._problem and before):
            self._log()
        return self._problem

    def _log(self) -> None:
        name = self.name.partition(":")[2]
        told = f" ({name})" if name else ""
        if not self._problem:
            log.warning("ready again: the upstream%s answers", told)
        elif self.is_required:
            log.warning("not ready: %s%s", self._problem, told)
        else:
            log.warning("the upstream%s does not answer: %s", told, self._problem)
