"""The program that the Connect conformance suite starts: an edge before a core that has its service.

    python -m tests.conformance.rpc_server DESCRIPTOR-SET-OF-THE-SUITE

Standard input has one ServerCompatRequest, standard output gets one ServerCompatResponse, each behind its
size in four bytes; SIGTERM ends the program.
"""

from __future__ import annotations

import asyncio
import signal
import struct
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.app import create_app
from gateway.settings import Settings
from tests.conformance.rpc_core import Messages, start
from tests.whole.serving import serving

_SIZE = struct.Struct(">I")


def _settings(request: Any, folder: Path, contract: Path, port: int) -> Settings:
    given: dict[str, Any] = {}
    if request.use_tls:
        for name, data in (("cert", request.server_creds.cert), ("key", request.server_creds.key)):
            (folder / name).write_bytes(data)
        given |= {"tls_certificate": folder / "cert", "tls_key": folder / "key"}
    return Settings(
        descriptor_set=contract,
        upstream=f"127.0.0.1:{port}",
        auto_mapping=True,  # REST has the same paths
        timeout_seconds=None,
        access_log="off",
        log_level="critical",
        **given,
    )


async def _serve(contract: Path, messages: Messages) -> None:
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # a line of the start is no message
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    read = sys.stdin.buffer.read
    (size,) = _SIZE.unpack(await loop.run_in_executor(None, read, _SIZE.size))
    request = messages.ServerCompatRequest.FromString(await loop.run_in_executor(None, read, size))
    core, core_port = await start(messages)
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(request, Path(folder), contract, core_port)
        app = create_app(settings)
        if request.message_receive_limit:  # of requests alone: an answer repeats its request
            edge = app.state.edge
            edge.limits = replace(edge.limits, max_message=request.message_receive_limit)
        async with serving(app, settings) as port:
            response = messages.ServerCompatResponse(host="127.0.0.1", port=port)
            if request.use_tls:
                response.pem_cert = request.server_creds.cert
            data = response.SerializeToString()
            out.write(_SIZE.pack(len(data)) + data)
            out.flush()
            await ended.wait()
    await core.stop(None)


if __name__ == "__main__":
    given = Path(sys.argv[1])
    asyncio.run(_serve(given, Messages(given.read_bytes())))
