"""A real Redis for tests: started, halted, killed and started again, with TLS and users of its ACL."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.whole.certificates import Issuer

_START_SECONDS = 30.0


def redis_path() -> str | None:
    """Returns the server of this machine, Redis or Valkey; None: there is none."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


needs_redis = pytest.mark.skipif(redis_path() is None, reason="no redis-server here")


class RedisServer:
    """One server, with its files in a folder; it keeps nothing on disk, unless it is told to.

    Attributes:
        port: without TLS.
        tls_port: with TLS; None: there is none.
        ca: of the certificate; that of 127.0.0.1 and localhost.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tls: bool = False,
        appendonly: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        """Takes what it is started with.

        Args:
            folder: for its files; it is made.
            tls: whether it has a port with TLS too.
            appendonly: whether its data outlives it.
            options: more of the command's, as `--maxmemory 10mb`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = _free_port()
        self.tls_port = _free_port() if tls else None
        self.ca = folder / "ca.pem"
        self.socket = folder / "redis.sock"
        self._options = [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes" if appendonly else "no"),
            *("--unixsocket", str(self.socket), "--loglevel", "warning", *options),
        ]
        if self.tls_port is not None:
            issuer = Issuer(folder)
            certificate, key = issuer.issue("redis", dns_names=["localhost"])
            self._options += [
                *("--tls-port", str(self.tls_port), "--tls-auth-clients", "no"),
                *("--tls-cert-file", certificate, "--tls-key-file", key),
                *("--tls-ca-cert-file", str(self.ca)),
            ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL without TLS."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def tls_url(self) -> str:
        """Its URL with TLS."""
        return f"rediss://localhost:{self.tls_port}/0"

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        path = redis_path()
        assert path is not None
        self._process = subprocess.Popen([path, *self._options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self.port):
            assert self._process.poll() is None, "redis-server did not start"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def pause(self) -> None:
        """Halts it: connections stay open, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kills it at once, also when it is halted; `start` starts it on the same ports."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def command(self, *words: str) -> str:
        """Sends a command as the default user; returns what redis-cli prints, bytes as characters."""
        cli = shutil.which("redis-cli") or shutil.which("valkey-cli")
        assert cli is not None
        done = subprocess.run(
            [cli, "-p", str(self.port), *words],
            capture_output=True,
            encoding="latin-1",
            timeout=30,
            check=True,
        )
        return done.stdout.strip()

    def add_user(self, name: str, password: str, *rules: str) -> None:
        """Adds a user of the ACL with its rules, as `~protoway:*` and `+get`."""
        assert self.command("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules) == "OK"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextmanager
def running_redis(folder: Path, *, tls: bool = False) -> Iterator[RedisServer]:
    """Runs one within the block."""
    with RedisServer(folder, tls=tls) as server:
        yield server


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone, with TLS too; a conftest.py imports it. Skips where there is none."""
    if redis_path() is None:
        pytest.skip("no redis-server here")
    with running_redis(tmp_path / "redis", tls=True) as server:
        yield server


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def cluster_of_one(folder: Path) -> RedisServer:
    """Returns a cluster of one node, which is not started; `form_cluster` gives it its slots."""
    return RedisServer(
        folder, options=["--cluster-enabled", "yes", "--cluster-port", str(_free_port())]
    )


def form_cluster(server: RedisServer) -> None:
    """Gives a node all slots, and returns when the cluster is up."""
    server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    deadline = time.monotonic() + _START_SECONDS
    while "cluster_state:ok" not in server.command("CLUSTER", "INFO"):
        assert time.monotonic() < deadline, "the cluster is not up"
        time.sleep(0.01)


@contextmanager
def running_sentinel(folder: Path, primary: RedisServer, name: str) -> Iterator[int]:
    """Runs a Sentinel that knows a primary by a name, within the block, which is given its port."""
    path = redis_path()
    assert path is not None
    folder.mkdir(parents=True)
    port = _free_port()
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor {name} 127.0.0.1 {primary.port} 1\n"
    )
    process = subprocess.Popen([path, str(configuration), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            assert process.poll() is None, "the sentinel did not start"
            assert time.monotonic() < deadline, "the sentinel does not answer"
            time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7).startswith(b"+PONG")
    except OSError:
        return False
