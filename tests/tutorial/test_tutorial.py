"""The tutorial, followed to the letter: an empty folder, an empty environment, and protoway's wheel."""

from __future__ import annotations

import os
import time
import urllib.request
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.tutorial import wheels
from tests.tutorial.page import Block, blocks, expected, save
from tests.tutorial.terminal import Terminal
from tests.whole.conftest import ROOT, free_ports

PAGE = ROOT / "docs" / "tutorial" / "first-service.md"
KINDS = ["unary", "server stream", "client stream", "bidi"]


class Reader:
    """Follows a page.

    Attributes:
        answered: seconds until the first answer of each kind, and the CPU seconds of the commands that had
            ended by then.
    """

    def __init__(self, folder: Path, environment: dict[str, str], held: ExitStack) -> None:
        self.folder = folder
        self.answered: dict[str, tuple[float, float]] = {}
        self._begin = time.monotonic()
        self._used = sum(os.times()[2:4])
        self._terminals: defaultdict[str, Terminal] = defaultdict(
            lambda: held.enter_context(Terminal(folder, environment))
        )

    def follow(self, block: Block) -> None:
        """Does what a block says, and compares what is printed."""
        terminal = self._terminals[block.attributes.get("terminal", "1")]
        if block.language == "link":
            with urllib.request.urlopen(block.text, timeout=10) as answer:
                assert answer.status == 200
        elif block.language == "console":
            commands = block.commands()
            going_on = commands.pop() if "terminal" in block.attributes else None
            for command in commands:
                output = terminal.run(command.text)
                lines = f"{output.rstrip()}\n".lstrip("\n")
                assert expected(command.output).fullmatch(lines), f"$ {command.text}\n{output}"
            if going_on is not None:
                terminal.start(going_on.text)
                terminal.wait_for(expected(going_on.output))
        elif "terminal" in block.attributes:
            terminal.wait_for(expected(block.text))
        elif "title" in block.attributes:
            save(block, self.folder / "library")
        else:
            raise ValueError("a block that no test looks at")
        if "first" in block.attributes:
            self.answered[block.attributes["first"]] = (
                time.monotonic() - self._begin,
                sum(os.times()[2:4]) - self._used,
            )

    def run(self, command: str) -> str:
        """Runs a command that is not on the page, in the first terminal."""
        return self._terminals["1"].run(command)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "source",
    [
        pytest.param("what is installed here", marks=pytest.mark.long),
        pytest.param("the index", marks=pytest.mark.tutorial),
    ],
)
def test_the_tutorial(
    tmp_path: Path, wheel: Path, environment: dict[str, str], source: str
) -> None:
    """Each command prints what the page says, from an empty folder on; nothing of the checkout is used."""
    folder = tmp_path / "empty"
    folder.mkdir()
    environment |= wheels.pip_variables(
        wheel, tmp_path / "wheels", ["grpcio-tools"], index=source == "the index"
    )
    core, edge = map(str, free_ports(2))
    # the page leaves these at 8080 and 50051
    environment |= {"PROTOWAY_PORT": edge, "PORT": core, "PROTOWAY_UPSTREAM": f"localhost:{core}"}

    with ExitStack() as held:
        reader = Reader(folder, environment, held)
        for block in blocks(PAGE.read_text().replace("50051", core).replace("8080", edge)):
            try:
                reader.follow(block)
            except Exception as error:
                error.add_note(f"in {PAGE.name}, line {block.line}")
                raise
        where = reader.run("python -c 'import gateway; print(gateway.__file__)'")
        assert Path(where).is_relative_to(folder)
        core_there = "import importlib.util as u; print(u.find_spec('grpc_core'))"
        assert reader.run(f'python -c "{core_there}"') == "None\n"

    assert list(reader.answered) == KINDS
    print(f"\nfrom an empty folder to the first answer, with packages from {source}:")
    for kind, (seconds, cpu) in reader.answered.items():
        print(f"  {kind}: {seconds:.1f} s, {cpu:.1f} s of CPU")
