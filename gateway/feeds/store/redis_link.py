"""One connection to Redis or Valkey that is never replaced unseen, and the run of the server behind it.

A pool would connect again between two commands, perhaps to another server after a failover. Then a leader
would append to a store that has lost messages, and not know it. So a link is connected once, and ends with
its connection.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from gateway.feeds.store.port import StoreDownError

Command: TypeAlias = Sequence[bytes | str | int]

_RUN: Final = re.compile(rb"run_id:(\w+)")


class RedisLink:
    """A connection. `run` and `id` are the server's and its own."""

    def __init__(self, connection: Any, timeout: float) -> None:
        """Takes a connection of the package `redis`, and the seconds that an answer may take."""
        self._connection = connection
        self._timeout = timeout
        self.run = b""
        self.id = 0

    @classmethod
    async def open(cls, client: Any, key: bytes, seconds: float) -> RedisLink:
        """Connects to the server that holds a key.

        Args:
            client: a `Redis` or `RedisCluster` of `redis.asyncio`, which stays the caller's.
            key: where keys are spread over nodes.
            seconds: for connecting, and for each answer.

        Raises:
            StoreDownError: the server cannot be reached, or refuses what a link needs.
        """
        try:
            async with asyncio.timeout(seconds):
                link = cls(await _connection(client, key), seconds)
                answers = await link.send(("INFO", "server"), ("CLIENT", "ID"))
        except (TimeoutError, RedisError, RedisClusterException, OSError) as error:
            raise StoreDownError(str(error) or "no answer in time") from error
        for answer in answers:
            if isinstance(answer, Exception):
                raise StoreDownError(str(answer))
        info, link.id = answers
        found = _RUN.search(info)
        link.run = found[1] if found else b"?"
        return link

    async def send(self, *commands: Command, wait: float = 0.0) -> list[Any]:
        """Sends commands in one write, and returns their answers; an error that one gets is its answer.

        Args:
            commands: each with its arguments.
            wait: seconds for which the commands may block, besides the time of an answer.

        Raises:
            StoreDownError: the connection has broken; some of the commands may have been obeyed.
        """
        connection = self._connection
        if not connection.is_connected:
            raise StoreDownError("the connection is closed")
        try:
            async with asyncio.timeout(self._timeout + wait):
                await connection.send_packed_command(
                    connection.pack_commands(commands), check_health=False
                )
                return [await self._answer() for _ in commands]
        except (TimeoutError, RedisError, OSError) as error:
            await self.close()
            raise StoreDownError(str(error) or "no answer in time") from error
        except asyncio.CancelledError:
            await self.close()  # its answers would be taken for those of other commands
            raise

    async def _answer(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return error

    async def close(self) -> None:
        """Closes the connection."""
        await self._connection.disconnect(nowait=True)


async def _connection(client: Any, key: bytes) -> Any:
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        return await pool.get_connection()
    await client.initialize()
    connection = client.get_node_from_key(key).acquire_connection()
    await connection.connect()
    return connection
