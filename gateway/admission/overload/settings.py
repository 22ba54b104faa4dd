"""The section `overload` of the settings."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from gateway.sections import Section


class OverloadSettings(Section):
    """How much is under way at a time in one process, whoever asks; more is refused at once with 503."""

    max_calls: int | None = Field(default=None, gt=0, le=1_000_000)
    """Maximum unary calls under way at a time; more are answered with 503. None is no limit."""
    max_streams: int | None = Field(default=None, gt=0, le=10_000_000)
    """Maximum streams at a time, those over WebSockets among them; more are 503. None is no limit."""
    adaptive: bool = False
    """Lower the limit of calls while they take longer than usual, down to `min_calls`."""
    min_calls: int = Field(default=10, gt=0, le=1_000_000)
    """Minimum of the adaptive limit."""

    @property
    def is_on(self) -> bool:
        """Whether anything is refused."""
        return self.adaptive or self.max_calls is not None or self.max_streams is not None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        most, given = self.max_calls, "min_calls" in self.model_fields_set
        if given and self.adaptive and most is not None and self.min_calls > most:
            raise ValueError("`min_calls` is more than `max_calls`")
        return self
