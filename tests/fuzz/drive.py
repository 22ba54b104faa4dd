"""An edge that is fuzzed: it is asked one thing at a time, and looked at closely after each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from gateway.app import create_app
from gateway.contract.http_rule import Binding
from gateway.settings import Settings
from gateway.testing import Script, ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import StatusError
from tests.contracts import echo_descriptor_set
from tests.edge.asgi import Request
from tests.edge.conftest import SCRIPTS, Everything, FailRequest, echo
from tests.fuzz.requests import Headers, HttpRequest, UpstreamAnswer, WebSocketSession

PATIENCE = 10.0
"""Seconds after which an exchange is said to hang; most take a millisecond."""
HANGING = ("/echo.v1.Echo/Hang", "/echo.v1.Echo/HangStream")
MOST_ANSWERS = 20


class Exchanged:
    """One exchange that has ended: what was sent, and what is left of it."""

    def __init__(
        self, request: Request, *, left: bool, asked: list[int], problems: list[str]
    ) -> None:
        self.sent = request.sent
        self.error = request.task.exception()
        self.left = left
        """Whether the client had to leave, for the script never ends."""
        self.asked = asked
        """The codes with which the script ended its calls, other than OK."""
        self.problems = problems
        """What was left behind: tasks, calls, errors that nobody caught."""


class ErrorLog(logging.Handler):
    """Keeps what is logged as an error: the edge logs exceptions that it did not expect."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one record, with the exception that is in it."""
        self._found.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


class FuzzedEdge:
    """The edge over the tests' own contract, with a loop of its own."""

    def __init__(self, folder: Path) -> None:
        path = folder / "echo.binpb"
        path.write_bytes(echo_descriptor_set())
        self._runner = asyncio.Runner()
        self._asked: list[int] = []
        self._uncaught: list[str] = []
        self._log = ErrorLog(self._uncaught)
        scripts: dict[str, Script] = dict(SCRIPTS)
        for name in ("ServerStream", "Fail", "FailStream"):
            scripts[f"/echo.v1.Echo/{name}"] = self._few
        self._upstream = ScriptedUpstream(scripts)
        self.app = create_app(Settings(descriptor_set=path), self._upstream)
        self.bindings: list[Binding] = self.app.state.edge.served.transcoder.bindings
        for binding in self.bindings:
            self._upstream.scripts.setdefault(binding.method.path, self._rest)
        self.exchanges = 0

    async def _few(self, call: ScriptedCall) -> AsyncIterator[bytes]:
        """Answers as often as it is asked to, within reason, and ends as it is asked to."""
        request = await anext(call.requests)
        if call.method.path.endswith("ServerStream"):
            for _ in range(min(Everything.FromString(request).int32_field, MOST_ANSWERS)):
                yield request
            return
        wish = FailRequest.FromString(request)
        for number in range(min(wish.after, MOST_ANSWERS)):
            yield Everything(int32_field=number).SerializeToString()
        if wish.code:
            self._asked.append(wish.code)
            raise StatusError.of(wish.code, wish.message)
        if not wish.after:
            yield b""

    async def _rest(self, call: ScriptedCall) -> AsyncIterator[bytes]:
        """Is the script of what this suite has no other for: an echo where that fits, else nothing much."""
        if call.method.input == call.method.output:
            async for answer in echo(call):
                yield answer
            return
        async for _ in call.requests:
            continue
        yield b""

    def __enter__(self) -> Self:
        logging.getLogger("gateway").addHandler(self._log)
        self._runner.get_loop().set_exception_handler(
            lambda _, context: self._uncaught.append(str(context.get("exception") or context))
        )
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _e: object, _t: TracebackType | None
    ) -> None:
        logging.getLogger("gateway").removeHandler(self._log)
        self._runner.close()

    def http(self, request: HttpRequest) -> Exchanged:
        """Makes an HTTP request."""
        scope = _scope("http", request.path, request.query, request.headers)
        scope["method"] = request.method
        *most, last = request.chunks
        events: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in most
        ]
        if request.leaves:
            events.append({"type": "http.disconnect"})
        else:
            events.append({"type": "http.request", "body": last, "more_body": False})
        return self._runner.run(self._exchange(scope, events, {"type": "http.disconnect"}))

    def websocket(self, session: WebSocketSession) -> Exchanged:
        """Opens a WebSocket, and plays the client to its end."""
        scope = _scope("websocket", session.path, session.query, session.headers)
        scope["subprotocols"] = session.subprotocols
        scope["extensions"] = {"websocket.http.response": {}} if session.can_refuse_in_json else {}
        leave = {"type": "websocket.disconnect", "code": 1001}
        events: list[dict[str, Any]] = [{"type": "websocket.connect"}]
        for frame in session.frames:
            kind = "text" if isinstance(frame, str) else "bytes"
            events.append({"type": "websocket.receive", kind: frame})
        end = {"type": "websocket.receive", "text": ""} if session.half_closes else leave
        return self._runner.run(self._exchange(scope, [*events, end], leave))

    def answered(self, answer: UpstreamAnswer) -> Exchanged:
        """Makes a request that upstream answers as is said."""
        scope = _scope("http", answer.path, b"", []) | {"method": "GET"}
        event = {"type": "http.request", "body": b"", "more_body": False}
        scripts = self._upstream.scripts
        self._upstream.scripts = dict.fromkeys(scripts, _saying(answer))
        try:
            return self._runner.run(self._exchange(scope, [event], {"type": "http.disconnect"}))
        finally:
            self._upstream.scripts = scripts

    async def _exchange(
        self, scope: dict[str, Any], events: list[dict[str, Any]], leave: dict[str, Any]
    ) -> Exchanged:
        self._asked.clear()
        self._upstream.calls.clear()
        before = asyncio.all_tasks()
        request = Request(self.app, scope)
        for event in events:
            request.arrives(**_renamed(event))
        await self._until_done_or_hanging(request)
        left = not request.task.done()
        if left:
            request.arrives(**_renamed(leave))
        _, pending = await asyncio.wait({request.task}, timeout=PATIENCE)
        if pending:
            request.task.cancel()
            raise AssertionError(f"it hangs after {request.sent}")
        self.exchanges += 1
        problems = await self._left_behind(before)
        return Exchanged(request, left=left, asked=list(self._asked), problems=problems)

    async def _until_done_or_hanging(self, request: Request) -> None:
        """Waits for an exchange; one whose script never ends has to be left, as its client would."""
        for _ in range(200):
            if request.task.done():
                return
            await asyncio.sleep(0)
        if not any(call.method.path in HANGING for call in self._upstream.calls):
            await asyncio.wait({request.task}, timeout=PATIENCE)
            assert request.task.done(), f"it hangs after {request.sent}"

    async def _left_behind(self, before: set[asyncio.Task[Any]]) -> list[str]:
        for _ in range(5):
            await asyncio.sleep(0)
        problems = [f"a task: {task}" for task in asyncio.all_tasks() - before]
        problems += [
            f"a call: {c.method.path}" for c in self._upstream.calls if not c.ended.is_set()
        ]
        problems += self._uncaught
        self._uncaught.clear()
        return problems


def _saying(answer: UpstreamAnswer) -> Script:
    async def say(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial, call.trailing = answer.initial, answer.trailing
        for message in answer.messages:
            yield message
        if answer.status is not None:
            raise StatusError(answer.status)

    return say


def _renamed(event: dict[str, Any]) -> dict[str, Any]:
    return {("event_type" if key == "type" else key): value for key, value in event.items()}


def _scope(kind: str, path: bytes, query: bytes, headers: Headers) -> dict[str, Any]:
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "state": {},
    }
