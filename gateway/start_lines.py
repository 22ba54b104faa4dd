"""What the start says beside where it listens and what it serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI

from gateway.doors.asgi import ContractRoutes

UNARY_COST: Final = "2 to 2.5"
"""CPU of a unary call through one middleware, as a multiple of that without any (`bench/middleware.py`)."""


def middleware_line(app: FastAPI) -> Sequence[str]:
    """Returns the line that names the user's middleware and its cost, outermost first; without any, none."""
    classes: list[object] = [each.cls for each in app.user_middleware]
    names = [_name(each) for each in classes if each is not ContractRoutes]
    if not names:
        return ()
    take = "takes" if len(names) == 1 else "take"
    cost = f"at about {UNARY_COST} times the CPU of a unary call"
    page = "docs/how-to/python-application.md"
    return (
        f"protoway: {', '.join(names)} {take} every request through ASGI, {cost}; policies do not ({page})",
    )


def _name(middleware: object) -> str:
    return getattr(middleware, "__name__", None) or type(middleware).__name__
