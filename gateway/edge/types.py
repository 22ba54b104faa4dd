"""ASGI's own shapes. Source: ASGI specification 3.0."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

WRITE: Final = "protoway.write"
"""An extension of ours: `scope["extensions"][WRITE]["write"]` is a `Write`, if nothing wraps `send`."""
Write: TypeAlias = Callable[[bytes], bool]
"""Writes a part of a body that has begun, as `http.response.body` with `more_body` does, but at once.

It returns False, and has done nothing, where `send` would wait, or do more than write. No bytes at all are
the question whether it would.
"""
