"""Runs the core and the edge until Ctrl-C or SIGTERM; `make demo` starts it.

If one of the two ends, the other is stopped, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_READY = b"serving"
_START_SECONDS = 60
_STOP_SECONDS = 15

BANNER = """
  Page       http://{edge}/       converts, and shows rates as they move
  Edge       http://{edge}       REST/JSON, SSE, NDJSON, WebSocket, gRPC, gRPC-Web, Connect
  gRPC       {core}       finance.CurrencyConverter, hello.Greeter, health, reflection
  OpenAPI    http://{edge}/openapi.json       and http://{edge}/docs to read it

  Try, in another terminal:

    curl -d '{{"fromCurrency":"USD","toCurrency":"EUR","amount":100}}' {edge}/convert
    curl '{edge}/convert?from_currency=USD&to_currency=JPY&amount=5'
    curl -N -H 'Accept: text/event-stream' '{edge}/rates/USD?target_currencies=EUR&target_currencies=GBP'
    printf '%s\\n' '{{"fromCurrency":"USD","toCurrency":"EUR","amount":1}}' \\
                  '{{"fromCurrency":"GBP","toCurrency":"EUR","amount":2}}' \\
      | curl --data-binary @- {edge}/convert:batch
    {python} -m websockets ws://{edge}/convert:live       and type a request; an empty line ends it
    curl {edge}/hello/World

  Ctrl-C ends both.
"""


class Part:
    """One of the two processes; its output is forwarded."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._ready = asyncio.Event()
        self.ended = asyncio.create_task(self._pass_on())

    @classmethod
    async def start(cls, name: str, *arguments: str) -> Part:
        """Starts `python -m` with these arguments."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *arguments),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches only this script, which stops both in order
        )
        return cls(name, process)

    async def _pass_on(self) -> None:
        assert self._process.stdout is not None
        serving = False
        async for line in self._process.stdout:
            print(line.decode(), end="", flush=True)
            if serving:  # the line behind it says what is served
                self._ready.set()
            serving = serving or _READY in line
        await self._process.wait()

    async def serving(self, stop_event: asyncio.Event) -> bool:
        """Waits until the process serves; returns False if it ended, or `stop_event` was set, before that."""
        waits = {asyncio.create_task(self._ready.wait()), asyncio.create_task(stop_event.wait())}
        await asyncio.wait(
            {*waits, self.ended}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        return self._ready.is_set() and not stop_event.is_set()

    async def stop(self) -> None:
        """Terminates the process; kills it after 15 s."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self.ended, _STOP_SECONDS)
        except TimeoutError:
            self._process.kill()


async def demo(core_port: int, gateway_port: int) -> int:
    """Runs both until a signal arrives or one of them ends; returns the exit status: 0, or 1."""
    stop_event = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop_event.set)
    core_address, edge_address = f"127.0.0.1:{core_port}", f"localhost:{gateway_port}"
    commands = {
        "core": ("grpc_core", "--port", str(core_port)),
        "edge": (
            *("gateway", "serve", "--descriptor-set", str(ROOT / "protos/descriptor_set.binpb")),
            *("--upstream", core_address, "--port", str(gateway_port), "--log-level", "warning"),
            *("--pages", str(ROOT / "web")),
        ),
    }
    parts: list[Part] = []
    async with contextlib.AsyncExitStack() as stack:
        for name, command in commands.items():
            parts.append(await Part.start(name, *command))
            stack.push_async_callback(parts[-1].stop)
            if not await parts[-1].serving(stop_event):
                return _verdict(stop_event, parts)
        print(
            BANNER.format(core=core_address, edge=edge_address, python=sys.executable), flush=True
        )
        waits = {asyncio.create_task(stop_event.wait()), *(part.ended for part in parts)}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return _verdict(stop_event, parts)


def _verdict(stop_event: asyncio.Event, parts: list[Part]) -> int:
    if stop_event.is_set():
        return 0
    for part in parts:
        if part.ended.done():
            print(f"demo: the {part.name} has ended, so all is stopped", file=sys.stderr)
    return 1


def main() -> None:
    """Runs the demo on the ports of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core-port", type=int, default=50051)
    parser.add_argument("--gateway-port", type=int, default=8080)
    options = parser.parse_args()
    sys.exit(asyncio.run(demo(options.core_port, options.gateway_port)))


if __name__ == "__main__":
    main()
