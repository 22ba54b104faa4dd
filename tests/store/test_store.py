"""The connection to a real Redis: up, down, slow and back, over each way in."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.store.error import StoreError, StoreSettingError
from gateway.store.making import make_store
from gateway.store.script import Script
from gateway.store.settings import StoreSettings
from gateway.store.store import Store
from tests.redis_server import (
    RedisServer,
    cluster_of_one,
    form_cluster,
    needs_redis,
    running_redis,
    running_sentinel,
)

WAIT_SECONDS = 30.0
PATIENT = {"timeout_seconds": 20.0}
ADD = Script("redis.call('SET', KEYS[2], 1) return redis.call('INCRBY', KEYS[1], ARGV[1])")


def store_of(url: str, **settings: Any) -> Store:
    """Makes the store of settings."""
    made = make_store(StoreSettings(url=url, **settings))
    assert made is not None
    return made


async def ping(client: Any) -> Any:
    """Asks the store whether it is there."""
    return await client.ping()


async def until(true: Callable[[], bool]) -> None:
    """Waits for a state that nobody announces."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not true():
            await asyncio.sleep(0.005)


async def reason_of(answer: Awaitable[Any]) -> str:
    """Returns why a command fails."""
    with pytest.raises(StoreError) as raised:
        await answer
    return raised.value.reason


@pytest.mark.parametrize("way", ["tcp", "tls", "unix"])
async def test_each_way_in_works(redis_server: RedisServer, way: str) -> None:
    """TCP, TLS with the CA of the settings, and a Unix socket."""
    urls = {
        "tcp": redis_server.url,
        "tls": redis_server.tls_url,
        "unix": f"unix://{redis_server.socket}",
    }
    tls = {"ca": redis_server.ca} if way == "tls" else {}
    async with store_of(urls[way], **tls, **PATIENT) as store:
        assert store.is_up
        assert await store.run("tests", ping) is True

    assert not store.is_up


@needs_redis
async def test_a_cluster_works(tmp_path: Path) -> None:
    """Commands, and scripts whose keys have one hash tag."""
    with cluster_of_one(tmp_path / "redis") as server:
        form_cluster(server)
        async with store_of(f"redis+cluster://127.0.0.1:{server.port}", **PATIENT) as store:
            key = store.key("tests", "x")
            assert await store.run("tests", lambda client: client.set(key, b"1")) is True
            added = await store.evaluate("tests", ADD, [key, f"{key}:more"], ["2"])
            assert added == 3


@needs_redis
async def test_a_cluster_whose_node_starts_again_is_found(tmp_path: Path) -> None:
    """Again and again, and no connection is left open."""
    with cluster_of_one(tmp_path / "redis") as server:
        form_cluster(server)
        async with store_of(f"redis+cluster://127.0.0.1:{server.port}", **PATIENT) as store:
            key = store.key("tests", "x")
            for _ in range(3):
                async with asyncio.timeout(WAIT_SECONDS):
                    while True:  # a node answers pings before it has its slots
                        await store.wait_until_up()
                        with suppress(StoreError):
                            added = await store.evaluate("tests", ADD, [key, f"{key}:more"], ["2"])
                            break
                assert added == 2
                server.kill()
                with pytest.raises(StoreError):
                    await store.run("tests", lambda client: client.get(key))
                server.start()
    gc.collect()  # an open connection would be told of here


@needs_redis
async def test_a_sentinel_names_the_primary(tmp_path: Path) -> None:
    """By the name in the URL; an unknown one is a store that is down."""
    with (
        running_redis(tmp_path / "redis") as server,
        running_sentinel(tmp_path / "sentinel", server, "main") as port,
    ):
        url = f"redis+sentinel://127.0.0.1:{port}"
        async with store_of(f"{url}/main/0", **PATIENT) as store:
            key = store.key("tests", "x")
            assert await store.run("tests", lambda client: client.set(key, b"1")) is True
            assert server.command("GET", key) == "1"
        async with store_of(f"{url}/other", **PATIENT) as store:
            assert store.problem == "the store cannot be reached"


async def test_a_script_is_sent_once(redis_server: RedisServer) -> None:
    """By its digest when the store knows it; again after the store has forgotten it."""
    async with store_of(redis_server.url, **PATIENT) as store:
        seen = [await store.evaluate("tests", ADD, ["a", "b"], ["2"]) for _ in range(3)]
        redis_server.command("SCRIPT", "FLUSH")
        seen.append(await store.evaluate("tests", ADD, ["a", "b"], ["2"]))
    stats = redis_server.command("INFO", "COMMANDSTATS")

    assert seen == [2, 4, 6, 8]
    assert "cmdstat_eval:calls=2," in stats


async def test_a_foreign_certificate_is_not_believed(redis_server: RedisServer) -> None:
    """Without the CA, the store stays down, and says why without its address."""
    async with store_of(redis_server.tls_url, **PATIENT) as store:
        assert not store.is_up
        assert store.problem == "the store cannot be reached"


async def test_a_user_of_the_acl_is_enough(redis_server: RedisServer, tmp_path: Path) -> None:
    """The password is in a file; a command beyond the user's rights is refused, and the store stays up."""
    redis_server.add_user("edge", "hunter2", "~protoway:*", "+ping", "+set")
    (tmp_path / "password").write_text("hunter2\n")
    url = redis_server.url.replace("//", "//edge@")
    async with store_of(url, password_file=tmp_path / "password", **PATIENT) as store:
        key = store.key("tests", "x")
        assert await store.run("tests", lambda client: client.set(key, b"1")) is True
        assert await reason_of(store.run("tests", lambda client: client.get(key))) == "refused"
        assert store.is_up
        assert store.failures == {("tests", "refused"): 1}


async def test_wrong_credentials_are_told(redis_server: RedisServer) -> None:
    """The store is down, and the reason has no address."""
    async with store_of(redis_server.url, password="wrong", **PATIENT) as store:
        assert not store.is_up
        assert store.problem == "the store refuses the credentials"


async def test_a_killed_store_comes_back(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Commands fail at once while it is down, without a word to it; the log says each change once."""
    changes: list[bool] = []
    async with store_of(redis_server.url, **PATIENT) as store:
        store.followers.append(changes.append)
        redis_server.kill()
        assert await reason_of(store.run("tests", ping)) == "connection"
        pings = store.durations["ping"].count
        for _ in range(100):
            assert await reason_of(store.run("tests", ping)) == "down"
        assert store.durations["ping"].count == pings
        assert store.failures["tests", "down"] == 100

        redis_server.start()
        await asyncio.wait_for(store.wait_until_up(), WAIT_SECONDS)
        assert await store.run("tests", ping) is True
    assert changes == [False, True]
    told = [each.message for each in caplog.records if each.name == "gateway.store.store"]
    assert [each.partition(":")[0] for each in told] == [
        "the store cannot be reached",
        "the store answers again",
    ]


async def test_a_store_that_is_down_at_the_start_is_no_error(redis_server: RedisServer) -> None:
    """The edge starts, and finds it when it is there."""
    redis_server.kill()
    async with store_of(redis_server.url, **PATIENT) as store:
        assert not store.is_up
        redis_server.start()
        await asyncio.wait_for(store.wait_until_up(), WAIT_SECONDS)


async def test_a_halted_store_is_found_out(redis_server: RedisServer) -> None:
    """A command that is late says so after its own time; the store is down after `timeout_seconds`."""
    async with store_of(redis_server.url, timeout_seconds=0.5) as store:
        redis_server.pause()
        assert await reason_of(store.run("tests", ping, seconds=0.02)) == "timeout"
        await until(lambda: not store.is_up)
        assert store.problem == "the store does not answer in time"
        redis_server.resume()
        await asyncio.wait_for(store.wait_until_up(), WAIT_SECONDS)
        assert await store.run("tests", ping) is True


async def test_a_command_that_breaks_off_is_not_sent_again(redis_server: RedisServer) -> None:
    """What counts or appends is done once or not at all, and never twice by the client."""
    async with store_of(redis_server.url, **PATIENT) as store:
        sleeps = asyncio.create_task(
            reason_of(store.run("tests", lambda client: client.blpop("nothing", 0)))
        )
        await until(lambda: "cmd=blpop" in redis_server.command("CLIENT", "LIST"))
        redis_server.command("CLIENT", "KILL", "TYPE", "normal")
        assert await sleeps == "connection"
        assert "blpop:calls=1," in redis_server.command("INFO", "COMMANDSTATS").replace(
            "cmdstat_", ""
        )


async def test_connections_are_few(redis_server: RedisServer) -> None:
    """However many commands begin at once, they wait for `max_connections` of them."""
    async with store_of(redis_server.url, max_connections=3, **PATIENT) as store:
        await asyncio.gather(*(store.run("tests", ping) for _ in range(100)))
        lines = redis_server.command("CLIENT", "LIST").splitlines()
        assert len(lines) <= 3 + 1  # that of redis-cli


def test_keys_say_nothing(tmp_path: Path) -> None:
    """A key depends on secret, kind and parts, and shows none of them but the kind."""
    (tmp_path / "secret").write_text("one that all replicas have")
    stores = [
        store_of("redis://x", secret_file=tmp_path / "secret"),
        store_of("redis://x", secret="one that all replicas have", prefix="other:"),
        store_of("redis://x"),
    ]
    one, two, three = (each.key("limits", "10.0.0.1", b"x") for each in stores)

    assert one.startswith("protoway:limits:{")
    assert one.removeprefix("protoway:") == two.removeprefix("other:")
    assert one != three
    assert "10.0.0.1" not in one
    store = stores[0]
    assert store.key("a", "b", "c") != store.key("a", "bc")
    assert store.key("a", "b") == store.key("a", b"b")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "redis://x", "ca": "ca.pem"}, "store_ca: the store's URL is without TLS"),
        ({"url": "rediss://x", "key": "key.pem"}, "give both or none"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], words: str) -> None:
    """With the name of the setting."""
    with pytest.raises(StoreSettingError, match=words):
        make_store(StoreSettings(**settings))


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without a store nothing is imported."""
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)
    monkeypatch.delitem(__import__("sys").modules, "gateway.store.client", raising=False)

    assert make_store(StoreSettings()) is None
    with pytest.raises(StoreSettingError, match=r"pip install 'protoway\[redis\]'"):
        make_store(StoreSettings(url="redis://x"))
