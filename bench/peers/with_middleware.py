"""The demo's edge without middleware, with one that does nothing, and with CORS, for `serve --app`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from bench.sides import DEMO_SET
from gateway.app import create_app
from gateway.settings import Settings


class Nothing:
    """Pure ASGI middleware that passes on."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes on."""
        await self._app(scope, receive, send)


def _app() -> FastAPI:
    return create_app(Settings(descriptor_set=DEMO_SET, log_level="warning"))


without = _app()
nothing = _app()
nothing.add_middleware(Nothing)
cors = _app()
cors.add_middleware(CORSMiddleware, allow_origins=["https://app.example.com"])
