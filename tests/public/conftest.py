"""The edge in process over a public contract; the upstream answers what the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.app import create_app
from gateway.contract.descriptors import Contract
from gateway.settings import Settings
from gateway.testing import Script, ScriptedCall, ScriptedUpstream
from tests.edge.asgi import Request, ask, running
from tests.public.contracts import CONTRACTS, PublicContract


class Served:
    """A contract that is being served, and what reached its upstream."""

    def __init__(self, public: PublicContract) -> None:
        self.contract: Contract = public.load()
        self.answer: bytes = b""
        """What every call answers: one message, of whatever type it has."""
        self.requests: list[bytes] = []
        scripts: dict[str, Script] = {m.path: self._script for m in self.contract.methods}
        self.upstream = ScriptedUpstream(scripts)
        self.app: FastAPI

    async def _script(self, call: ScriptedCall) -> AsyncIterator[bytes]:
        async for request in call.requests:
            self.requests.append(request)
        yield self.answer

    def message(self, full_name: str) -> Any:
        """Returns the class of a message type."""
        return GetMessageClass(self.contract.pool.FindMessageTypeByName(full_name))

    async def ask(
        self, http_method: str, target: str, body: bytes = b"", answer: Message | None = None
    ) -> Request:
        """Makes a request that upstream answers with a message; by default an empty one."""
        self.requests.clear()
        self.upstream.calls.clear()
        self.answer = answer.SerializeToString() if answer is not None else b""
        return await ask(self.app, http_method, target, body)

    @property
    def called(self) -> str:
        """The full name of the method that was called last; nothing if none was."""
        return self.upstream.calls[-1].method.full_name if self.upstream.calls else ""

    @property
    def request(self) -> Any:
        """The message that the last call took."""
        taken = self.upstream.calls[-1].method.input
        return self.message(taken.full_name).FromString(self.requests[-1])


Serve = Callable[[str], AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serves one of the public contracts by its name, for a block."""

    @asynccontextmanager
    async def serving(name: str) -> AsyncIterator[Served]:
        public = CONTRACTS[name]()
        served = Served(public)
        descriptor_set, rules = tmp_path / "set.binpb", tmp_path / "rules.yaml"
        descriptor_set.write_bytes(public.descriptor_set)
        rules.write_text(public.http_rules)
        settings = Settings(
            descriptor_set=descriptor_set,
            services=public.services,
            http_rules=rules if public.http_rules else None,
            auto_mapping=public.auto_mapping,
        )
        async with running(create_app(settings, served.upstream)) as served.app:
            yield served

    return serving
