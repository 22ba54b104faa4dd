"""`docs/reference/parity.md`, from the results of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from tests.parity.admission import SECTIONS
from tests.parity.compare import Compared, Seen
from tests.parity.differences import DIFFERENCES, Difference, shows
from tests.parity.requests import Case, cases

_HEAD: Final = """\
# Parity with Envoy

`python scripts/parity.py` writes this page; do not edit it.

The same requests are sent to protoway and to a real Envoy that runs the configuration of `protoway envoy`. \
Behind both are the same servers: that of the tests' own contract, the demo's core, and one that is down. \
These are compared:

- HTTP status, media type, and the headers that carry meaning: `Allow`, `Retry-After`, those of caching and \
of metadata. Not compared are `Date`, `Server`, and the `Grpc-Status` that Envoy adds.
- How messages are framed, every message as parsed JSON, and how a stream ends.
- Code, message and details of an error.
- Trailing metadata of gRPC, gRPC-Web and Connect. `grpc` and `connect-http2` go over HTTP/2, others over 1.1.

A difference that is not listed here fails the tests, and so does a listed one that no longer occurs. The \
tables show what each edge answered, as far as the answers differ.

## The requests
"""
_ADMISSION: Final = """\
## Admission

Both edges are made from one settings file: `protoway serve --config FILE` and `protoway envoy --config \
FILE`. The requests have tokens that are good, or wrong in one way. Each answer is its HTTP status and its \
gRPC code. `tokens` needs an identity for all requests, `rights` has rules, `closed` has the same rules and \
accepts no tokens, and `open` has one rule that makes all methods anonymous. [Admission](admission.md#envoy) \
lists what is rendered, and what is refused.
"""
_MAX_SHOWN: Final = 64


def render_page(results: Mapping[str, Compared]) -> str:
    """Returns the page."""
    admission = {case.name for case in cases() if case.server in SECTIONS}
    others = {name: each for name, each in results.items() if name not in admission}
    parts = (
        *(_HEAD, *_groups(others), "", _ADMISSION),
        *_admission({name: each for name, each in results.items() if name in admission}),
        "",
        *("## The differences", "", *_list(results)),
    )
    return "\n".join(parts)


def _groups(results: Mapping[str, Compared]) -> Iterator[str]:
    names: dict[str, list[bool]] = {}
    for request, compared in results.items():
        same = not set(compared.differing) - {"text", "details"}
        names.setdefault(request.partition("/")[0], []).append(same)
    yield "| Requests | Number | Same answer, except for words |"
    yield "| --- | --- | --- |"
    for name, alike in names.items():
        yield f"| {name} | {len(alike)} | {sum(alike)} |"
    every = [same for alike in names.values() for same in alike]
    yield f"| **all** | **{len(every)}** | **{sum(every)}** |"


def _admission(results: Mapping[str, Compared]) -> Iterator[str]:
    yield "| Request / credential | protoway | Envoy | |"
    yield "| --- | --- | --- | --- |"
    for name, compared in results.items():
        ours, envoy = (
            " ".join(str(side[aspect]) for aspect in ("status", "code") if side[aspect] is not None)
            for side in (compared.ours, compared.envoy)
        )
        yield f"| {name} | {ours} | {envoy} | {'' if ours == envoy else 'differs'} |"


def _list(results: Mapping[str, Compared]) -> Iterator[str]:
    table = {case.name: case for case in cases()}
    for difference in DIFFERENCES:
        yield f"### {difference.name[0].upper()}{difference.name[1:]}"
        yield ""
        yield f"{difference.reason} {_SUPPORT[difference.right]}"
        yield ""
        if not set(difference.aspects) <= {"text", "details"} or "words" not in difference.name:
            yield from _requests(difference, table, results)
            yield ""


_SUPPORT: Final = {
    "protoway": "*The specification is with protoway.*",
    "Envoy": "*The specification is with Envoy.*",
    "neither": "*The specification leaves it open.*",
}


def _requests(
    difference: Difference, table: Mapping[str, Case], results: Mapping[str, Compared]
) -> Iterator[str]:
    yield "| Request | | protoway | Envoy |"
    yield "| --- | --- | --- | --- |"
    names = dict.fromkeys(
        name for pattern in difference.requests for name in shows(difference, pattern, results)
    )
    for name in names:
        case, compared = table[name], results[name]
        target = _short(case.target.replace("|", "%7C"))
        differing = set(compared.differing) & set(difference.aspects)
        ours = _answer(compared.ours, compared.envoy, differing)
        envoy = _answer(compared.envoy, compared.ours, differing)
        yield f"| {name} | `{case.method} {target}` | {ours} | {envoy} |"


def _answer(side: Seen, other: Seen, differing: set[str]) -> str:
    """Returns the status of an answer, and the aspects that differ from the other side's."""
    shown = [str(side["status"] or "none")]
    rpc = side["framing"] == "frames"
    for aspect in _OF_RPC if rpc else _TOLD[_fails(side), _fails(other)]:
        value = side[aspect]
        if aspect == "end" and other[aspect] == "error" and not rpc:
            # whose clock is first at a deadline, the server's or Envoy's, says how it ends
            value = "without a word"
        if aspect in differing and value not in ({}, None) and side["status"]:
            text = (
                value
                if isinstance(value, str)
                else json.dumps(value, sort_keys=aspect == "details")
            )
            shown.append(f"{aspect} `{_short(text or 'none')}`")
    return ", ".join(shown).replace("|", "\\|").replace("\n", " ")


_TOLD: Final = {
    (False, False): ("type", "headers", "framing", "messages", "end"),
    (False, True): ("messages",),
    (True, False): ("code", "headers"),
    (True, True): ("code", "type", "headers", "details"),
}
"""(this side fails, the other side fails) -> the aspects of this side to show beside its status."""
_OF_RPC: Final = ("type", "headers", "messages", "end", "trailers", "code", "details")
"""The same for answers whose status is no HTTP status."""


def _fails(side: Seen) -> bool:
    return not 0 < side["status"] < 400


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
