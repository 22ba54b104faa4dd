"""Writes `docs/reference/parity.md`: sends the same requests to our edge and to Envoy, and compares.

python scripts/parity.py
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.parity.differences import unlisted  # noqa: E402 - behind the path that finds them
from tests.parity.edges import why_no_envoy  # noqa: E402 - behind the path that finds them
from tests.parity.page import render_page  # noqa: E402 - behind the path that finds them
from tests.parity.run import run  # noqa: E402 - behind the path that finds them


def main() -> None:
    """Writes the page, and prints the differences that are not listed."""
    if reason := why_no_envoy():
        sys.exit(f"parity: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(run(Path(folder)))
    (ROOT / "docs" / "reference" / "parity.md").write_text(render_page(results))
    for name, compared in results.items():
        if aspects := unlisted(name, compared):
            print(f"not listed: {name}: {', '.join(aspects)}")


if __name__ == "__main__":
    main()
