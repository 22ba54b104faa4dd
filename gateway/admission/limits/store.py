"""The port behind which several processes count requests together."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol

from gateway.admission.limits.gcra import Decision, Rate


class Wanted(NamedTuple):
    """What a request takes out of one bucket."""

    rate: Rate
    """The bucket's; `rate.name` and `key` together name it."""
    key: str
    """Of the bucket; it is no credential, and short whatever a caller sends. It may have any characters."""
    cost: int
    """Tokens, more than 0."""


class LimitStore(Protocol):
    """Counts the requests of several processes, by a clock of its own."""

    def take(self, wanted: Sequence[Wanted]) -> Awaitable[Sequence[Decision] | None] | None:
        """Takes the tokens of a request: of each bucket all or none, in order, until one refuses.

        Returns:
            What the decisions are awaited by, of which the last one may be a refusal. None, at once or when
            it is awaited: the process counts this request by itself, for there is no decision in time.
        """
        ...
