"""What the steps of a request cost, against a committed baseline: `python -m bench.micro`.

A cost is told as a ratio to a loop of plain Python that is timed beside it, turn by turn, so that what one
machine has seen holds on another. An interpreter changes the ratios, so each version of Python has a
baseline of its own. A step that has become a fifth dearer fails the run.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench import wire_steps
from bench.contracts import filled, many_bindings, messages, path_of, points
from bench.timing import calls_in, taken
from gateway.contract.descriptors import load
from gateway.contract.route_table import RouteMatch
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.frame_decoders import JsonArrayDecoder, NdjsonDecoder
from gateway.transcoding.frame_encoders import JsonArrayEncoder, NdjsonEncoder, SseEncoder
from gateway.transcoding.transcoder import Transcoder

Ways = Mapping[str, Callable[[], object]]

ALLOWED: Final = 1.2
_BASELINE: Final = Path(__file__).with_name("baseline.json")
_ROUNDS: Final = 31
_ROUND_SECONDS: Final = 0.004
_TRIES: Final = 3
"""Of which a baseline is the median. Noise makes a step seem dearer, never cheaper, so it is timed again."""
_POINT: Final = b'{"name":"Frankfurt","count":7,"weight":89.5}'
_LINES: Final = (_POINT + b"\n") * 50
_ARRAY: Final = b"[" + b",".join([_POINT] * 50) + b"]"
_TEXT: Final = "a small loop of plain python that nobody will ever change or make faster"
_MAX_FRAME: Final = 2**20


def reference() -> int:
    """The loop that all is compared with: calls, dictionaries, texts and slices, as our code has them."""
    counts: dict[str, int] = {}
    for word in _TEXT.split(" "):
        counts[word] = counts.get(word, 0) + len(word.encode()) + word.count("a")
    return sum(counts.values())


def ways() -> dict[str, Callable[[], object]]:
    """Returns each step, ready to be called."""
    return {**_matches(), **_codecs(), **_framings(), **wire_steps.ways()}


def _matches() -> Ways:
    transcoder = Transcoder(load(many_bindings(500)), JsonOptions())
    path = path_of(499)
    return {
        "match": lambda: transcoder.match("GET", path),
        "no match": lambda: transcoder.match("GET", path + "/y"),
    }


def _codecs() -> Ways:
    transcoder = Transcoder(load(points()), JsonOptions())

    def endpoint(verb: str, path: str) -> Endpoint:
        found = transcoder.match(verb, path)
        assert isinstance(found, RouteMatch)
        return found.target

    echo, asked = endpoint("POST", "/points"), endpoint("GET", "/points")
    listed = endpoint("POST", "/batches")
    point, batch, _ = messages()
    one = point(name="Frankfurt", count=7, weight=89.5).SerializeToString()
    fifty = filled(batch, 50).SerializeToString()
    text = listed.encode_response(fifty)
    query = b"name=Frankfurt&count=7&weight=89.5"
    return {
        "decode a body of 1 message": lambda: echo.decode_request((), b"", _POINT),
        "decode a body of 50 messages": lambda: listed.decode_request((), b"", text),
        "decode a query": lambda: asked.decode_request((), query, b""),
        "encode 1 message": lambda: echo.encode_response(one),
        "encode 50 messages": lambda: listed.encode_response(fifty),
    }


def _framings() -> Ways:
    def decoding(decoder: Callable[[int], Any], data: bytes) -> Callable[[], object]:
        def decode() -> list[bytes]:
            fresh = decoder(_MAX_FRAME)
            return [*fresh.feed(data), *fresh.close()]

        assert len(decode()) == 50
        return decode

    sse, ndjson, array = SseEncoder(2000), NdjsonEncoder(), JsonArrayEncoder()
    return {
        "frame as SSE": lambda: sse.message(_POINT, b"7"),
        "frame as NDJSON": lambda: ndjson.message(_POINT, b""),
        "frame as a JSON array": lambda: array.message(_POINT, b""),
        "unframe 50 lines": decoding(NdjsonDecoder, _LINES),
        "unframe an array of 50": decoding(JsonArrayDecoder, _ARRAY),
    }


def ratio(way: Callable[[], object]) -> float:
    """Returns what a step costs, in loops of the reference; the median of many turns."""
    calls, loops = calls_in(_ROUND_SECONDS, way), calls_in(_ROUND_SECONDS, reference)
    ratios = [
        (taken(way, calls) / calls) / (taken(reference, loops) / loops) for _ in range(_ROUNDS)
    ]
    return statistics.median(ratios)


def regressions(seen: Mapping[str, float], baseline: Mapping[str, float]) -> list[str]:
    """Returns the steps that have become dearer than is allowed; one without a baseline is one too."""
    return [name for name, cost in seen.items() if cost > ALLOWED * baseline.get(name, 0.0)]


def measure(steps: Ways, baseline: Mapping[str, float]) -> dict[str, float]:
    """Returns what each step costs; one that seems dearer is timed again, and its least cost counts.

    Without a baseline it is the median of some tries.
    """
    if not baseline:
        return {
            name: statistics.median(ratio(way) for _ in range(_TRIES))
            for name, way in steps.items()
        }
    seen = {name: ratio(way) for name, way in steps.items()}
    for _ in range(_TRIES):
        for name in regressions(seen, baseline):
            seen[name] = min(seen[name], ratio(steps[name]))
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Times all; returns 1 where a step has become dearer."""
    parser = argparse.ArgumentParser(prog="python -m bench.micro", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make what is seen the baseline")
    options = parser.parse_args(arguments)
    version = ".".join(platform.python_version_tuple()[:2])
    known: dict[str, dict[str, float]] = json.loads(_BASELINE.read_text())
    baseline = {} if options.write else known.get(version, {})
    seen = measure(ways(), baseline)
    for name, cost in seen.items():
        base = baseline.get(name)
        print(f"{name:32}{cost:9.4f}" + (f"{cost / base:9.2f} x" if base else ""))
    if options.write:
        known[version] = {name: round(cost, 4) for name, cost in seen.items()}
        _BASELINE.write_text(json.dumps(known, indent=1) + "\n")
        return 0
    if not baseline:
        print(f"no baseline for Python {version}; --write makes one")
        return 0
    worse = regressions(seen, baseline)
    if worse:
        print(f"dearer by more than {ALLOWED - 1:.0%}: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
