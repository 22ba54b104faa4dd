"""The direct way: a unary request that has come whole is answered without a task and without ASGI.

It is for a server that has the whole request in its hands, and an application whose every request it may
answer. The steps are those of every request (`gateway.exchange.serve`); what differs is that they are run
inline, and that the response is one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from gateway.contract.route_table import RouteMatch
from gateway.doors.http.contract_door import ContractDoor
from gateway.doors.http.limits import DEFAULTS, Limits
from gateway.doors.http1.plain_heads import (
    END_OF_HEAD,
    MAX_ENTRIES,
    PlainHeads,
    PlainRequest,
)
from gateway.exchange.client_certificate import ClientCertificate
from gateway.exchange.edge import Edge
from gateway.exchange.exchange import Exchange
from gateway.exchange.inline import InlineRun
from gateway.exchange.ports import ClientGone
from gateway.exchange.request import new_request_id
from gateway.exchange.response import HttpResponse
from gateway.exchange.serve import serve
from gateway.exchange.served import ServedContract
from gateway.transcoding.metadata import Headers

_LOWER: Final = 0x20
"""The bit of a letter in ASCII that makes it a lower-case one."""
_WHOLE_ALONE: Final = "the response to a unary request is whole"

Respond: TypeAlias = Callable[[int, bytes, bytes], None]
"""Sends a whole response: its status, the lines of its headers, and its body."""


class SharedHead:
    """A head of which all lines are shared, and whose target has no query.

    Its bytes are equal for all callers, so a head with the same bytes asks for the same.

    Attributes:
        data: the head, with its end.
        plain: what it says.
    """

    __slots__ = ("data", "plain")

    def __init__(self, data: bytes, plain: PlainRequest) -> None:
        self.data = data
        self.plain = plain


class DirectDoor(ContractDoor):
    """Answers those requests of an application that need no task and no ASGI."""

    def __init__(self, edge: Edge, root_path: str = "", *, secure: bool = False) -> None:
        """Takes what is served.

        Args:
            edge: what all requests share.
            root_path: a proxy's prefix of all paths, or empty.
            secure: whether all requests come over TLS.
        """
        super().__init__(edge, root_path, secure=secure)
        self._heads = PlainHeads(edge.metadata, edge.served, root_path, secure=secure)
        self._shared: dict[bytes, SharedHead] = {}
        self._sizes: set[int] = set()
        """Bytes of those heads: one of another size is not looked up, which takes longer the longer it is."""
        edge.followers.append(self._follow)

    def _follow(self, served: ServedContract) -> None:
        """Looks up requests in the table of another contract."""
        self._heads.follow(served)
        self._forget()

    def _forget(self) -> None:
        self._shared.clear()
        self._sizes.clear()

    @property
    def head_misses(self) -> int:
        """Heads that the caches did not have."""
        return self._heads.misses

    def answer(
        self,
        data: bytes,
        limits: Limits,
        last: SharedHead | None,
        respond: Respond,
        client: str,
        certificate: ClientCertificate | None,
    ) -> DirectResponse | None:
        """Reads a request, and starts to answer it; see `read` and `DirectResponse.answer`."""
        response = self.read(data, limits, last)
        if response is not None:
            response.answer(respond, client, certificate)
        return response

    def read(
        self, data: bytes, limits: Limits = DEFAULTS, last: SharedHead | None = None
    ) -> DirectResponse | None:
        """Returns the response to the request that some bytes are, which is still to be started.

        None if they are not one that is answered here.

        Args:
            data: what has come.
            limits: of a head.
            last: the head that is probably that of the request, for it was that of one before.
        """
        served = self.edge.served
        if last and last.plain.request.served is served and data.startswith(last.data):
            return self._response(data, last)
        end = data.find(END_OF_HEAD, 0, limits.max_head)
        if end < 0:
            return None
        size = end + len(END_OF_HEAD)
        shared = self._shared.get(data[:size]) if size in self._sizes else None
        if shared is not None:
            return self._response(data, shared)
        plain = self._heads.parse(data, end, limits.max_headers)
        if plain is None:
            return None
        route = plain.request.route
        if not isinstance(route, RouteMatch) or route.target.method.streams:
            return None
        shared = None
        if plain.is_shared:
            if len(self._shared) >= MAX_ENTRIES:
                self._forget()
            head = data[:size]
            shared = self._shared[head] = SharedHead(head, plain)
            self._sizes.add(size)
        return DirectResponse(self, data, plain, shared)

    def _response(self, data: bytes, shared: SharedHead) -> DirectResponse | None:
        """Returns the response to a request with a shared head; None if its body has another length."""
        plain = shared.plain
        rest = len(data) - len(shared.data)
        return DirectResponse(self, data, plain, shared) if rest == plain.length else None

    def headers(self, data: bytes) -> Headers:
        """Returns all headers of a request that `read` has read."""
        return self._heads.headers(data)


class DirectResponse(InlineRun):
    """One request that is answered directly: its body, its sink and its run.

    A server may hold it in place of a task.
    """

    __slots__ = ("_data", "_door", "_plain", "_respond", "ended", "shared", "whole_body")

    def __init__(
        self, door: DirectDoor, data: bytes, plain: PlainRequest, shared: SharedHead | None
    ) -> None:
        """Takes what the door has read.

        Args:
            door: which has read it.
            data: all of the request, as it came.
            plain: what its head says.
            shared: the head, if it is shared.
        """
        self._door = door
        self._data = data
        self._plain = plain
        self.shared = shared
        self._respond: Respond | None = None
        self.whole_body: bytes | None = data[len(data) - plain.length :]
        self.ended = False

    def answer(
        self, respond: Respond, client: str = "", certificate: ClientCertificate | None = None
    ) -> None:
        """Starts to answer.

        Args:
            respond: called once, perhaps before this returns; never behind `disconnect`.
            client: IP address of the client, if it is known.
            certificate: the client's, if it has one.
        """
        self._respond = respond
        door = self._door
        plain = self._plain
        request_id, metadata = plain.request_id, plain.metadata
        if not request_id:
            request_id = new_request_id()
            if door.id_key is not None:
                metadata += ((door.id_key, request_id),)
        body = sink = headers = run = self
        # by position: names would double what it takes to make an object
        exchange = Exchange(
            door.edge, plain.request, body, sink, request_id, metadata, plain.query, headers, run
        )
        exchange.client = client
        exchange.certificate = certificate
        self.start_run(serve(exchange).__await__())

    def all(self) -> Headers:
        """See `RequestHeaders`."""
        return self._door.headers(self._data)

    def values(self, name: bytes) -> Sequence[bytes]:
        """See `RequestHeaders`. A policy looks for few of the headers, so they are not cut for it."""
        shared = self._plain.shared.get(name)
        if shared:
            return shared
        size, first = len(name), name[0] | _LOWER
        return [
            line[size + 1 :].strip(b" \t")
            for line in self._plain.own_lines
            if line[0] | _LOWER == first
            and line[size : size + 1] == b":"
            and line[:size].lower() == name
        ]

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

    async def end(self, data: bytes, trailers: Headers = ()) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)

    def abort(self, error: Exception) -> None:
        """See `Sink`."""
        raise NotImplementedError(_WHOLE_ALONE)
