"""A network namespace with one cable to this machine, and names of its own (ip-netns(8))."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from random import SystemRandom

_ETC = Path("/etc/netns")


@cache
def why_not() -> str:
    """Returns why no namespace can be made here; empty: it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "no ip here: apt-get install iproute2"
    name = f"probe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return f"no network namespace: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


class Cable:
    """Another cable between a namespace and this machine.

    Attributes:
        inside: address of the namespace's end.
        outside: address of this machine's end.
    """

    def __init__(self, namespace: str, number: int) -> None:
        """Takes whose it is, and a number that nobody else has."""
        self._namespace = namespace
        self._name = f"fltb{number}"
        third, fourth = divmod(number, 64)
        self.outside = f"10.214.{third}.{fourth * 4 + 1}"
        self.inside = f"10.214.{third}.{fourth * 4 + 2}"

    async def make(self) -> None:
        """Makes it; it ends with the namespace."""
        await _lay(self._namespace, self._name, "eth1", self.outside, self.inside)

    async def pull(self) -> None:
        """Lets no packet through, in either direction, without a word to either side."""
        await run("ip", "link", "set", self._name, "down")

    async def plug(self) -> None:
        """Lets packets through again."""
        await run("ip", "link", "set", self._name, "up")


class Network:
    """The namespace.

    Attributes:
        name_of: its name.
        inside: address of its end of the cable.
        outside: address of this machine's end.
    """

    def __init__(self) -> None:
        """Chooses a name and addresses that nobody has."""
        number = SystemRandom().randrange(1 << 14)
        self._number = number
        self.name_of = f"faults{number}"
        self._cable = f"flt{number}"
        third, fourth = divmod(number, 64)
        self.outside = f"10.213.{third}.{fourth * 4 + 1}"
        self.inside = f"10.213.{third}.{fourth * 4 + 2}"
        self._etc = _ETC / self.name_of

    async def make(self, resolver: str) -> None:
        """Makes it; `resolver` is `refuses` (a port where nobody listens) or `silent` (no machine at all)."""
        self._etc.mkdir(parents=True)
        server = {"refuses": self.outside, "silent": "10.213.255.254"}[resolver]
        (self._etc / "resolv.conf").write_text(
            f"nameserver {server}\noptions timeout:1 attempts:1\n"  # otherwise a lookup takes 10 s
        )
        (self._etc / "nsswitch.conf").write_text("hosts: files dns\n")
        self.name("localhost", "127.0.0.1")
        inner = ("ip", "-n", self.name_of)
        await run("ip", "netns", "add", self.name_of)
        await run(*inner, "link", "set", "lo", "up")
        await _lay(self.name_of, self._cable, "eth0", self.outside, self.inside)
        if resolver == "silent":
            await run(*inner, "route", "add", "10.213.255.254/32", "dev", "eth0")
            # a machine that is known, and takes packets without a word
            await run(
                *inner,
                "neighbour",
                "add",
                "10.213.255.254",
                "lladdr",
                "02:00:00:00:00:01",
                "dev",
                "eth0",
            )

    async def add_cable(self) -> Cable:
        """Adds another cable."""
        made = Cable(self.name_of, self._number)
        await made.make()
        return made

    def name(self, name: str, address: str | None) -> None:
        """Gives an address this one name, in the file that the namespace sees; None: nothing has it."""
        line = f"{address} {name}\n" if address else ""
        with (self._etc / "hosts").open("w") as hosts:
            hosts.write(line)

    async def cut(self) -> None:
        """Lets no packet out of the namespace, without a word to either side."""
        await run("ip", "-n", self.name_of, "route", "add", "blackhole", f"{self.outside}/32")

    async def mend(self) -> None:
        """Lets packets through again."""
        await run("ip", "-n", self.name_of, "route", "del", "blackhole", f"{self.outside}/32")

    async def remove(self) -> None:
        """Removes all of it."""
        await run("ip", "netns", "del", self.name_of)
        shutil.rmtree(self._etc)


async def _lay(namespace: str, cable: str, end: str, outside: str, inside: str) -> None:
    """Lays a cable, which has a name here and one in the namespace, and gives its ends addresses."""
    inner = ("ip", "-n", namespace)
    await run("ip", "link", "add", cable, "type", "veth", "peer", end, "netns", namespace)
    await run("ip", "address", "add", f"{outside}/30", "dev", cable)
    await run("ip", "link", "set", cable, "up")
    await run(*inner, "address", "add", f"{inside}/30", "dev", end)
    await run(*inner, "link", "set", end, "up")


@asynccontextmanager
async def network(resolver: str = "refuses") -> AsyncIterator[Network]:
    """Has a network within the block."""
    made = Network()
    try:
        await made.make(resolver)
        yield made
    finally:
        await made.remove()


async def run(*command: str) -> None:
    """Runs a command, which must succeed."""
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, f"{' '.join(command)}: {said.decode()}"
