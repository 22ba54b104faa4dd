"""The workers of a program: all of them serve a new contract, or none.

Whichever worker reloads proposes the contract to the others. When each has compiled it and said so, it
comes into force for all (`SharedContract`), and each follows at once. A worker that cannot compile it, or
does not answer in time, makes all keep the one before. One that dies behind that is started anew with the
one in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.reload.shared_contract import SharedContract
from gateway.sources.port import ContractData
from server_process.worker_mail import WorkerMail

log = logging.getLogger(__name__)

PREPARE_SECONDS: Final = 20.0
"""How long the other workers may take to compile a contract."""
_LOCK_SECONDS: Final = 30.0
"""How long a worker waits for another one that reloads."""
_LOOK_SECONDS: Final = 0.05
_PREPARE: Final = "prepare"
_FOLLOW: Final = "follow"
_FORGET: Final = "forget"


class ContractFleet:
    """The connection of a worker to the others; made before the first fork.

    Attributes:
        shared: the contract in force and the proposed one.
        number: of this worker.
    """

    def __init__(self, count: int) -> None:
        """Makes it for so many workers."""
        self.shared = SharedContract()
        self.number = 0
        self._mail = WorkerMail(count)

    def close(self) -> None:
        """Closes the connection in this process."""
        self.shared.close()
        self._mail.close()

    @asynccontextmanager
    async def answering(
        self,
        prepare: Callable[[], Awaitable[list[str]]],
        follow: Callable[[], Awaitable[bool]],
        forget: Callable[[], None],
    ) -> AsyncIterator[None]:
        """Obeys the other workers while the block runs.

        Args:
            prepare: compiles the proposed contract; returns why that cannot be served, a line each.
            follow: serves the contract in force; returns whether that is done.
            forget: drops what was prepared.
        """

        def drop() -> bool:
            forget()
            return True

        answers = {_PREPARE: prepare, _FOLLOW: follow, _FORGET: drop}
        self._mail.answer(self.number, answers)
        try:
            yield
        finally:
            self._mail.stop(self.number)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[bool]:
        """The block may replace the contract, if it is given True; False: another worker takes too long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _LOCK_SECONDS
        while True:
            with self.shared.lock() as is_ours:
                if is_ours or loop.time() >= until:
                    yield is_ours
                    return
            await asyncio.sleep(_LOOK_SECONDS)

    async def propose(self, data: ContractData) -> list[str]:
        """Lets all others compile a contract; returns why one cannot serve it, a line each."""
        self.shared.propose(data)
        told = await self._mail.ask_others(self.number, _PREPARE, PREPARE_SECONDS)
        problems: list[str] = []
        for number, found in told.items():
            if found is None:
                problems.append(f"worker {number} was not ready within {PREPARE_SECONDS:g} s")
            else:
                problems += (f"worker {number}: {problem}" for problem in found)
        if problems:
            await self._mail.ask_others(self.number, _FORGET)
        return problems

    async def lead(self) -> None:
        """Lets all others serve the contract that is in force by now."""
        told = await self._mail.ask_others(self.number, _FOLLOW)
        for number, done in told.items():
            if not done:
                log.warning("worker %d does not serve the new contract yet", number)
