"""Unary requests that have come whole, answered without a task, an ASGI event or a coroutine.

What such a request means is said by the same functions as elsewhere (`route`, `unary`); here they are called
one after the other, and the rest when the call upstream has ended. It is for a server that has the whole
request, and an application that lets nobody stand between the two.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from gateway.contract.route_table import RouteMatch
from gateway.edge.answer import Whole, failure
from gateway.edge.client import Interruption, body_too_large
from gateway.edge.exchange import Edge
from gateway.edge.route import Answers, read_named_head
from gateway.edge.unary import check_body, encoder_of_one, whole_answer
from gateway.transcoding.deadline import Deadline
from gateway.transcoding.endpoint import EncodedBody, Endpoint
from gateway.transcoding.request_head import RequestHead
from gateway.transcoding.status import INTERNAL, UNAVAILABLE, StatusError
from gateway.upstream.port import Outcome, Response

log = logging.getLogger(__name__)

Respond: TypeAlias = Callable[[int, list[tuple[bytes, bytes]], bytes], None]
"""Sends a whole answer: its status, headers and body."""


class WholeRequest(NamedTuple):
    """A request of which all has come."""

    method: str
    path: str
    """As it came, percent-encoded."""
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """Their names are in lower case."""
    body: bytes


class DirectAnswers:
    """Answers those requests of one application that can be answered so."""

    def __init__(self, answers: Answers, edge: Edge) -> None:
        self._answers = answers
        self._edge = edge

    def begin(self, request: WholeRequest, respond: Respond) -> DirectAnswer | None:
        """Begins to answer a request; None, and nothing has been done, if it is not one for here.

        Args:
            request: all of it.
            respond: called once, perhaps before this returns; never once the answer was given up.
        """
        found = self._answers.look_up(request.method, request.path)
        if not isinstance(found, RouteMatch) or found.target.method.stream_type.value:
            return None
        answer = DirectAnswer(self._edge, request, respond)
        answer.begin(found)
        return answer


class DirectAnswer:
    """One request that is being answered. To a server it may stand for a task, which can be cancelled.

    Attributes:
        over: whether it was answered, or given up.
    """

    __slots__ = ("_call", "_edge", "_encode", "_head", "_request", "_respond", "over")

    def __init__(self, edge: Edge, request: WholeRequest, respond: Respond) -> None:
        self._edge = edge
        self._request = request
        self._respond = respond
        self._head = RequestHead()
        self.over = False
        self._call: Callable[[], object] | None = None
        self._encode: Callable[[bytes], EncodedBody]

    def begin(self, found: RouteMatch[Endpoint]) -> None:
        """Makes the call, or answers at once what is wrong with the request."""
        try:
            self._begin(found)
        except Exception as error:
            self._told(error)

    def _begin(self, found: RouteMatch[Endpoint]) -> None:
        edge, head, endpoint = self._edge, self._head, found.target
        _, _, query, headers, body = self._request
        read_named_head(headers, edge.metadata, head)
        self._encode = encoder_of_one(edge, endpoint, head)
        if len(body) > edge.limits.max_message:
            raise body_too_large(edge.limits.max_message)
        check_body(endpoint, head, body)
        request = endpoint.decode_request(
            found.captures, query, body, content_type=head.content_type
        )
        self._call = edge.upstream.ask(
            endpoint.method,
            request,
            self._told,
            metadata=tuple(head.metadata),
            timeout=Deadline.after(0.0, head.timeout, edge.limits.timeout).at,
        )

    def leave(self) -> None:
        """Gives it up: the client has left."""
        self.over = True
        cancel, self._call = self._call, None  # the call holds this too
        if cancel is not None:
            cancel()

    def cancel(self, msg: object = None) -> None:
        """Ends it in the next turn of the loop, as a task's: the server stops, and waits no longer."""
        del msg
        asyncio.get_running_loop().call_soon(self._cut)

    def _cut(self) -> None:
        self._told(StatusError.of(UNAVAILABLE, Interruption.SHUTDOWN.value))
        self.leave()

    def _told(self, outcome: Outcome) -> None:
        if self.over:
            return
        self.over = True
        whole = self._whole(outcome)
        body = b"" if self._request.method == "HEAD" else whole.body
        self._respond(whole.status, whole.named(self._head.request_id), body)

    def _whole(self, outcome: Outcome) -> Whole:
        if isinstance(outcome, Response):
            try:
                return whole_answer(outcome, self._encode, self._edge.metadata)
            except Exception as error:
                outcome = error
        if not isinstance(outcome, StatusError):
            method, path, *_ = self._request
            log.error("answering %s %s", method, path, exc_info=outcome)
            outcome = StatusError.of(INTERNAL, "internal error")
        return failure(self._edge.transcoder, outcome, self._head.accept)
