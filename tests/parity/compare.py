"""What of two answers is compared, and what of it differs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.parity.client import Answer
from tests.parity.rpc_answers import parsed

ASPECTS: Final = (
    *("status", "type", "headers", "framing", "messages", "end"),
    *("trailers", "code", "text", "details"),
)
HEADERS: Final = (
    *("allow", "cache-control", "content-encoding", "etag", "location", "retry-after"),
    "x-accel-buffering",
)
"""The headers that are compared of every answer."""
_STATUS_TYPE: Final = "type.googleapis.com/google.rpc.Status"
Seen = dict[str, Any]


def seen(answer: Answer, headers: Sequence[str] = HEADERS) -> Seen:
    """Returns an answer aspect by aspect."""
    kind, _, _ = answer.headers.get("content-type", "").partition(";")
    rpc = parsed(kind, answer)
    framing, messages, end, error = rpc.body if rpc else _body(kind, answer)
    return {
        "status": answer.status,
        "type": kind,
        "headers": {name: answer.headers[name] for name in headers if name in answer.headers},
        "framing": framing,
        "messages": messages,
        "end": end if answer.whole else "cut",
        "trailers": rpc.trailers if rpc else {},
        "code": error.get("code") if error is not None else None,
        "text": error.get("message") if error is not None else None,
        "details": error.get("details") if error is not None else None,
    }


def _body(kind: str, answer: Answer) -> tuple[str, Any, str, dict[str, Any] | None]:
    """Returns how the messages are framed, the messages, how they ended, and the error if there is one."""
    if kind == "text/event-stream":
        return "events", *_events(answer.body.decode())
    try:
        framing, parsed = _texts(answer.body.decode())
    except ValueError:
        return "data", answer.body.decode("latin-1"), "whole", None
    if answer.status >= 400 and framing == "one":
        return framing, [], "whole", parsed[0]
    if parsed and isinstance(parsed[-1], dict) and parsed[-1].get("@type") == _STATUS_TYPE:
        return framing, parsed[:-1], "error", parsed[-1]
    return framing, parsed, "whole", None


def _texts(body: str) -> tuple[str, list[Any]]:
    """Returns how texts of JSON are framed, and the texts; one alone, and none, have no framing."""
    if not body:
        return "nothing", []
    try:
        whole = _json(body)
    except ValueError:
        framing = "sequence" if body.startswith("\x1e") else "lines"
        return framing, [_json(line.strip("\x1e")) for line in body.split("\n") if line]
    return ("array", whole) if isinstance(whole, list) else ("one", [whole])


def _json(text: str) -> Any:
    """Parses JSON as RFC 8259 has it, without NaN and infinities; 1.0 is the number 1."""
    return json.loads(text, parse_float=_number, parse_constant=_refuse)


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _events(text: str) -> tuple[Any, str, dict[str, Any] | None]:
    messages: list[Any] = []
    end, error = "whole", None
    for block in text.split("\n\n"):
        fields = [line.split(":", 1) for line in block.splitlines() if not line.startswith(":")]
        data = "\n".join(value.removeprefix(" ") for name, value in fields if name == "data")
        event = next((value.strip() for name, value in fields if name == "event"), "")
        if event == "error":
            end, error = "error", _json(data)
        elif event:
            end = event
        elif data:
            messages.append(_json(data))
    return messages, end, error


@dataclass(frozen=True)
class Compared:
    """One request, and both answers."""

    ours: Seen
    envoy: Seen

    @property
    def differing(self) -> tuple[str, ...]:
        """The aspects that differ, in their order."""
        return tuple(
            aspect for aspect in ASPECTS if _exact(self.ours[aspect]) != _exact(self.envoy[aspect])
        )


def _exact(aspect: Any) -> str:
    """Returns what tells 1 from true, which are equal in Python."""
    return json.dumps(aspect, sort_keys=True)
