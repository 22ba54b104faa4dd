"""Asks the real `buf breaking` about all pairs at once.

`BUF=PATH python -m tests.contract.evolution.buf` writes its verdicts to `buf_verdicts.json`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from tests.contract.evolution.pairs import PAIRS
from tests.contracts import compile_protos

VERDICTS: Final = Path(__file__).with_name("buf_verdicts.json")
CATEGORIES: Final = ("WIRE", "WIRE_JSON", "FILE")

Verdicts: TypeAlias = dict[str, dict[str, list[str]]]
"""Name of a pair -> category -> names of the rules that it breaks."""


@cache
def compiled(*, new: bool) -> bytes:
    """Returns the descriptor set of one side of all pairs."""
    with tempfile.TemporaryDirectory() as scratch:
        names = []
        for pair in PAIRS:
            for name, text in pair.files(new=new):
                path = Path(scratch, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                names.append(name)
        return compile_protos(Path(scratch), *names)


def breaking(buf: str, old: bytes, new: bytes, category: str) -> list[tuple[str, str]]:
    """Returns the rules that are broken, each with its line of JSON."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "old.binpb").write_bytes(old)
        (folder / "new.binpb").write_bytes(new)
        config = json.dumps({"version": "v2", "breaking": {"use": [category]}})
        done = subprocess.run(
            [
                *(buf, "breaking", "new.binpb", "--against", "old.binpb"),
                *("--config", config, "--against-config", config, "--error-format", "json"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            env={"HOME": scratch, "PATH": os.environ["PATH"]},
        )
    assert done.returncode in (0, 100), done.stderr
    lines = done.stdout.splitlines()
    return [(json.loads(line)["type"], line) for line in lines]


def verdicts(buf: str) -> Verdicts:
    """Returns what buf says of all pairs."""
    old, new = compiled(new=False), compiled(new=True)
    found: Verdicts = {pair.name: {category: [] for category in CATEGORIES} for pair in PAIRS}
    for category in CATEGORIES:
        rules: dict[str, set[str]] = defaultdict(set)
        for rule, line in breaking(buf, old, new, category):
            match = re.search(r"pairs/(\w+)/", line)
            assert match, line
            rules[match[1]].add(rule)
        for name, broken in rules.items():
            found[name][category] = sorted(broken)
    return found


if __name__ == "__main__":
    lines = (
        f"{json.dumps(name)}: {json.dumps(rules)}"
        for name, rules in verdicts(os.environ["BUF"]).items()
    )
    VERDICTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
