"""The Connect conformance suite, which nobody here wrote, asks the edge: Connect, gRPC and gRPC-Web.

Over both versions of HTTP, in clear text and over TLS. `make conformance` builds it, where Go is installed. A
case that fails needs its reason in `rpc-known-failing.txt`.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.rpc_core import descriptor_set

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(900)]

PROGRAM: Final = os.environ.get("CONNECTCONFORMANCE", "")
PROTOS: Final = os.environ.get("CONFORMANCE_PROTOS", "")
_HERE: Final = Path(__file__).parent
_FEWEST: Final = 2900
"""Cases that there must be at least: a program that runs none has shown nothing."""


async def test_every_case(tmp_path: Path) -> None:
    """All but those that are known to fail, which fail still."""
    if not shutil.which(PROGRAM):
        pytest.skip("connectconformance is not built: `make conformance` does that, and needs Go")

    contract = tmp_path / "set.binpb"
    contract.write_bytes(descriptor_set(Path(PROTOS)))
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("--conf", str(_HERE / "rpc.yaml"), "--mode", "server", "--max-servers", "1"),
        *("--known-failing", f"@{_HERE / 'rpc-known-failing.txt'}", "--"),
        *(sys.executable, "-m", "tests.conformance.rpc_server", str(contract)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    cases = re.search(r"Total cases: (\d+)", text)

    assert process.returncode == 0, "\n".join(re.findall(r"^FAILED.*\n.*", text, re.MULTILINE)[:50])
    assert cases is not None
    assert int(cases[1]) >= _FEWEST
