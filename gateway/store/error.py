"""What goes wrong with a store: at the start, and while the edge runs."""

from __future__ import annotations


class StoreSettingError(Exception):
    """A store cannot be used as settings say. The text is one line, and names the setting."""


class StoreError(Exception):
    """A command has no answer: the store is down, late, or refuses it.

    Nothing says whether the command was carried out, unless it was `refused` or not sent.

    Attributes:
        reason: `down` (nothing was sent), `connection`, `timeout` or `refused`; the label of the metrics.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
