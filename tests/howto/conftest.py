"""What the commands of the pages need of the machine."""

from __future__ import annotations

from tests.whole.conftest import curl

__all__ = ["curl"]
