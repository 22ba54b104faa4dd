"""An edge whose contract changes, over an upstream that says what each method answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.reload.versions import Change, first, message, replace_file, version


@pytest.fixture
def contracts_compiled_once() -> None:
    """Lets each contract be loaded and rendered: what is released of an old one is seen here."""


SERVICE = "/shop.v1.Shop/"


async def echo(call: ScriptedCall) -> AsyncIterator[bytes]:
    """Answers each request with itself."""
    async for request in call.requests:
        yield request


class Prices:
    """A shared stream of which the test says what comes; each call has its own queue."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.calls: list[asyncio.Queue[bytes | None]] = []

    async def __call__(self, _call: ScriptedCall) -> AsyncIterator[bytes]:
        """Answers with what is sent."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.calls.append(queue)
        while (data := await queue.get()) is not None:
            yield data

    def send(self, name: str, call: int = -1) -> None:
        """Lets a message with this name come, in the newest call or another one."""
        self.calls[call].put_nowait(message(self._kind, name=name))


class Shop:
    """The edge, its contract file and its upstream."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.path = folder / "shop.binpb"
        self.path.write_bytes(first())
        self.prices, self.orders = Prices("Price"), Prices("Order")
        scripts: dict[str, Any] = dict.fromkeys(
            (SERVICE + each for each in ("Get", "Add", "Follow", "Upload", "Talk", "Find")), echo
        )
        scripts |= {SERVICE + "Watch": self.prices, SERVICE + "Orders": self.orders}
        self.upstream = ScriptedUpstream(scripts)
        self.settings = Settings(descriptor_set=self.path, **{"on_breaking": "allow", **settings})
        self.app: FastAPI = create_app(self.settings, self.upstream)

    def write(self, *changes: Change) -> None:
        """Replaces the file by another version."""
        replace_file(self.path, version(*changes))

    async def change(self, *changes: Change) -> Any:
        """Replaces the file by another version, and reloads; returns the outcome."""
        self.write(*changes)
        return await self.app.state.reloader.reload()


@pytest.fixture
def make_shop(tmp_path: Path) -> Callable[..., Shop]:
    """Makes an edge with some settings other than the defaults."""

    def make(**settings: Any) -> Shop:
        return Shop(tmp_path, **settings)

    return make
