"""How the workers of a program ask each other: for what they have counted, or to do something together.

The parent makes one inbox for each worker before it forks; all workers hold all of them. A question is a
datagram that carries the socket for the answer (SCM_RIGHTS, unix(7)), so nothing has a name in the file
system, and a worker that was restarted has the inbox of the one before.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import isawaitable
from typing import Any, Final, TypeAlias

ANSWER_SECONDS: Final = 1.0
"""How long an answer is waited for; a worker that gives none is busy or about to be restarted."""
_MAX_QUESTION: Final = 64
"""Maximum bytes of the name of a question."""
Answers: TypeAlias = Mapping[str, Callable[[], Any]]
"""Name of a question -> what returns the answer, which JSON can carry, or an awaitable of it."""


class WorkerMail:
    """The inboxes of all workers; made before the first fork."""

    def __init__(self, count: int) -> None:
        self._inboxes = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(count)]
        for pair in self._inboxes:
            for each in pair:
                each.settimeout(0)
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """Number of workers."""
        return len(self._inboxes)

    def answer(self, number: int, answers: Answers) -> None:
        """Answers the questions to a worker, in its running loop."""
        inbox = self._inboxes[number][0]
        asyncio.get_running_loop().add_reader(inbox.fileno(), self._read, inbox, answers)

    def stop(self, number: int) -> None:
        """Answers no more."""
        asyncio.get_running_loop().remove_reader(self._inboxes[number][0].fileno())

    def close(self) -> None:
        """Closes the inboxes in this process."""
        for pair in self._inboxes:
            for each in pair:
                each.close()

    async def ask_others(
        self, number: int, question: str, seconds: float = ANSWER_SECONDS
    ) -> dict[int, Any]:
        """Asks all workers but one; returns what each tells, None of those that do not answer in time."""
        others = [each for each in range(self.count) if each != number]
        asking = (self.ask(each, question, seconds) for each in others)
        told: list[Any] = await asyncio.gather(*asking)
        return dict(zip(others, told, strict=True))

    async def ask(self, number: int, question: str, seconds: float = ANSWER_SECONDS) -> Any:
        """Asks a worker; returns what it tells, or None if it does not answer in time."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                try:
                    outbox = self._inboxes[number][1]
                    socket.send_fds(outbox, [question.encode()], [theirs.fileno()])
                except OSError:  # nobody has read its inbox for long
                    return None
            ours.settimeout(0)
            with suppress(TimeoutError, OSError, ValueError):
                async with asyncio.timeout(seconds):
                    return json.loads(await _read_all(ours))
        return None

    def _read(self, inbox: socket.socket, answers: Answers) -> None:
        try:
            question, descriptors, _, _ = socket.recv_fds(inbox, _MAX_QUESTION, 1)
        except BlockingIOError:
            return
        for descriptor in descriptors:
            answering = _write(socket.socket(fileno=descriptor), answers[question.decode()])
            task = asyncio.ensure_future(answering)
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)


async def _read_all(reading: socket.socket) -> bytes:
    parts: list[bytes] = []
    while part := await asyncio.get_running_loop().sock_recv(reading, 64 * 1024):
        parts.append(part)
    return b"".join(parts)


async def _write(writing: socket.socket, tell: Callable[[], Any]) -> None:
    """Writes an answer; whoever has asked may be gone."""
    with writing, suppress(TimeoutError, OSError):
        writing.settimeout(0)
        told = tell()
        text = json.dumps(await told if isawaitable(told) else told).encode()
        async with asyncio.timeout(ANSWER_SECONDS):
            await asyncio.get_running_loop().sock_sendall(writing, text)
