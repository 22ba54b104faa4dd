"""What of two answers is compared, and what of it differs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.parity.client import Answer

ASPECTS: Final = ("status", "type", "headers", "messages", "end", "code", "text", "details")
HEADERS: Final = ("allow", "etag", "location", "retry-after")
"""The headers that are compared of every answer."""
_STATUS_TYPE: Final = "type.googleapis.com/google.rpc.Status"
Seen = dict[str, Any]


def seen(answer: Answer, headers: Sequence[str] = HEADERS) -> Seen:
    """Returns an answer aspect by aspect."""
    kind, _, _ = answer.headers.get("content-type", "").partition(";")
    messages, end, error = _body(kind, answer)
    return {
        "status": answer.status,
        "type": kind,
        "headers": {name: answer.headers[name] for name in headers if name in answer.headers},
        "messages": messages,
        "end": end if answer.whole else "cut",
        "code": error.get("code") if error is not None else None,
        "text": error.get("message") if error is not None else None,
        "details": error.get("details") if error is not None else None,
    }


def _body(kind: str, answer: Answer) -> tuple[Any, str, dict[str, Any] | None]:
    """Returns the messages, how they ended, and the error if there is one."""
    if kind == "text/event-stream":
        return _events(answer.body.decode())
    try:
        text = answer.body.decode()
        parsed = [json.loads(line) for line in text.splitlines() if line.strip(" \x1e")]
    except ValueError:
        try:
            parsed = [json.loads(answer.body)]
        except ValueError:
            return answer.body.decode("latin-1"), "whole", None
    if answer.status >= 400 and len(parsed) == 1 and isinstance(parsed[0], dict):
        return [], "whole", parsed[0]
    messages = parsed[0] if len(parsed) == 1 and isinstance(parsed[0], list) else parsed
    if messages and isinstance(messages[-1], dict) and messages[-1].get("@type") == _STATUS_TYPE:
        return messages[:-1], "error", messages[-1]
    return messages, "whole", None


def _events(text: str) -> tuple[Any, str, dict[str, Any] | None]:
    messages: list[Any] = []
    end, error = "whole", None
    for block in text.split("\n\n"):
        fields = [line.split(":", 1) for line in block.splitlines() if not line.startswith(":")]
        data = "\n".join(value.removeprefix(" ") for name, value in fields if name == "data")
        event = next((value.strip() for name, value in fields if name == "event"), "")
        if event == "error":
            end, error = "error", json.loads(data)
        elif event:
            end = event
        elif data:
            messages.append(json.loads(data))
    return messages, end, error


@dataclass(frozen=True)
class Compared:
    """One request, and both answers."""

    ours: Seen
    envoy: Seen

    @property
    def differing(self) -> tuple[str, ...]:
        """The aspects that differ, in their order."""
        return tuple(aspect for aspect in ASPECTS if self.ours[aspect] != self.envoy[aspect])
