"""The how-to pages, followed as a reader follows them: each file written, each command run."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.browser import chromium
from tests.howto.reading import PAGES, reader
from tests.pages import blocks
from tests.whole.nginx import nginx_path

pytestmark = pytest.mark.timeout(180)  # a page is a dozen commands, each with Python's start


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_each_file_has_its_name_above_it(page: Path) -> None:
    """Markdown viewers hide the title of a block, so the line before it says where to save the file."""
    lines = page.read_text().splitlines()
    for block in blocks(page.read_text()):
        if block.title and block.language != "sh":
            above = "\n".join(lines[max(block.line - 3, 0) : block.line - 1])
            assert re.search(rf"[Ss]ave (this|it) as `{re.escape(block.title)}`", above), (
                block.title
            )


@pytest.mark.skipif(nginx_path() is None, reason="no nginx here")
def test_reverse_proxy(tmp_path: Path) -> None:
    """Unary, SSE, upload, WebSocket and document pass nginx below the prefix."""
    reader(tmp_path).follow(PAGES / "reverse-proxy.md")


def test_python_application(tmp_path: Path) -> None:
    """Own routes, CORS, a check of tokens on every way in, and a mounted edge."""
    reader(tmp_path).follow(PAGES / "python-application.md")


def test_browser_app(tmp_path: Path) -> None:
    """A listed origin gets its headers, others get none; where there is a browser, the app runs in it."""
    follower = reader(tmp_path)

    async def look(executable: str) -> str:
        async with (
            chromium.running(executable) as browser,
            browser.page(f"http://localhost:{follower.ports[8000]}") as page,
        ):
            log = "document.querySelector('#log').textContent"
            shown = await page.until(f"{log}.split('\\n').length > 5 && {log}")
            assert page.problems == []
            return str(shown)

    def open_app() -> None:
        executable = chromium.find()
        if executable is not None:
            lines = asyncio.run(asyncio.wait_for(look(executable), 60)).splitlines()
            assert lines[0] == "reply: 7"
            assert lines[1] == "error: 400 unknown currency 'XXX'"
            assert lines[2] == "request id: 32 characters"
            assert sorted(lines[3:]) == ["event: USD", "message: 9"]

    follower.follow(PAGES / "browser-app.md", at_end=open_app)


def test_testing(tmp_path: Path) -> None:
    """The test files of the page pass."""
    reader(tmp_path, "pip install").follow(PAGES / "testing.md")


def test_see_what_a_change_breaks(tmp_path: Path) -> None:
    """What a change breaks is said as the page says it, with its exit status."""
    reader(tmp_path, "pip install", checkout=False).follow(PAGES / "see-what-a-change-breaks.md")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_tls(tmp_path: Path) -> None:
    """TLS for callers, TLS and mTLS to the gRPC server, with certificates made by openssl."""
    reader(tmp_path).follow(PAGES / "tls.md")


def test_serve_several_upstreams(tmp_path: Path) -> None:
    """Two servers behind one edge; a wrong pattern, readiness and metrics are told as the page says."""
    reader(tmp_path).follow(PAGES / "serve-several-upstreams.md")


def test_protect_the_edge(tmp_path: Path) -> None:
    """API keys, tokens, and rules that say who may call what, and how much."""
    reader(tmp_path).follow(PAGES / "protect-the-edge.md")


def test_replace_the_contract(tmp_path: Path) -> None:
    """A method is added and a mistake is refused, while the edge serves."""
    reader(tmp_path, "pip install", checkout=False).follow(PAGES / "replace-the-contract.md")


def test_httpx_client(tmp_path: Path) -> None:
    """The client in Python; `make openapi` runs those in TypeScript and JavaScript."""
    reader(tmp_path, "npm", "npx", "node").follow(PAGES / "typescript-and-httpx-clients.md")


def test_clients(tmp_path: Path) -> None:
    """The clients of curl and grpcio; `make interop` runs those that are installed from elsewhere."""
    reader(tmp_path, "npm", "node", "java", "grpcurl", "buf").follow(PAGES / "clients.md")


def test_docker_without_an_engine(tmp_path: Path) -> None:
    """What the Dockerfile compiles is served: by the page's server, and an edge on its descriptor set.

    `make e2e` follows the page with an engine.
    """
    text = (PAGES / "docker.md").read_text()
    page = {block.title: block.text for block in blocks(text)}
    follower = reader(tmp_path, "docker", "curl", checkout=False)
    follower.follow(PAGES / "docker.md")
    commands = re.findall(r"^RUN (?!pip)(.*)$", page["Dockerfile"], re.MULTILINE)
    rest = tmp_path / "rest.md"
    rest.write_text(_REST.format(commands="\n".join(commands)))
    follower.skip = ()
    follower.follow(rest)

    assert len(commands) == 3
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", page["Dockerfile"], re.MULTILINE))
    services = yaml.safe_load(page["compose.yaml"])["services"]
    assert {each["build"]["target"] for each in services.values()} < stages
    for service in services.values():
        assert service["read_only"]
        assert not service["user"].startswith("0")


_REST = """
```sh
{commands}
```

```sh title="the container `server`"
PYTHONPATH=stubs python server.py
```

```sh title="the container `edge`"
PROTOWAY_DESCRIPTOR_SET=contract/contract.binpb protoway serve --upstream 127.0.0.1:50051 --port 8080
```

```sh
curl -s localhost:8080/v1/prices/tea
```

```text
{{"article":"tea","cents":1250}}
```
"""
