"""Finds the contract's route of a parsed request, and makes its exchange."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.contract.route_table import NoRoute, RouteMatch
from gateway.doors.http.addresses import Addresses
from gateway.doors.http.contract_door import ContractDoor
from gateway.doors.http.request import Request
from gateway.doors.http.request_head import subprotocols
from gateway.exchange.edge import Edge
from gateway.exchange.exchange import Exchange
from gateway.exchange.inline import InlineRun
from gateway.exchange.ports import RequestBody, Sink, WebSocket
from gateway.exchange.request import Request as EdgeRequest
from gateway.exchange.request import identify, parse_head
from gateway.exchange.request_info import ListedHeaders
from gateway.exchange.routing import Route, below_root
from gateway.exchange.served import ServedContract
from gateway.transcoding.rpc.wire import RpcWire

_WITH_TRAILERS: Final = "2"
"""The version of HTTP whose responses have trailers."""


class ContractRoute(NamedTuple):
    """What the contract says of one request, which is not that it has no route."""

    edge: Edge
    request: Request
    path: str
    """Below the root of the application."""
    route: Route
    served: ServedContract
    ends: Addresses
    rpc: RpcWire | None = None

    @property
    def may_pause(self) -> bool:
        """Whether the client may send nothing for any time: it streams, as a conversation by gRPC does."""
        route = self.route
        return (
            self.rpc is not None
            and isinstance(route, RouteMatch)
            and route.target.method.stream_type.client
        )

    def exchange(
        self, run: InlineRun, body: RequestBody, sink: Sink, websocket: WebSocket | None = None
    ) -> Exchange:
        """Makes the exchange of the request.

        Args:
            run: how it waits.
            body: of the request.
            sink: of its response.
            websocket: if the request is a handshake.
        """
        edge, request, client = self.edge, self.request, self.ends.client
        head, error = parse_head(request.headers, edge.metadata, is_rpc=self.rpc is not None)
        request_id, metadata = identify(head, edge.metadata)
        of_edge = EdgeRequest(
            http_method=request.method,
            path=self.path,
            head=head,
            route=self.route,
            served=self.served,
            error=error,
            client=client[0] if client else "",
            secure=self.ends.secure,
            subprotocols=() if websocket is None else subprotocols(request.headers),
            rpc=self.rpc,
            http_version=request.version,
        )
        exchange = Exchange(
            edge,
            of_edge,
            body,
            sink,
            request_id=request_id,
            metadata=metadata,
            query=request.query,
            headers=ListedHeaders(request.headers),
            websocket=websocket,
            run=run,
        )
        exchange.certificate = self.ends.certificate
        return exchange


def find_route(
    direct: ContractDoor | None, request: Request, ends: Addresses, *, is_handshake: bool = False
) -> ContractRoute | None:
    """Returns what the contract says of a request; None if it is the application's to answer."""
    if direct is None:
        return None
    path = below_root(request.path, direct.root_path)
    served = direct.edge.served
    router = served.router
    rpc: RpcWire | None = None
    if is_handshake:
        route = router.find_handshake(path)
    else:
        route, rpc = router.find_by_head(
            request.method,
            path,
            request.headers,
            request.query,
            has_trailers=request.version == _WITH_TRAILERS,
        )
    return (
        None
        if isinstance(route, NoRoute)
        else ContractRoute(direct.edge, request, path, route, served, ends, rpc)
    )
