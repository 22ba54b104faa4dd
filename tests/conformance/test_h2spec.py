"""h2spec, which nobody here wrote, asks the edge and the core, strictly: in clear text and over TLS.

`make conformance` builds it, where Go is installed. A case that fails needs its reason here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from gateway.app import create_app
from gateway.settings import Settings
from tests.whole.certificates import made
from tests.whole.processes import DESCRIPTOR_SET, core
from tests.whole.serving import serving

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]

H2SPEC: Final = os.environ.get("H2SPEC", "")
_FEWEST: Final = 140
"""Cases that there must be at least: a program that runs none has shown nothing."""
_LONG_HEADER: Final = "16000"
"""Five such headers exceed the frames of 64 KiB that both allow; h2spec takes 16 KiB for granted."""
_ONE_PORT: Final = {
    "http2/3.5: Sends invalid connection preface": "what is no preface is HTTP/1.1, and has its 400",
}
_NO_GRPC: Final = {
    "generic/2: Sends a WINDOW_UPDATE frame on half-closed (remote) stream": "the answer to GET has no DATA",
    "generic/2: Sends a PRIORITY frame on half-closed (remote) stream": "the answer to GET has no DATA",
    "http2/5.1.2: Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded": (
        "what is not gRPC is answered at once, so no stream stays open"
    ),
    "http2/6.9.1: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a"
    " stream": "the stream has ended: what is not gRPC is answered before its end, and reset with NO_ERROR",
}


@pytest.fixture(scope="module", autouse=True)
def _program() -> None:
    if not shutil.which(H2SPEC):
        pytest.skip("h2spec is not built: `make conformance` does that, and needs Go")


async def _failures(port: int, report: Path, *options: str) -> dict[str, str]:
    """Returns case -> what was seen, of the cases that have failed."""
    arguments = ("-p", str(port), "-P", "/healthz", "--strict", "-o", "4", "-j", str(report))
    process = await asyncio.create_subprocess_exec(
        *(H2SPEC, *arguments, "--max-header-length", _LONG_HEADER, *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await process.wait()
    cases = ET.parse(report).getroot().findall(".//testcase")
    assert len(cases) >= _FEWEST
    return {
        f"{case.get('package')}: {case.get('classname')}": (failure.text or "").strip()
        for case in cases
        if (failure := case.find("failure")) is not None
    }


async def test_the_edge_in_clear_text(tmp_path: Path) -> None:
    """All but one case, which asks for a server that has no HTTP/1.1 on its port."""
    async with core(ticker="off") as behind:
        settings = Settings(
            descriptor_set=DESCRIPTOR_SET, upstream=behind.address, access_log="off"
        )
        async with serving(create_app(settings), settings) as port:
            failures = await _failures(port, tmp_path / "report.xml")

    assert failures.keys() - _ONE_PORT.keys() == set(), failures


async def test_the_edge_over_tls(tmp_path: Path) -> None:
    """All."""
    party = made(tmp_path) / "gateway"
    async with core(ticker="off") as behind:
        settings = Settings(
            descriptor_set=DESCRIPTOR_SET,
            upstream=behind.address,
            access_log="off",
            tls_certificate=party / "certificate.pem",
            tls_key=party / "key.pem",
        )
        async with serving(create_app(settings), settings) as port:
            failures = await _failures(port, tmp_path / "report.xml", "-t", "-k")

    assert failures == {}


async def test_the_core(tmp_path: Path) -> None:
    """All but those whose requests a server of gRPC alone cannot answer as they expect."""
    async with core(ticker="off") as server:
        port = int(server.address.rpartition(":")[2])
        failures = await _failures(port, tmp_path / "report.xml")

    assert failures.keys() - _NO_GRPC.keys() == set(), failures
