"""The policies that settings switch on, in their order, and what they need while the edge runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from gateway.admission.rights.rights import Rights
from gateway.admission.rights.table import RightsTable, compile_rights, has_rights
from gateway.contract.http_rule import Binding
from gateway.exchange.policy import Policy
from gateway.settings import Settings

log = logging.getLogger(__name__)


class Admission:
    """The policies of one edge.

    As a block, it keeps open what they need: files that are watched, key sets that are refreshed.

    Attributes:
        policies: in the order in which they are asked: who calls, load shedding, CORS, limits by address,
            identity, rights, limits by identity.
    """

    def __init__(self, settings: Settings, bindings: Sequence[Binding]) -> None:
        """Makes the policies that the settings switch on.

        Args:
            settings: of the edge.
            bindings: of the contract, as the transcoder has them.

        Raises:
            AdmissionError: a policy cannot be made of its settings.
        """
        policies: list[Policy] = []
        needed: list[AbstractAsyncContextManager[object]] = []
        if (table := rights_table(settings, bindings)) is not None:
            for warning in table.warnings:
                log.warning("%s", warning)
            policies.append(Rights(table))
        self.policies = tuple(policies)
        self._needed = tuple(needed)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Opens what the policies need."""
        for each in self._needed:
            await self._stack.enter_async_context(each)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""
        await self._stack.aclose()


def rights_table(settings: Settings, bindings: Sequence[Binding]) -> RightsTable | None:
    """Returns who may call what; None: nothing says so.

    Raises:
        AdmissionError: see `compile_rights`.
    """
    if not has_rights(settings.rights, (binding.method for binding in bindings)):
        return None
    return compile_rights(settings.rights, bindings, settings.own_paths(), settings.health_path)
