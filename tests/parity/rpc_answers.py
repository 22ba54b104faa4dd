"""Answers of gRPC, gRPC-Web and Connect, in the aspects that are compared of every answer."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from google.rpc.status_pb2 import Status

from tests.parity.client import Answer

_COMPRESSED: Final = 1
_END: Final = 2
_TRAILERS: Final = 0x80
_STATUS: Final = ("grpc-status", "grpc-message", "grpc-status-details-bin")
Body = tuple[str, Any, str, dict[str, Any] | None]
"""How messages are framed, the messages, how they ended, and the error if there is one."""


@dataclass(frozen=True)
class RpcAnswer:
    """What an answer says in its protocol."""

    body: Body
    trailers: dict[str, str]
    """Trailing metadata, without the status."""


def parsed(kind: str, answer: Answer) -> RpcAnswer | None:
    """Returns what an answer of a media type says; None if it is of none of these protocols."""
    if kind.startswith("application/grpc-web"):
        return _web(answer, text=kind.startswith("application/grpc-web-text"))
    if kind.startswith("application/grpc"):
        messages = [_text(payload) for _, payload in _frames(answer.body)]
        return _grpc(messages, answer.trailers or answer.headers)
    if kind.startswith("application/connect+"):
        return _connect_stream(answer)
    trailers = {
        name.removeprefix("trailer-"): value
        for name, value in answer.headers.items()
        if name.startswith("trailer-")
    }
    if kind == "application/proto":
        return RpcAnswer(("message", [_text(answer.body)], "whole", None), trailers)
    return None


def _grpc(messages: list[str], trailers: dict[str, str]) -> RpcAnswer:
    """Returns an answer of gRPC; one without messages may have its status in its headers."""
    code = trailers.get("grpc-status")
    others = {name: trailers[name] for name in ("cost",) if name in trailers}
    if code in (None, "0"):
        end = "without a status" if code is None else "whole"
        return RpcAnswer(("frames", messages, end, None), others)
    details = base64.b64decode(trailers.get("grpc-status-details-bin", "") + "==")
    error = {
        "code": int(code or 0),
        "message": unquote(trailers.get("grpc-message", "")),
        "details": [each.type_url for each in Status.FromString(details).details],
    }
    return RpcAnswer(("frames", messages, "error", error), others)


def _web(answer: Answer, *, text: bool) -> RpcAnswer:
    body = answer.body
    if text:  # each piece has its own padding
        pieces = (body[at : at + 4] for at in range(0, len(body), 4))
        body = b"".join(map(base64.b64decode, pieces))
    frames = _frames(body)
    messages = [_text(payload) for flags, payload in frames if not flags & _TRAILERS]
    ends = [payload for flags, payload in frames if flags & _TRAILERS]
    if not ends:
        return _grpc(messages, answer.headers)
    lines = ends[0].decode().strip().splitlines()
    fields = (line.split(":", 1) for line in lines)
    return _grpc(messages, {name.lower(): value.strip() for name, value in fields})


def _connect_stream(answer: Answer) -> RpcAnswer:
    frames = _frames(answer.body)
    messages = [_text(payload) for flags, payload in frames if not flags & _END]
    ends = [json.loads(payload) for flags, payload in frames if flags & _END]
    if not ends:
        return RpcAnswer(("frames", messages, "without a status", None), {})
    error, metadata = ends[0].get("error"), ends[0].get("metadata", {})
    trailers = {name.lower(): ", ".join(values) for name, values in metadata.items()}
    end = "whole" if error is None else "error"
    return RpcAnswer(("frames", messages, end, error), trailers)


def _frames(body: bytes) -> list[tuple[int, bytes]]:
    """Returns flags and payload of each frame."""
    found = []
    while body:
        size = int.from_bytes(body[1:5])
        found.append((body[0], body[5 : 5 + size]))
        body = body[5 + size :]
    return found


def _text(message: bytes) -> str:
    return message.decode("latin-1")
