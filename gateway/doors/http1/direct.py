"""The direct way: a unary request that has come whole is answered without a task and without ASGI.

It is for a server that has the whole request in its hands, and an application whose every request it may
answer. The steps are those of every request (`gateway.exchange.serve`); what differs is that they are run
inline, and that the response is one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from gateway.contract.route_table import RouteMatch
from gateway.doors.http1.addresses import Addresses
from gateway.doors.http1.plain_heads import END_OF_HEAD, MAX_ENTRIES, PlainHeads
from gateway.exchange.edge import Edge
from gateway.exchange.exchange import Exchange
from gateway.exchange.inline import InlineRun
from gateway.exchange.ports import ClientGone
from gateway.exchange.request import Request, new_request_id
from gateway.exchange.response import HttpResponse
from gateway.exchange.routing import Router, below_root
from gateway.exchange.serve import serve
from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.request_head import REQUEST_ID

_WHOLE_ALONE: Final = "the response to a unary request is whole"

Respond: TypeAlias = Callable[[int, bytes, bytes], None]
"""Sends a whole response: its status, the lines of its headers, and its body."""


class DirectDoor:
    """Answers those requests of an application that need no task and no ASGI.

    Cached are whole heads of which all lines are shared and the target has no query (`is_shared`): their
    bytes are equal for all callers, so a head with the same bytes asks for the same.
    """

    def __init__(self, edge: Edge, router: Router, root_path: str = "") -> None:
        """Takes what is served; `root_path` is a proxy's prefix of all paths, or empty."""
        self.root_path = root_path
        self.edge = edge
        self.router = router
        self.id_key = edge.metadata.request.get(REQUEST_ID)
        """Metadata key of an id that the edge makes; None if it does not go upstream."""
        self._heads = PlainHeads(edge.metadata)
        self._shared: dict[bytes, tuple[int, Request, Metadata]] = {}
        """Head -> length of the body, request, metadata."""

    def read(self, data: bytes) -> DirectResponse | None:
        """Returns the response to the request that some bytes are, which is still to be started.

        None if they are not one that is answered here.
        """
        end = data.find(END_OF_HEAD)
        if end < 0:
            return None
        known = self._shared.get(data[:end])
        if known is not None:
            length, request, metadata = known
            body = data[end + len(END_OF_HEAD) :]
            if len(body) != length:
                return None
            return DirectResponse(self, data, request, body, "", metadata)
        plain = self._heads.parse(data)
        if plain is None:
            return None
        path = below_root(plain.path, self.root_path) if self.root_path else plain.path
        route = self.router.find(plain.http_method, path)
        if not isinstance(route, RouteMatch) or route.target.method.stream_type.value:
            return None
        request = Request(*(plain.http_method, path, plain.query, plain.head, route, plain.error))
        if plain.is_shared and plain.error is None:
            if len(self._shared) >= MAX_ENTRIES:
                self._shared.clear()
            self._shared[data[:end]] = (len(plain.body), request, plain.metadata)
        return DirectResponse(self, data, request, plain.body, plain.request_id, plain.metadata)

    def headers(self, data: bytes) -> Headers:
        """Returns all headers of a request that `read` has read."""
        return self._heads.headers(data)


class DirectResponse(InlineRun):
    """One request that is answered directly: its body, its sink and its run.

    A server may hold it in place of a task.
    """

    __slots__ = (
        *("_data", "_door", "_metadata", "_request", "_request_id", "_respond"),
        *("ended", "whole_body"),
    )

    def __init__(
        self,
        door: DirectDoor,
        data: bytes,
        request: Request,
        body: bytes,
        request_id: str,
        metadata: Metadata,
    ) -> None:
        """Takes what the door has read.

        Args:
            door: which has read it.
            data: all of the request, as it came.
            request: what it says.
            body: of the request.
            request_id: the caller's; empty if it gave none.
            metadata: without an id that the edge makes.
        """
        super().__init__()
        self._door = door
        self._data = data
        self._request = request
        self._request_id = request_id
        self._metadata = metadata
        self._respond: Respond | None = None
        self.whole_body: bytes | None = body
        self.ended = False

    def answer(self, respond: Respond, client: str = "", ends: Addresses | None = None) -> None:
        """Starts to answer.

        Args:
            respond: called once, perhaps before this returns; never behind `disconnect`.
            client: IP address of the client, if it is known.
            ends: of the connection, if they are known.
        """
        self._respond = respond
        door, request_id, metadata = self._door, self._request_id, self._metadata
        if not request_id:
            request_id = new_request_id()
            if door.id_key is not None:
                metadata = (*metadata, (door.id_key, request_id))
        exchange = Exchange(
            door.edge,
            self._request,
            self,
            self,
            request_id=request_id,
            metadata=metadata,
            headers=self.headers,
            run=self,
        )
        exchange.client = client
        if ends is not None and ends.secure:
            exchange.secure, exchange.certificate = True, ends.certificate
        self.start_run(serve(exchange))

    def headers(self) -> Headers:
        """Returns all headers of the request."""
        return self._door.headers(self._data)

    @property
    def write_now(self) -> None:
        """See `Sink`."""

    def disconnect(self) -> None:
        """Ends the exchange: the client has left."""
        self._respond = None
        self.interrupt(ClientGone())

    async def read(self) -> bytes:
        """See `RequestBody`."""
        self.ended = True
        return self.whole_body or b""

    async def gone(self) -> None:
        """Waits for ever: the door interrupts the run of a client that has left."""
        await asyncio.get_running_loop().create_future()

    def whole(self, response: HttpResponse, *, head: bool) -> None:
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
