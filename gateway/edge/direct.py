"""Unary requests that have come whole, answered without a task, an ASGI event or a coroutine.

What such a request means is said by the same functions as elsewhere (`route`, `unary`); here they are called
one after the other, and the rest when the call upstream has ended. It is for a server that has the whole
request, and an application that lets nobody stand between the two.

Callers send the same head again and again, so what one means is kept, by its bytes: all but the body of a
request is then neither parsed nor looked up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from gateway.contract.route_table import RouteMatch
from gateway.edge.answer import Whole, failure
from gateway.edge.client import Interruption, body_too_large
from gateway.edge.exchange import Edge
from gateway.edge.known_heads import KnownHeads, Meaning, Own, Question
from gateway.edge.route import Answers, below_root, new_request_id
from gateway.edge.unary import check_body, encoder_of_one, whole_answer
from gateway.edge.whole_request import WholeHead, WholeRequests
from gateway.transcoding.codec import is_long
from gateway.transcoding.deadline import shortest
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.metadata_size import check_metadata
from gateway.transcoding.request_head import REQUEST_ID, RequestHead, read_head
from gateway.transcoding.status import INTERNAL, UNAVAILABLE, StatusError
from gateway.upstream.port import Outcome, Response

log = logging.getLogger(__name__)

_ANY_ID: Final = new_request_id()
"""All are of one length."""

Respond: TypeAlias = Callable[[int, bytes, bytes], None]
"""Sends a whole answer: its status, the lines of its headers, and its body."""


class DirectAnswers:
    """Answers those requests of one application that can be answered so."""

    def __init__(self, answers: Answers, edge: Edge, root_path: str = "") -> None:
        """Takes what is served.

        Args:
            answers: finds what a request asks for.
            edge: what answers it.
            root_path: prefix of the paths, where a proxy serves the edge below one.
        """
        self.root_path = root_path
        self._answers = answers
        self._edge = edge
        self._requests = WholeRequests()
        self._known = KnownHeads(edge.metadata, edge.limits.max_metadata)

    def read(self, data: bytes) -> tuple[Meaning, Own] | None:
        """Returns what the head of a request means, and what the request has for itself.

        None if it is not one for here, as one with long JSON is none.
        """
        if is_long(data):
            return None
        known = self._known.get(data)
        if known is not None:
            return known
        request = self._requests.parse(data)
        if request is None:
            return None
        head, body = request
        meaning = self._understand(head)
        if meaning is None:
            return None
        self._known.keep(data, body, meaning)
        return meaning, (b"", b"", body)

    def begin(self, meaning: Meaning, own: Own, respond: Respond) -> DirectAnswer:
        """Begins to answer a request.

        Args:
            meaning: what its head means.
            own: what it has for itself.
            respond: called once, perhaps before this returns; never once the answer was given up.
        """
        trace, own_id, body = own
        said, question = meaning.said, meaning.question
        request_id = own_id.decode() or said.request_id or new_request_id()
        answer = DirectAnswer(self._edge, meaning, request_id, respond)
        try:
            if not isinstance(question, Question):
                raise question
            request = question.endpoint.decode_request(
                question.captures, meaning.head.query, body, content_type=said.content_type
            )
            metadata = question.metadata
            if question.id_key is not None:
                metadata += ((question.id_key, request_id),)
            if question.trace_key is not None:
                metadata += ((question.trace_key, trace.decode()),)
            answer.call = self._edge.upstream.ask(
                question.endpoint.method,
                request,
                answer.told,
                metadata=metadata,
                timeout=question.timeout,
            )
        except Exception as error:
            answer.told(error)
        return answer

    def _understand(self, head: WholeHead) -> Meaning | None:
        """Says what a head means; None if what it asks for is not for here."""
        path = below_root(head.path, self.root_path)
        found = self._answers.look_up(head.method, path)
        if not isinstance(found, RouteMatch) or found.target.method.stream_type.value:
            return None
        said = RequestHead()
        question: Question | Exception
        try:
            question = self._question(head, said, found)
        except Exception as error:
            question = error
        if said.content_encoding and head.length:
            return None  # a compressed body is decoded in pieces, with turns of the loop between
        return Meaning(head, said, question)

    def _question(
        self, head: WholeHead, said: RequestHead, found: RouteMatch[Endpoint]
    ) -> Question:
        edge, endpoint = self._edge, found.target
        read_head(head.headers, edge.metadata, said)
        encode = encoder_of_one(edge, endpoint, said)
        if head.length > edge.limits.max_message:
            raise body_too_large(edge.limits.max_message)
        check_body(endpoint, said, head.length)
        id_key = None if said.request_id else edge.metadata.request.get(REQUEST_ID)
        made_id = () if id_key is None else ((id_key, _ANY_ID),)
        check_metadata((*said.metadata, *made_id), edge.limits.max_metadata)
        timeout = shortest(said.timeout, edge.limits.timeout)
        return Question(endpoint, found.captures, encode, tuple(said.metadata), timeout, id_key)


class DirectAnswer:
    """One request that is being answered. To a server it may stand for a task, which can be cancelled.

    Attributes:
        call: cancels the call; None if there is none.
        over: whether it was answered, or given up.
    """

    __slots__ = ("_edge", "_meaning", "_request_id", "_respond", "call", "over")

    def __init__(self, edge: Edge, meaning: Meaning, request_id: str, respond: Respond) -> None:
        self._edge = edge
        self._meaning = meaning
        self._request_id = request_id
        self._respond = respond
        self.call: Callable[[], object] | None = None
        self.over = False

    def told(self, outcome: Outcome) -> None:
        """Answers, unless that is over."""
        if self.over:
            return
        self.over = True
        meaning = self._meaning
        if isinstance(outcome, Response):
            question = meaning.question
            assert isinstance(question, Question)  # noqa: S101 - it was asked
            try:
                whole = whole_answer(
                    self._edge, question.endpoint, question.encode, question.metadata, outcome
                )
            except Exception as error:
                whole = self._failure(error)
        else:
            whole = self._failure(outcome)
        whole.compress(self._edge.compression, meaning.said.accept_encoding)
        body = b"" if meaning.head.method == "HEAD" else whole.body
        self._respond(whole.status, whole.lines(self._request_id), body)

    def leave(self) -> None:
        """Gives it up: the client has left."""
        self.over = True
        cancel, self.call = self.call, None  # the call holds this too
        if cancel is not None:
            cancel()

    def cancel(self, msg: object = None) -> None:
        """Ends it in the next turn of the loop, as a task's: the server stops, and waits no longer."""
        del msg
        asyncio.get_running_loop().call_soon(self._cut)

    def _cut(self) -> None:
        self.told(StatusError.of(UNAVAILABLE, Interruption.SHUTDOWN.value))
        self.leave()

    def _failure(self, error: Exception) -> Whole:
        head = self._meaning.head
        if not isinstance(error, StatusError):
            log.error("answering %s %a", head.method, head.path, exc_info=error)
            error = StatusError.of(INTERNAL, "internal error")
        edge = self._edge
        return failure(edge.transcoder, edge.metadata, error, self._meaning.said.accept)
