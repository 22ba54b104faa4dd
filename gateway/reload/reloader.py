"""Replaces the contract that is served: reads it, compiles it beside the one in force, and swaps at once.

What is slow happens in a thread and changes nothing: to read, to compile, to compare. All that is wrong is
found there. To swap is one assignment in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from gateway.admission.error import AdmissionError
from gateway.contract.descriptors import Contract
from gateway.contract.errors import ContractError
from gateway.contract.evolution.differences import differences
from gateway.contract.evolution.rules import Level
from gateway.exchange.edge import Edge
from gateway.exchange.served import ServedContract
from gateway.reload.compiling import problems_of
from gateway.reload.fleet import ContractFleet
from gateway.reload.state import Outcome, ReloadState, Result
from gateway.sources.port import ContractData, SourceUnavailable
from gateway.sources.reading import SettingsSource

log = logging.getLogger(__name__)

_FAULT: Final = "internal error; the log has its traceback"

OnBreaking: TypeAlias = Literal["refuse", "warn", "allow"]
_ALLOW: Final = "callers would notice; set on_breaking to warn or allow for a contract that does so"


class RefusedError(Exception):
    """A contract cannot be served; `problems` says why, a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class NotReloadedError(Exception):
    """The contract before stays in force; the text says why."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contract that may come into force."""

    data: ContractData
    served: ServedContract
    breaking: tuple[str, ...] = ()
    """What it breaks."""


class ContractReloader:
    """Reads and replaces the contract of one process, one reload at a time.

    Attributes:
        source: where the contract comes from.
        data: the contract in force, as it was read.
        state: what became of the reloads so far.
    """

    def __init__(
        self,
        edge: Edge,
        source: SettingsSource,
        data: ContractData,
        stamp: Hashable,
        load: Callable[[ContractData], Contract],
        compiler: Callable[[Contract], ServedContract],
        on_breaking: OnBreaking = "allow",
    ) -> None:
        """Takes what is in force.

        Args:
            edge: serves it.
            source: where it came from.
            data: the contract, as it was read.
            stamp: that of the source, before it was read.
            load: makes a contract of what was read, in a thread; raises ContractError.
            compiler: compiles a contract, in a thread; raises ContractError and AdmissionError.
            on_breaking: what becomes of a contract that breaks callers of the one in force.
        """
        self.source = source
        self.data = data
        self.state = ReloadState()
        self._edge = edge
        self._load = load
        self._compile = compiler
        self._on_breaking = on_breaking
        self._lock = asyncio.Lock()
        self._stamp = stamp
        self._fleet: ContractFleet | None = None
        self._generation = 0
        self._prepared: Candidate | None = None
        """What another worker has proposed."""

    def share(self, workers: int) -> None:
        """Prepares for so many workers, before the first is forked."""
        self._fleet = ContractFleet(workers)

    @asynccontextmanager
    async def running(self, number: int = 0) -> AsyncIterator[None]:
        """Serves what all workers serve, before the block and while it runs.

        Args:
            number: of this worker.
        """
        fleet = self._fleet
        if fleet is None:
            yield
            return
        fleet.number = number
        async with fleet.answering(self._prepare_proposed, self._follow, self._forget):
            await self._follow()
            # who led the others may have died before they heard of it
            healing = asyncio.create_task(fleet.lead()) if self._generation else None
            try:
                yield
            finally:
                if healing is not None:
                    healing.cancel()

    async def reload(self, *, asked: bool = True) -> Outcome:
        """Reads the contract again, and serves it from now on if it can be served; logs what becomes of it.

        Args:
            asked: whether somebody asked for it, who is then told in the log that nothing has changed.

        It raises nothing: an `Outcome` says what was wrong.
        """
        async with self._lock:
            try:
                outcome = await self._lead()
            except Exception:
                log.exception("the contract cannot be reloaded")
                outcome = self._outcome(Result.FAILED, (_FAULT,))
            self.state.note(outcome)
        if asked or outcome.result is not Result.UNCHANGED:
            self._log(outcome)
        return outcome

    async def on_hangup(self) -> None:
        """Does the same for SIGHUP.

        Raises:
            NotReloadedError: it was refused.
        """
        if self._fleet is not None and self._fleet.number:
            return  # the signal goes to all workers, and the first one leads
        outcome = await self.reload()
        if outcome.problems:
            raise NotReloadedError("; ".join(outcome.problems))

    async def _lead(self) -> Outcome:
        """Reloads alone, or together with the other workers while none of them does."""
        if self._fleet is None:
            return await self._reload()
        async with self._fleet.lock() as is_ours:
            if not is_ours:
                return self._outcome(Result.FAILED, ("another worker reloads for too long",))
            await self._follow()
            return await self._reload()

    async def _reload(self) -> Outcome:
        self._stamp = await asyncio.to_thread(self.source.stamp)  # before it is read
        try:
            data = await asyncio.to_thread(self.source.read)
            if data.digest == self.data.digest:
                return self._outcome(Result.UNCHANGED)
            candidate = await self.prepare(data)
        except OSError as error:
            return self._outcome(Result.FAILED, (_reason(error),))
        except SourceUnavailable as error:
            return self._outcome(Result.FAILED, (str(error),))
        except ContractError as error:  # of the source
            return self._outcome(Result.REFUSED, [str(each) for each in error.problems])
        except RefusedError as error:
            return self._outcome(Result.REFUSED, error.problems)
        if self._fleet is not None and (problems := await self._fleet.propose(data)):
            self._stamp = None  # the next look tries again
            return self._outcome(Result.FAILED, problems)
        self.commit(candidate)
        if self._fleet is not None:
            self._fleet.shared.put_into_force()
            self._generation = self._fleet.shared.generation
            await self._fleet.lead()
        return self._outcome(Result.APPLIED, warnings=candidate.breaking)

    def _outcome(
        self, result: Result, problems: Sequence[str] = (), warnings: Sequence[str] = ()
    ) -> Outcome:
        fingerprint = self._edge.served.fingerprint
        return Outcome(result, fingerprint, tuple(problems), tuple(warnings))

    async def prepare(self, data: ContractData) -> Candidate:
        """Compiles a contract beside the one in force.

        Raises:
            RefusedError: it cannot be served, or breaks what it must not.
        """
        return await asyncio.to_thread(self._prepare, data)

    def _prepare(self, data: ContractData) -> Candidate:
        contract = None
        try:
            contract = self._load(data)
            served = self._compile(contract)
        except (ContractError, AdmissionError) as error:
            raise RefusedError(problems_of(error, contract)) from error
        breaking: tuple[str, ...] = ()
        if self._on_breaking != "allow":
            breaking = _breaking(self._edge.served.contract, contract)
            if breaking and self._on_breaking == "refuse":
                raise RefusedError((*breaking, _ALLOW))
        return Candidate(data, served, breaking)

    def commit(self, candidate: Candidate) -> None:
        """Puts a contract into force for all requests that are matched from now on."""
        self.data = candidate.data
        self._edge.serve_contract(candidate.served)

    # What other workers ask for.

    async def _prepare_proposed(self) -> list[str]:
        data = None if self._fleet is None else self._fleet.shared.proposed()
        if data is None:
            return ["the proposed contract is another one by now"]
        try:
            self._prepared = await self.prepare(data)
        except RefusedError as error:
            return list(error.problems)
        return []

    async def _follow(self) -> bool:
        """Serves the contract that is in force for all; returns whether that is done."""
        if self._fleet is None or self._fleet.shared.generation == self._generation:
            return True
        found = self._fleet.shared.in_force()
        if found is None:
            return True
        generation, data = found
        candidate, self._prepared = self._prepared, None
        try:
            if candidate is None or candidate.data.digest != data.digest:
                candidate = await self.prepare(data)
        except RefusedError as error:
            log.error("cannot serve the contract of the other workers: %s", error)
            return False
        self.commit(candidate)
        self._generation = generation
        self.state.note(self._outcome(Result.APPLIED))
        return True

    def _forget(self) -> None:
        self._prepared = None

    def _log(self, outcome: Outcome) -> None:
        where = self.source.describe()
        for warning in outcome.warnings:
            log.warning("%s: breaks callers of the contract before: %s", where, warning)
        if outcome.result is Result.APPLIED:
            routes = len(self._edge.served.transcoder.bindings)
            log.info("%s: serving contract %s, %d routes", where, outcome.fingerprint, routes)
        elif outcome.result is Result.UNCHANGED:
            log.info("%s: contract %s is in force already", where, outcome.fingerprint)
        for problem in outcome.problems:
            log.error("%s: not reloaded: %s", where, problem)
        if outcome.problems:
            log.error("%s: contract %s stays in force", where, outcome.fingerprint)

    @asynccontextmanager
    async def watching(self, interval: float) -> AsyncIterator[None]:
        """Reloads in the block when the source has changed, and then stayed the same for one interval.

        Args:
            interval: seconds between two looks.
        """
        if self._fleet is not None and self._fleet.number:  # the first worker looks for all
            yield
            return
        task = asyncio.create_task(self._watch(interval))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _watch(self, interval: float) -> None:
        seen = self._stamp
        while True:
            await asyncio.sleep(interval)
            before, seen = seen, await asyncio.to_thread(self.source.stamp)
            if seen != self._stamp and seen == before:
                await self.reload(asked=False)


def _breaking(old: Contract, new: Contract) -> tuple[str, ...]:
    """Returns what a contract breaks for callers, a line each; what only compilers notice does not count."""
    return tuple([str(e) for e in differences(old, new) if e.rule.level > Level.SOURCE])


def _reason(error: OSError) -> str:
    return f"cannot read {error.filename}: {error.strerror}" if error.filename else str(error)
