"""Start-up and matching with few and with many bindings: `python -m bench.routes`."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.contracts import many_bindings
from bench.timing import side_by_side
from gateway.contract.descriptors import load
from gateway.contract.route_table import RouteMatch
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.transcoder import Transcoder

_COUNTS = (10, 500, 5_000)


def main() -> None:
    """Prints one line for each number of bindings."""
    matches: dict[str, Callable[[], object]] = {}
    for count in _COUNTS:
        began = time.perf_counter()
        transcoder = Transcoder(load(many_bindings(count)), JsonOptions())
        print(f"start-up with {count:5} bindings: {time.perf_counter() - began:6.3f} s")
        matches[str(count)] = matching(transcoder, count)
    times = side_by_side(matches)
    for count in _COUNTS:
        ratio = times[str(count)] / times[str(_COUNTS[0])]
        print(f"a match among {count:5}: {times[str(count)]:6.2f} µs of CPU, {ratio:.2f} x")


def matching(transcoder: Transcoder, count: int) -> Callable[[], object]:
    """Returns what matches the last binding's path."""
    binding = transcoder.bindings[count - 1]
    path = "/v1/" + "/".join("x" if part == "*" else part for part in binding.template.segments[1:])
    assert isinstance(transcoder.match("GET", path), RouteMatch)
    return lambda: transcoder.match("GET", path)


if __name__ == "__main__":
    main()
