"""Scripts that a store runs."""

from __future__ import annotations

from hashlib import sha1


class Script:
    """A script in Lua, which the store knows by its digest once it has run.

    Attributes:
        text: of the script.
        sha: its digest, as `EVALSHA` takes it.
    """

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
