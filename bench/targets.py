"""What we want to reach: ratios of figures that one run has measured side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.results import Results, beyond, median, ratio

See = Callable[[Results], float | None]


@dataclass(frozen=True)
class Target:
    """One aim."""

    name: str
    limit: float
    see: See
    unit: str = "x"

    def line(self, results: Results) -> tuple[str, str, str, str]:
        """Returns its row: name, limit, what was seen, and whether that is within the limit."""
        seen = self.see(results)
        limit = f"≤ {self.limit:g}{self.unit}"
        if seen is None:
            return self.name, limit, "", "not measured"
        shown = f"{seen:.1f}" if self.unit != "x" else f"{seen:.3g}"
        return self.name, limit, shown + self.unit, "holds" if seen <= self.limit else "MISSED"


def _against(
    group: str, case: str, ours: str, theirs: str, *names: str, floor: bool = False
) -> See:
    def see(results: Results) -> float | None:
        numbers = (results.rounds(group, case, side, names) for side in (ours, theirs))
        return (beyond if floor else ratio)(*numbers)

    return see


def _itself(group: str, case: str, side: str, name: str) -> See:
    def see(results: Results) -> float | None:
        numbers = results.rounds(group, case, side, (name,))
        return median(numbers) if numbers else None

    return see


def _worst_codec(results: Results) -> float | None:
    ratios = [
        ratio(row["ours"]["us"], row["json_format"]["us"])
        for row in results.groups.get("codec", {}).values()
    ]
    return max((seen for seen in ratios if seen is not None), default=None)


_POST: Final = "POST small, our core, 32"
_CROWD: Final = "1000 subscribers"

TARGETS: Final = (
    Target(
        "unary POST: CPU of the edge, to Envoy's",
        1.6,
        _against("unary", _POST, "ours", "Envoy", "edge_us"),
    ),
    Target(
        "unary POST: CPU of the edge, to that by hand",
        0.62,
        _against("unary", _POST, "ours", "by hand", "edge_us"),
    ),
    Target(
        "unary POST: what is ours but the gRPC call and the HTTP server, to an empty uvicorn",
        0.4,
        _against("unary", _POST, "ours, no gRPC", "empty uvicorn", "edge_us", floor=True),
    ),
    Target(
        "shared stream, 1,000 subscribers: CPU of edge and core for each event, to Envoy and core",
        0.25,
        _against("streams", _CROWD, "ours, shared", "Envoy", "edge_us", "core_us"),
    ),
    Target(
        "the same: p99 of delivery", 50, _itself("streams", _CROWD, "ours, shared", "p99_ms"), " ms"
    ),
    Target(
        "memory of an idle SSE subscriber, to Envoy's",
        0.4,
        _against("memory", "an idle SSE subscriber", "ours, shared", "Envoy", "edge_kb_each"),
    ),
    Target("JSON to and from messages, to json_format; the worst of all", 0.12, _worst_codec),
    Target(
        "a match among 5,000 bindings, to one among 10",
        1.3,
        _against("routes", "a match", "5000", "10", "us"),
    ),
    Target(
        "Convert on the core, to a bare servicer's constant",
        1.15,
        _against("calls", "Convert, 32", "our core", "bare servicer", "core_us"),
    ),
)
