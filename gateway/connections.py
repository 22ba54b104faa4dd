"""What the connections of a server share, made of its application and its settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import uvicorn
from fastapi import FastAPI

from gateway.admission.networks import Networks
from gateway.admission.proxy_settings import ProxySettings
from gateway.doors.accepting import AcceptLimits
from gateway.doors.asgi import ContractRoutes
from gateway.doors.choosing import ChoosingProtocol
from gateway.doors.http.door import Door, ServerState
from gateway.doors.http.limits import Limits, WebSocketLimits
from gateway.doors.http1.direct import DirectDoor
from gateway.doors.http1.protocol import Http1Protocol
from gateway.doors.http2.door import http2
from gateway.doors.proxied import ProxyProtocol
from gateway.doors.types import App
from gateway.exchange.observation import Observation
from gateway.settings import Settings

_ENVELOPE_BYTES: Final = 16 * 1024
"""Bytes that a WebSocket frame may have beside its message, or for metadata if messages are small."""


def door(
    app: FastAPI,
    config: uvicorn.Config,
    state: ServerState,
    app_state: dict[str, Any],
    settings: Settings,
) -> Door:
    """Makes what all connections share; with middleware of a user's all goes to the application.

    Args:
        app: what is served.
        config: the same, loaded.
        state: connections and tasks of the server.
        app_state: what the application's lifespan gives to each request.
        settings: of the server.
    """
    middleware: list[object] = [each.cls for each in app.user_middleware]
    direct: DirectDoor = app.state.direct
    if settings.tls_certificate is not None:  # which the application does not know
        direct = DirectDoor(direct.edge, direct.root_path, secure=True)
    is_ours_alone = middleware == [ContractRoutes] and app.root_path == direct.root_path
    return Door(
        app=cast("App", config.loaded_app),
        state=state,
        websocket=WebSocketLimits(
            max_message=settings.max_message_bytes + _ENVELOPE_BYTES,
            ping_interval=settings.websocket_ping_seconds,
            compression=settings.websocket_compression,
            small_frames=settings.websocket_small_frames,
        ),
        direct=direct if is_ours_alone else None,
        app_state=app_state,
        rejected=_rejected(direct.edge.observation),
        origin_headers=None if app.state.cors is None else app.state.cors.headers_for,
        root_path=config.root_path,
        limits=Limits(
            max_head=settings.max_head_bytes,
            max_headers=settings.max_headers,
            head_timeout=settings.head_timeout_seconds,
            body_timeout=settings.body_timeout_seconds,
            keep_alive=settings.keep_alive_seconds,
        ),
    )


def protocol(shared: Door, settings: Settings) -> Callable[..., asyncio.Protocol]:
    """Returns what makes the protocol of a connection: HTTP/1.1, or either version as the client says."""
    if settings.http2:
        both = http2(shared, settings.http2_max_streams, settings.send_timeout_seconds)
        return partial(ChoosingProtocol, shared, both)
    return partial(Http1Protocol, shared)


def accept_limits(settings: Settings) -> AcceptLimits:
    """Returns how many connections are accepted, and how long a handshake of TLS may take."""
    return AcceptLimits(
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        tls_handshake_timeout=settings.tls_handshake_seconds,
    )


def _rejected(observation: Observation | None) -> Callable[[int, int, str, str], None] | None:
    """Returns what tells observers of what is refused before it is a request; None if none asks."""
    if observation is None or not observation.head_rejected:
        return None
    return observation.reject


def proxied(section: ProxySettings) -> ProxyProtocol | None:
    """Returns what `proxies_protocol` asks of connections; the application was made with the section."""
    if section.protocol == "off":
        return None
    return ProxyProtocol(Networks(section.trusted).__contains__, section.protocol_seconds)
