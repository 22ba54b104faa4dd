"""Shared streams whose ids are the server's: a call goes on after a message, for all readers."""

from __future__ import annotations

from gateway.feeds.source import Gap
from gateway.transcoding.status import UNAVAILABLE
from tests.feeds.stage import Request, news, settled, staged


async def test_a_call_that_is_made_again_goes_on() -> None:
    """The server is asked for what follows the last message, and readers are told nothing."""
    async with staged() as stage:
        reader = await stage.join("SharedIds")
        await stage.send(news(1), news(2))
        assert await reader.read() == [1, 2]
        stage.line.fail(UNAVAILABLE)
        await settled()
        assert (await stage.line.call.message(Request)).after_id == "id2"
        await stage.send(news(3))

        assert await reader.read() == [3]
        assert len(stage.lines) == 2


async def test_a_reader_goes_on_in_the_shared_call() -> None:
    """Its id is looked for in what is kept; the call is not made again for it."""
    async with staged() as stage:
        reader = await stage.join("SharedIds")
        await stage.send(news(1), news(2), news(3))
        await reader.read()
        back = await stage.join("SharedIds", last_event_id="id2")
        lost = await stage.join("SharedIds", last_event_id="id9")
        await stage.send(news(4))

        assert await back.read() == [3, 4]
        assert await lost.read() == [Gap(restarted=True), 4]
        assert len(stage.lines) == 1


async def test_the_first_reader_says_where_the_call_begins() -> None:
    """An edge that has been restarted asks the server for what follows the reader's last message."""
    async with staged() as stage:
        back = await stage.join("SharedIds", last_event_id="id7")
        assert (await stage.line.call.message(Request)).after_id == "id7"
        other = await stage.join("SharedIds", last_event_id="id7")
        await stage.send(news(8))

        assert await back.read() == [8]
        assert await other.read() == [8]
        assert len(stage.lines) == 1
