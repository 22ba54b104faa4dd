"""The direct way: a unary request that has come whole is answered without a task and without ASGI.

It is for a server that has the whole request in its hands, and an application whose every request it may
answer. The steps are those of every request (`gateway.edge.serve`); what differs is that they are run
inline, and that the response is one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from gateway.contract.route_table import RouteMatch
from gateway.edge.exchange import Edge, Exchange
from gateway.edge.inline import InlineRun
from gateway.edge.plain_heads import PlainHeads
from gateway.edge.ports import ClientGone
from gateway.edge.request import Request, identify, parse_head
from gateway.edge.response import HttpResponse
from gateway.edge.routing import Router, below_root
from gateway.edge.serve import serve
from gateway.edge.writer import ResponseWriter
from gateway.transcoding.metadata import Headers

_WHOLE_ALONE: Final = "the response to a unary request is whole"

Respond: TypeAlias = Callable[[int, bytes, bytes], None]
"""Sends a whole response: its status, the lines of its headers, and its body."""


class DirectRequest(NamedTuple):
    """One request that can be answered directly."""

    request: Request
    data: bytes
    """All of it, as it came."""
    body: bytes


class DirectDoor:
    """Answers those requests of one application that can be answered so."""

    def __init__(self, edge: Edge, router: Router, root_path: str = "") -> None:
        """Takes what is served; `root_path` is a proxy's prefix of all paths, or empty."""
        self.root_path = root_path
        self._edge = edge
        self._router = router
        self._heads = PlainHeads(edge.metadata)

    def read(self, data: bytes) -> DirectRequest | None:
        """Returns the request that some bytes are; None if they are not one that is answered here."""
        parsed = self._heads.parse(data)
        if parsed is None:
            return None
        plain, body = parsed
        http_method, path, query, headers = plain
        route = self._router.find(http_method, below_root(path, self.root_path))
        if not isinstance(route, RouteMatch) or route.target.method.stream_type.value:
            return None
        head, error = parse_head(headers, self._edge.metadata)
        return DirectRequest(Request(http_method, path, query, head, route, error), data, body)

    def start(self, direct: DirectRequest, respond: Respond) -> DirectResponse:
        """Starts to answer a request.

        Args:
            direct: the request.
            respond: called once, perhaps before this returns; never behind `disconnect`.
        """
        request, data, body = direct
        edge, sink = self._edge, DirectResponse(respond)
        request_id, metadata = identify(request.head, edge.metadata)
        exchange = Exchange(
            edge,
            request,
            DirectBody(body),
            ResponseWriter(sink, edge.compression, head=request.http_method == "HEAD"),
            request_id=request_id,
            metadata=metadata,
            headers=partial(self._heads.headers, data),
            run=sink.run,
        )
        sink.run.start(serve(exchange))
        return sink


class DirectBody:
    """A body that has come whole."""

    def __init__(self, body: bytes) -> None:
        self.whole: bytes | None = body
        self._body = body
        self.ended = False

    async def read(self) -> bytes:
        """See `RequestBody`."""
        self.ended = True
        return self._body

    async def gone(self) -> None:
        """Waits for ever: the door interrupts the run of a client that has left."""
        await asyncio.get_running_loop().create_future()


class DirectResponse:
    """One request that is being answered; a server may hold it in place of a task.

    Attributes:
        run: of its exchange.
    """

    __slots__ = ("_respond", "run", "write_now")

    def __init__(self, respond: Respond) -> None:
        self._respond: Respond | None = respond
        self.run = InlineRun()
        self.write_now: Callable[[bytes], bool] | None = None

    @property
    def over(self) -> bool:
        """Whether it was answered, or given up."""
        return self.run.over

    def disconnect(self) -> None:
        """Ends the exchange: the client has left."""
        self._respond = None
        self.run.interrupt(ClientGone())

    def cancel(self, msg: object = None) -> None:
        """Ends the exchange in the next turn of the loop, as a task's: the server waits no longer."""
        self.run.cancel(msg)

    async def whole(self, response: HttpResponse, *, head: bool) -> None:
        """See `Sink`."""
        if self._respond is None:
            raise ClientGone
        body = b"" if head else response.body
        self._respond(response.status, response.header_lines(), body)

    async def start(self, status: int, headers: Headers) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)

    async def end(self, data: bytes) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)

    def abort(self, error: Exception) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)
