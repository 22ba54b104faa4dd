"""What we want to reach: ratios of figures that one run has measured side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench import browsers, rpc, shared, watched
from bench.results import Results, beyond, median, ratio
from bench.sides import POLICED

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


def _of_cases(group: str, side: str, case: str, other: str, name: str) -> See:
    def see(results: Results) -> float | None:
        return ratio(*(results.rounds(group, each, side, (name,)) for each in (case, other)))

    return see


def _beyond(group: str, case: str, ours: str, theirs: str, name: str) -> See:
    def see(results: Results) -> float | None:
        ours_and_theirs = (results.rounds(group, case, side, (name,)) for side in (ours, theirs))
        added = [our - their for our, their in zip(*ours_and_theirs, strict=False)]
        return median(added) if added else None

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
_TRACED: Final = "POST small and traced, our core, 32"
_WIRE: Final = "ours, wire, wire core"
_CROWD: Final = "1000 subscribers"
_CONVERT: Final = "Convert, 32"
_BIDI: Final = "LiveConvert, 64 messages in flight"


def _of_an_edge(edge: str, also: str = "") -> tuple[Target, ...]:
    """Returns the targets of our edge on one gRPC, before a core on grpcio; `also` tells which."""
    subscribed = edge.replace("ours", "ours, shared")
    return (
        Target(
            f"unary POST{also}: CPU of the edge, to Envoy's",
            1.6,
            _against("unary", _POST, edge, "Envoy", "edge_us"),
        ),
        Target(
            f"unary POST{also}: CPU of the edge, to that by hand",
            0.62,
            _against("unary", _POST, edge, "by hand", "edge_us"),
        ),
        Target(
            f"shared stream, 1,000 subscribers{also}: "
            "CPU of edge and core for each event, to Envoy and core",
            0.25,
            _against("streams", _CROWD, subscribed, "Envoy", "edge_us", "core_us"),
        ),
        Target(
            f"the same{also}: p99 of delivery",
            50,
            _itself("streams", _CROWD, subscribed, "p99_ms"),
            " ms",
        ),
        Target(
            f"memory of an idle SSE subscriber{also}, to Envoy's",
            0.4,
            _against("memory", "an idle SSE subscriber", edge, "Envoy", "edge_kb_each"),
        ),
    )


def _of_large(size: str) -> tuple[Target, ...]:
    """Returns the targets of large messages, on one gRPC all through."""
    case, ours, theirs = f"an echo of {size}, 1", "wire to bare servicer, wire", _GRPC_TO_BARE
    return (
        Target(
            f"an echo of {size}, wire at both ends: CPU of both, to grpc.aio's",
            1,
            _against("calls", case, ours, theirs, "core_us", "client_us"),
        ),
        Target(
            f"the same of {size}: p50, to grpc.aio's",
            1,
            _against("calls", case, ours, theirs, "p50_ms"),
        ),
    )


def _of_browsers() -> tuple[Target, ...]:
    """Returns the targets of requests of which no two are alike, before a core on wire."""
    group, ours, envoy = browsers.GROUP, _WIRE, "Envoy, wire core"
    more = browsers.ADMITTING

    def edge(case: str, one: str, other: str) -> See:
        return _against(group, case, one, other, "edge_us")

    return (
        *(
            Target(f"{case}: CPU of the edge (wire), to Envoy's", 0.5, edge(case, ours, envoy))
            for case in (browsers.POST, browsers.POST_2, browsers.GET, browsers.PLAIN)
        ),
        *(
            Target(
                f"{case}, token, limit and CORS: CPU of the edge (wire), to Envoy's with the same",
                0.6,
                edge(case, ours + more, envoy + more),
            )
            for case in (browsers.POST, browsers.GET)
        ),
        *(
            Target(f"{case}, the same: to ours without", 1.25, edge(case, ours + more, ours))
            for case in (browsers.POST, browsers.GET)
        ),
    )


def _of_watched() -> tuple[Target, ...]:
    """Returns the targets of an edge with its access log and metrics, before a core on wire."""
    group, ours = watched.GROUP, _WIRE + watched.WATCHED
    log = "access log and metrics"
    return (
        Target(
            f"unary POST with {log}: CPU of the edge (wire), to ours without",
            1.1,
            _against(group, watched.SMALL, ours, _WIRE, "edge_us"),
        ),
        Target(
            f"traced unary POST with {log}: CPU of the edge (wire), to Envoy's with both",
            0.65,
            _against(group, watched.TRACED, ours, "Envoy, wire core" + watched.WATCHED, "edge_us"),
        ),
    )


def _of_rpc() -> tuple[Target, ...]:
    """Returns the targets of HTTP/2 and the wires of RPC, before a core on wire."""
    group, ours, cpu = rpc.GROUP, rpc.OURS, "edge_us"
    return (
        *(
            Target(
                f"unary {case}: CPU of the edge, to that over HTTP/1.1",
                1,
                _of_cases(group, ours, case, rpc.REST_1, cpu),
            )
            for case in (rpc.REST_2, rpc.REST_STREAMS)
        ),
        *(
            Target(
                f"unary {case}: CPU of the edge, to Envoy's",
                0.5,
                _against(group, case, ours, rpc.ENVOY, cpu),
            )
            for case in (rpc.REST_2, rpc.REST_STREAMS)
        ),
        *(
            Target(
                f"unary {case}: CPU of the edge, to Envoy's as a gRPC proxy",
                0.4,
                _against(group, case, ours, rpc.PROXY, cpu),
            )
            for case in (rpc.GRPC, rpc.GRPC_ONE)
        ),
        *(
            Target(
                f"unary {case}: CPU of the edge, to REST",
                0.8,
                _of_cases(group, ours, case, other, cpu),
            )
            for case, other in ((rpc.CONNECT_1, rpc.REST_1), (rpc.CONNECT_2, rpc.REST_2))
        ),
        Target(
            "shared stream, 1,000 readers on 20 connections: CPU of the edge for each event, "
            "to 1,000 of HTTP/1.1",
            0.6,
            _of_cases(group, ours, rpc.CROWD_2, rpc.CROWD_1, cpu),
        ),
        Target(
            "memory of an idle stream of HTTP/2",
            10,
            _itself(group, rpc.CROWD_2, ours, "edge_kb_each"),
            " kB",
        ),
    )


def _of_a_store() -> tuple[Target, ...]:
    """Returns the targets of a shared stream by a store, before a core on wire."""
    group, memory = shared.GROUP, shared.MEMORY
    few, many = (shared.case(count) for count in shared.COUNTS)
    sides = shared.LEADER, shared.FOLLOWER
    return (
        *(
            Target(
                f"shared stream {side}, {many}: CPU of the edge for each event, to memory",
                1.15,
                _against(group, many, side, memory, "edge_us"),
            )
            for side in sides
        ),
        *(
            Target(
                f"shared stream {side}, {few}: p50 of delivery beyond memory",
                2,
                _beyond(group, few, side, memory, "p50_ms"),
                " ms",
            )
            for side in sides
        ),
        *(
            Target(
                f"shared stream {side}: commands of the store for each message with {many}, to {few}",
                1.1,
                _of_cases(group, side, many, few, "commands"),
            )
            for side in sides
        ),
    )


_GRPC_TO_BARE: Final = "grpc.aio to bare servicer"

TARGETS: Final = (
    *_of_an_edge("ours"),
    *_of_an_edge("ours, wire", " (wire)"),
    Target(
        "unary POST: what is ours but the gRPC call and the HTTP server, to an empty uvicorn",
        0.4,
        _against("unary", _POST, "ours, no gRPC", "empty uvicorn", "edge_us", floor=True),
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
        _against("calls", _CONVERT, "grpc.aio to our core", _GRPC_TO_BARE, "core_us"),
    ),
    Target(
        "Convert on the core: CPU of the core on wire, to that on grpcio",
        0.15,
        _against("calls", _CONVERT, "wire to our core, wire", "wire to our core", "core_us"),
    ),
    Target(
        "LiveConvert, 64 messages in flight: CPU of the core on wire for each, to that on grpcio",
        0.15,
        _against("calls", _BIDI, "wire to our core, wire", "wire to our core", "core_us"),
    ),
    Target(
        "traced unary POST before a core on wire: CPU of the edge (wire), to Envoy's",
        0.65,
        _against("unary", _TRACED, "ours, wire, wire core", "Envoy, wire core", "edge_us"),
    ),
    Target(
        "traced unary POST (wire), three policies and two observers that do nothing: "
        "CPU of the edge, to none",
        1.05,
        _against("unary", _TRACED, POLICED, "ours, wire, wire core", "edge_us"),
    ),
    Target(
        "traced unary POST: CPU of edge and core, both on wire, to Envoy and a core on grpcio",
        0.3,
        _against("unary", _TRACED, "ours, wire, wire core", "Envoy", "edge_us", "core_us"),
    ),
    *_of_rpc(),
    *_of_a_store(),
    *_of_browsers(),
    *_of_watched(),
    *(
        Target(
            f"unary POST beside 2,000 {kind} with credentials of their own: p99",
            50,
            _itself("capacity", f"2000 {kind}, each with its own credentials", _WIRE, "p99_ms"),
            " ms",
        )
        for kind in ("event streams", "WebSockets", "uploads")
    ),
    Target(
        "Convert, one call at a time: p50 of wire at both ends, to grpc.aio's",
        1,
        _against("calls", "Convert, 1", "wire to our core, wire", "grpc.aio to our core", "p50_ms"),
    ),
    *_of_large("100 kB"),
    *_of_large("4 MB"),
    Target(
        "memory of the core on wire for an idle call, to that on grpcio",
        1,
        _against(
            "calls",
            "an idle call of WatchRates",
            "wire to our core, wire",
            "wire to our core",
            "core_kb_each",
        ),
    ),
    Target(
        "memory of a client on wire for an idle call, to that of grpc.aio",
        1,
        _against(
            "calls",
            "an idle call of WatchRates",
            "wire to our core, wire",
            "grpc.aio to our core, wire",
            "client_kb_each",
        ),
    ),
)
