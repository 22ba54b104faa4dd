"""One request of the contract over HTTP, answered by its exchange without ASGI.

It has a task only where it has to wait for something else than the outcome of a call (`InlineRun`): for more
of its body, or for a stream.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from gateway.doors.http.contract_route import ContractRoute
from gateway.doors.http.door import ServerState
from gateway.doors.http.exchange import Connected, HttpExchange
from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Request
from gateway.doors.http.response import Response
from gateway.exchange.exchange import Exchange
from gateway.exchange.inline import InlineRun
from gateway.exchange.observer import EndedBy
from gateway.exchange.ports import ClientGone
from gateway.exchange.response import HttpResponse
from gateway.exchange.serve import serve
from gateway.transcoding.metadata import Headers
from gateway.transcoding.status import StatusError

log = logging.getLogger(__name__)


class ContractExchange(HttpExchange):
    """One request: its body, and the sink of its response.

    Attributes:
        whole_body: the body, if all of it has arrived with the head.
        ended: whether the last part of the body was read.
    """

    __slots__ = ("_exchange", "_run", "_state", "ended", "whole_body")

    def __init__(
        self,
        state: ServerState,
        connection: Connected,
        request: Request,
        response: Response,
    ) -> None:
        super().__init__(connection, request, response)
        self._state = state
        self._run = InlineRun()
        is_whole = request.complete and not request.expects_continue
        self.whole_body: bytes | None = request.peek() if is_whole else None
        self.ended = False
        self._exchange: Exchange | None = None

    def answer(self, route: ContractRoute) -> None:
        """Starts to answer; the response may be complete when this returns."""
        self._state.tasks.add(self._run)
        self._exchange = exchange = route.exchange(self._run, self, self)
        self._run.start_run(self._serve(exchange).__await__())

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await serve(exchange)
        except asyncio.CancelledError:
            self.cut()  # the server waits for it no longer
            raise
        except Exception:
            log.exception("the response to a request has failed")
            self.fail()
        finally:
            self._state.tasks.discard(self._run)
            self._exchange = None  # each holds the other

    # What the connection calls.

    def disconnect(self) -> None:
        """Tells the exchange that the client has left.

        One that has its whole body watches nothing else: its call is interrupted, or the block that answers
        its stream.
        """
        super().disconnect()
        exchange = self._exchange
        if self.whole_body is None or exchange is None:
            return
        if exchange.attendance is None:
            self._run.interrupt(ClientGone())
        else:
            exchange.attendance.left()

    def reject(self, rejection: Rejection) -> None:
        """Notes that the connection answers in the place of the exchange, which `disconnect` ends."""
        exchange = self._exchange
        if exchange is None:
            return
        exchange.ended_by = EndedBy.EDGE
        exchange.failure = StatusError.of(rejection.code, rejection.message)
        exchange.status = exchange.status or rejection.status

    # What the exchange calls.

    async def read(self) -> bytes:
        """See `RequestBody`."""
        self.whole_body = None  # from here on the exchange asks whether the client is there
        part = await self.read_body()
        self.ended = self.request.read_to_end
        return part

    async def gone(self) -> None:
        """See `RequestBody`."""
        with suppress(ClientGone):
            await self.read_body()

    def whole(self, response: HttpResponse, *, head: bool) -> None:
        """See `Sink`."""
        if self.client_gone:
            raise ClientGone
        body = b"" if head else response.body
        self.write_whole(response.status, response.all_headers(), body, response.trailers)

    async def start(self, status: int, headers: Headers) -> None:
        """See `Sink`."""
        await self.writable()
        self.write_head(status, headers)

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        await self.writable()
        self.write_body(data, more=True)

    async def end(self, data: bytes, trailers: Headers = ()) -> None:
        """See `Sink`."""
        await self.writable()
        self.write_body(data, more=False, trailers=trailers)

    def write_now(self, data: bytes) -> bool:
        """See `Sink`."""
        response = self.response
        if self._connection.writing_paused or self.client_gone or response.complete:
            return False
        return self._connection.write_now(response, data)

    def abort(self, error: Exception) -> None:
        """See `Sink`."""
        del error  # which the exchange has logged
        self.fail()
