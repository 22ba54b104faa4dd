"""Gaps of a shared stream, of which the trailing metadata tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from grpc import aio

from gateway.app import create_app
from gateway.feeds.source import Gap, Item, StreamEvent
from gateway.settings import Settings
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError
from tests.rpc.wire_client import connect_end, framed, post
from tests.whole.serving import serving

_METHOD = "/echo.v1.Echo/ServerStream"
_SHARED = StatusError.of(RESOURCE_EXHAUSTED, "too slow")
"""The error of all readers."""


class _Source:
    """A source that has lost messages, in the place of the feeds of an edge."""

    def __init__(self, items: Sequence[Item], error: StatusError | None) -> None:
        self._steps = [items]
        self._error = error

    def open(self, _request: object) -> Self:
        """Opens it."""
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Item]:
        if self._steps:
            return self._steps.pop()
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def initial_metadata(self) -> Metadata:
        """None."""
        return ()

    async def trailing_metadata(self) -> Metadata:
        """One."""
        return (("cost", "3"),)


def _app(descriptor_set: Path, items: Sequence[Item], error: StatusError | None = None) -> Any:
    settings = Settings(descriptor_set=descriptor_set, access_log="off", log_level="critical")
    app = create_app(settings)
    app.state.edge.feeds.open = _Source(items, error).open
    return serving(app, settings)


_EVENT = StreamEvent(b"", b"\x72\x01a")


async def test_gaps_of_a_stream_that_ends_well(descriptor_set: Path) -> None:
    """Their number, and that of the messages, beside the server's own metadata."""
    async with (
        _app(descriptor_set, [Gap(missed=3), _EVENT, Gap(missed=4), _EVENT]) as port,
        aio.insecure_channel(f"127.0.0.1:{port}") as opened,
    ):
        channel: Any = opened
        call = channel.unary_stream(_METHOD)(b"")
        messages = [message async for message in call]
        trailing = dict(await call.trailing_metadata())

    assert messages == [_EVENT.message] * 2
    assert trailing == {"cost": "3", "protoway-gaps": "2", "protoway-missed": "7"}


async def test_gaps_of_a_stream_that_fails(descriptor_set: Path) -> None:
    """The same; the error, which other readers have too, is left as it is."""
    async with (
        _app(descriptor_set, [_EVENT, Gap(restarted=True)], _SHARED) as port,
        aio.insecure_channel(f"127.0.0.1:{port}") as opened,
    ):
        channel: Any = opened
        call = channel.unary_stream(_METHOD)(b"")
        with pytest.raises(aio.AioRpcError) as caught:
            _ = [message async for message in call]

    assert caught.value.details() == "too slow"
    trailing = dict(caught.value.trailing_metadata())
    assert (trailing["protoway-gaps"], trailing["protoway-missed"]) == ("1", "0")
    assert _SHARED.trailing == ()


async def test_gaps_over_connect_and_none(descriptor_set: Path) -> None:
    """They are in the frame of the end; a stream without gaps says nothing of them."""
    found = []
    streams: tuple[list[Item], ...] = ([_EVENT, Gap(missed=1)], [_EVENT])
    for items in streams:
        async with _app(descriptor_set, items) as port:
            stream = await post(port, "ServerStream", framed(b""), "application/connect+proto")
            found.append(connect_end(stream.content)[1])

    told = {"cost": ["3"], "protoway-gaps": ["1"], "protoway-missed": ["1"]}
    assert found == [{"metadata": told}, {"metadata": {"cost": ["3"]}}]
