"""An edge before a server of which only the address is known."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import httpx

CORNERS: Final = {"lo": {"latitude": 1}, "hi": {"latitude": 2, "longitude": 3}}


async def check_that_it_is_served(upstream: str) -> None:
    """Serves gRPC's example services Greeter and RouteGuide by reflection alone, and calls them."""
    edge = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--port", "0"),
        *("--reflect", "--auto-mapping", "--upstream", upstream),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert edge.stdout is not None
    try:
        first, second = [(await edge.stdout.readline()).decode() for _ in range(2)]
        assert f"the reflection of {upstream}" in second, (second, await edge.communicate())
        async with httpx.AsyncClient(base_url=first.split()[-1]) as client:
            unary = await client.post("/helloworld.Greeter/SayHello", json={"name": "you"})
            stream = await client.post(
                "/routeguide.RouteGuide/ListFeatures",
                json=CORNERS,
                headers={"accept": "application/json"},
            )
            document = (await client.get("/openapi.json")).json()
    finally:
        if edge.returncode is None:
            edge.terminate()
        await edge.communicate()
    assert unary.json() == {"message": "Hello you"}
    assert stream.json() == [
        {"name": "corner", "location": {"latitude": 1}},
        {"name": "corner", "location": {"latitude": 2, "longitude": 3}},
    ]
    assert "/helloworld.Greeter/SayHello" in document["paths"]
