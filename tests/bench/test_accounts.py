"""What is counted of processes and of a Redis."""

from __future__ import annotations

from bench import accounts
from tests.redis_server import RedisServer


def test_commands_of_a_store_are_counted(redis_server: RedisServer) -> None:
    """Those of scripts too, but not the question itself."""
    before = accounts.commands(redis_server.port)
    redis_server.command("SET", "key", "value")
    redis_server.command("EVAL", "redis.call('GET', KEYS[1])", "1", "key")
    more = accounts.commands(redis_server.port) - before

    assert more == 3
    assert accounts.commands(redis_server.port) - before == more
