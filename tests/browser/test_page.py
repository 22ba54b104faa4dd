"""The demo's page, in a browser, with core and edge behind it: what a person sees."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.browser.chromium import Browser, Page
from tests.whole.conftest import ROOT, Demo, free_ports, start_demo, stop_demo

STATE = "document.querySelector('#rates .state').textContent.trim()"
ROWS = "[...document.querySelectorAll('#rates tbody tr')].map((row) => row.innerText)"
NOTICES = "document.querySelector('.notices').innerText"
CONTROLS = {"textbox", "combobox", "button", "checkbox", "slider", "link"}


@pytest.fixture(scope="module")
def demo(browser: Browser) -> Iterator[Demo]:
    """The demo, as `make demo` starts it, where there is a browser to see it."""
    running = start_demo(*free_ports(2))
    yield running
    assert stop_demo(running) == 0


@pytest.fixture
async def page(browser: Browser, demo: Demo) -> AsyncIterator[Page]:
    """The page; its console and its policy have no complaint to the end."""
    async with browser.page(demo.http) as page:
        yield page
        assert page.problems == []


async def moves(page: Page) -> None:
    """Waits until the table shows other rates than it does now."""
    await page.until(f"{STATE} === 'live' && {ROWS}.join()")
    before = await page.run(f"return {ROWS}")
    await page.until(f"{STATE} === 'live' && {ROWS}.join() !== {json.dumps(before)}.join()")


async def test_it_converts(page: Page) -> None:
    """What the form says is converted, as money and with the rate, and the fields are swapped by a button."""
    answer = "document.querySelector('output').innerText"
    await page.until(f"{answer}.includes('1 USD = ')")
    await page.run("document.querySelector('.swap').click()")
    text = await page.until(f"{answer}.includes('1 EUR = ') && {answer}")

    assert text.startswith("$")


async def test_what_is_wrong_is_said_and_marked(page: Page) -> None:
    """The server's own words stand there, and the field they are about is marked, until it is right."""
    submit = "document.querySelector('#convert button.main').click()"
    marked = "document.querySelector('[name=amount]').getAttribute('aria-invalid')"
    await page.run(f"document.querySelector('[name=amount]').value = 'ten'; {submit}")
    text = await page.until(f"{marked} === 'true' && document.querySelector('output').innerText")
    assert text.startswith("amount: expected a number, got 'ten'")

    await page.run(f"document.querySelector('[name=amount]').value = '10'; {submit}")
    await page.until(f"{marked} === 'false'")


async def test_rates_are_shown_and_move(page: Page) -> None:
    """A row and a line for each chosen currency; another base, and other choices, are followed."""
    await moves(page)
    assert [row.split()[0] for row in await page.run(f"return {ROWS}")] == [
        *("EUR", "GBP", "CHF", "JPY"),
    ]
    assert await page.until("document.querySelectorAll('#chart polyline').length") == 4

    await page.run(
        "const base = document.querySelector('#base'); base.value = 'EUR';"
        "base.dispatchEvent(new Event('change')); document.querySelector('#targets [value=CHF]').click()"
    )
    await moves(page)
    assert [row.split()[0] for row in await page.run(f"return {ROWS}")] == ["GBP", "JPY", "USD"]


async def test_a_conversation_answers_each_move(page: Page) -> None:
    """Each move of the slider is answered; the half-close ends it with OK, and it can be opened again."""
    state = "document.querySelector('#live .state').innerText"
    count = "document.querySelector('.count').innerText"
    await page.until(f"{count}.startsWith('1 sent, 1 answered')")
    await page.run(
        "const slider = document.querySelector('#live input');"
        "for (const value of [1, 2, 500]) { slider.value = value; slider.dispatchEvent(new Event('input')); }"
    )
    await page.until(f"{count}.startsWith('4 sent, 4 answered')")
    answer = await page.run("return document.querySelector('.answer').innerText")
    assert answer.startswith("$500.00 = €")

    await page.run("document.querySelector('#live button').click()")
    await page.until(f"{state}.split(/\\s+/).join() === 'ended,OK'")
    await page.run("document.querySelector('#live button').click()")
    await page.until(f"{state}.trim() === 'live' && {count}.startsWith('1 sent, 1 answered')")


async def test_it_fits_a_phone(page: Page) -> None:
    """At 360 pixels nothing has to be scrolled sideways."""
    phone = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    await page.call("Emulation.setDeviceMetricsOverride", **phone)
    await moves(page)

    assert await page.run("return document.documentElement.scrollWidth") == 360


async def test_every_control_has_a_name(page: Page) -> None:
    """Whoever hears the page instead of seeing it is told what each control is for."""
    await moves(page)
    tree = await page.call("Accessibility.getFullAXTree")
    controls = [
        (node["role"]["value"], node["name"]["value"])
        for node in tree["nodes"]
        if not node["ignored"] and node["role"]["value"] in CONTROLS
    ]

    assert {role for role, _ in controls} == CONTROLS
    assert all(name for _, name in controls), controls


async def test_the_policy_is_in_force(browser: Browser, demo: Demo) -> None:
    """A script that stands in the page's text is not run, and the tests here would see that it is there."""
    async with browser.page(demo.http) as page:
        await page.run(
            "const script = document.createElement('script'); script.textContent = 'ran = true';"
            "document.body.append(script)"
        )
        assert await page.run("return 'ran' in globalThis") is False
        assert any("Content Security Policy" in problem for problem in page.problems)


@asynccontextmanager
async def serving(*arguments: str) -> AsyncIterator[Process]:
    """Runs one part of the demo, from the line with which it says that it serves."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments), cwd=ROOT, stdout=PIPE
    )
    assert process.stdout is not None
    try:
        while b"serving" not in await process.stdout.readline():
            assert not process.stdout.at_eof()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_core_that_dies_is_seen_and_its_return_too(browser: Browser) -> None:
    """Without its core the page does not pretend to be live; with it again it is, and nobody reloads it."""
    core_port, port = map(str, free_ports(2))
    core = ("grpc_core", "--port", core_port)
    edge = (
        *("gateway", "serve", "--descriptor-set", "protos/descriptor_set.binpb", "--pages", "web"),
        *("--upstream", f"127.0.0.1:{core_port}", "--port", port, "--log-level", "warning"),
    )
    async with serving(*edge), browser.page("about:blank") as page:
        async with serving(*core) as first:
            await page.go(f"http://127.0.0.1:{port}/")
            await moves(page)
            first.kill()
            await page.until(f"!{STATE}.startsWith('live') && {STATE}")
        async with serving(*core):
            await moves(page)
            assert await page.run(f"return {NOTICES}")
        assert page.problems == []
