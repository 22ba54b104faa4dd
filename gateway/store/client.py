"""Clients of the package `redis`, as an address and settings describe them. Only this module imports it.

A command is sent once. The package would send one again whose connection broke before its answer, and what
counts or appends would then be done twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.store.address import StoreAddress
from gateway.store.error import StoreError
from gateway.store.script import Script

_RESP: Final = 2
"""Version of the protocol: answers have the same shape under all versions of the package."""
_DOWN: Final = (
    RedisConnectionError,
    ReadOnlyError,
    MasterDownError,
    ClusterDownError,
    RedisClusterException,
    OSError,
)
"""Nothing works until this has passed: no connection, a failover, a cluster without some of its slots."""


class _Cluster(RedisCluster):
    """A client of a cluster that closes all of its connections.

    Behind a command whose connection broke the package takes its client for one that has not begun: its own
    `aclose` does nothing then, and leaves connections to the nodes that were asked for the slots.
    """

    async def aclose(self) -> None:
        """Closes the connections to all nodes."""
        await super().aclose()
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(nodes)


class RedisDriver:
    """Makes clients, and says what their errors mean.

    Attributes:
        failures: what their commands raise.
    """

    failures: tuple[type[Exception], ...] = (RedisError, OSError)

    def __init__(
        self, address: StoreAddress, password: str | None, seconds: float, tls: Mapping[str, str]
    ) -> None:
        """Takes where the store is.

        Args:
            address: of it.
            password: of the user.
            seconds: maximum duration of connecting.
            tls: `ca`, `certificate` and `key`: paths of PEM files, where there are any.
        """
        self._address = address
        self._tls = _tls(tls) if address.tls else {}
        self._credentials = {"username": address.user, "password": password}
        self._sentinel: Sentinel | None = None
        self._common: dict[str, Any] = {
            "socket_timeout": None,  # the block of a command has a timeout
            "socket_connect_timeout": seconds,
            "protocol": _RESP,
            "retry": Retry(NoBackoff(), 0),
        }

    def connect(self) -> Any:
        """Returns a client; it connects at its first command."""
        address = self._address
        given = {**self._common, **self._credentials, **self._tls}
        if address.kind == "unix":
            return Redis(unix_socket_path=address.path, db=address.db, **given)
        if address.kind == "cluster":
            nodes = [ClusterNode(host, port) for host, port in address.hosts]
            return _Cluster(startup_nodes=nodes, **given)
        if address.kind == "sentinel":
            return self._known_by_sentinels(address.hosts, given)
        ((host, port),) = address.hosts
        return Redis(host=host, port=port, db=address.db, **given)

    def _known_by_sentinels(
        self, hosts: Sequence[tuple[str, int]], given: Mapping[str, Any]
    ) -> Any:
        address = self._address
        asked = {**self._common, **self._tls}
        if address.sentinel_user is not None:
            asked |= self._credentials | {"username": address.sentinel_user}
        if self._sentinel is None:
            self._sentinel = Sentinel(hosts, sentinel_kwargs=asked)  # type: ignore[no-untyped-call] # redis has no types here
        return self._sentinel.master_for(address.name, db=address.db, **given)

    async def aclose(self) -> None:
        """Closes the connections to the Sentinels; each client closes its own."""
        if self._sentinel is not None:
            for each in self._sentinel.sentinels:
                await each.aclose()

    @staticmethod
    async def evaluate(
        client: Any, script: Script, keys: Sequence[str], arguments: Sequence[Any]
    ) -> Any:
        """Runs a script by its digest, or by its text where the store does not know it yet."""
        try:
            return await client.evalsha(script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await client.eval(script.text, len(keys), *keys, *arguments)

    @staticmethod
    def error(error: Exception) -> tuple[StoreError, bool]:
        """Returns what an error of a command is for others, and whether the store is down by it."""
        if isinstance(error, RedisTimeoutError):
            return StoreError("timeout", "the store does not answer in time"), False
        if isinstance(error, AuthenticationError):
            return StoreError("refused", f"the store refuses the credentials: {error}"), True
        if isinstance(error, _DOWN):
            return StoreError("connection", f"the store cannot be reached: {error}"), True
        if isinstance(error, ResponseError):
            return StoreError("refused", f"the store refuses a command: {error}"), False
        return StoreError("connection", f"the store cannot be reached: {error}"), True


def _tls(files: Mapping[str, str]) -> dict[str, Any]:
    names = {"ca": "ssl_ca_certs", "certificate": "ssl_certfile", "key": "ssl_keyfile"}
    given: dict[str, Any] = {names[name]: path for name, path in files.items()}
    return {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True} | given
