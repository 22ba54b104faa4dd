"""What holds for every answer, whatever was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

from gateway.transcoding.status import HTTP_STATUS, UNKNOWN, StatusError
from tests.fuzz.drive import Exchanged
from tests.fuzz.requests import HttpRequest, UpstreamAnswer, WebSocketSession

_TIMEOUT_HEADERS = (b"grpc-timeout", b"x-server-timeout")
_DEADLINE_EXCEEDED = 4
_INTERNAL_CODES = frozenset(code for code, status in HTTP_STATUS.items() if status >= 499)
_PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "details"}


def http_faults(request: HttpRequest, exchanged: Exchanged) -> list[str]:
    """Returns what is wrong with an HTTP answer."""
    faults = [f"left behind: {problem}" for problem in exchanged.problems]
    if exchanged.error is not None:
        faults.append(f"raised {exchanged.error!r}")
    left = request.leaves or exchanged.left
    if left and (not exchanged.sent or exchanged.sent[0]["status"] == 499):
        return faults  # nobody reads it; middleware sees a bare 499
    faults += _order_faults(exchanged.sent, must_end=not left)
    if faults:
        return faults
    if _is_the_frameworks(request):
        return []
    return [*_head_faults(request, exchanged), *_body_faults(request, exchanged.sent)]


def _is_the_frameworks(request: HttpRequest) -> bool:
    """Whether a request is for a route of Starlette's, which leaves it to the server to cut a HEAD."""
    path = unquote(request.path.decode("latin-1"))
    return request.method == "HEAD" and path in ("/healthz", "/docs", "/openapi.json")


def _order_faults(sent: list[dict[str, Any]], *, must_end: bool) -> list[str]:
    types = [event["type"] for event in sent]
    if types[:1] != ["http.response.start"] or set(types[1:]) - {"http.response.body"}:
        return [f"not a start and bodies: {types[:5]}"]
    open_ended = [event.get("more_body", False) for event in sent[1:]]
    if False in open_ended[:-1]:
        return ["more after the end"]
    if must_end and open_ended[-1:] != [False]:
        return ["not complete"]
    return []


def _head_faults(request: HttpRequest, exchanged: Exchanged) -> list[str]:
    start = exchanged.sent[0]
    status, headers = start["status"], start["headers"]
    faults = []
    if status >= 499 and status not in _allowed_failures(request, exchanged.asked):
        faults.append(f"status {status}, which nobody asked for")
    for name, value in headers:
        if not isinstance(name, bytes) or name != name.lower() or set(value) & set(b"\r\n\0"):
            faults.append(f"header {name!r}: {value!r}")
    return [*faults, *_repeated([name for name, _ in headers])]


def _repeated(names: list[bytes]) -> list[str]:
    once = (b"content-type", b"content-length", b"x-request-id")
    return [f"{name!r} is there more than once" for name in once if names.count(name) > 1]


def _allowed_failures(request: HttpRequest, asked: Iterable[int]) -> set[int]:
    allowed = {HTTP_STATUS.get(code, HTTP_STATUS[UNKNOWN]) for code in asked}
    if any(name in _TIMEOUT_HEADERS for name, _ in request.headers):
        allowed.add(HTTP_STATUS[_DEADLINE_EXCEEDED])
    return allowed


def _body_faults(request: HttpRequest, sent: list[dict[str, Any]]) -> list[str]:
    headers = dict(sent[0]["headers"])
    body = b"".join(event.get("body", b"") for event in sent[1:])
    if request.method == "HEAD":
        return ["a body after HEAD"] if body else []
    length = headers.get(b"content-length")
    if length is not None and int(length) != len(body):
        return [f"content-length {length!r} for {len(body)} bytes"]
    if sent[0]["status"] >= 400:
        return _error_faults(headers.get(b"content-type", b""), body)
    if sent[0]["status"] != 200 or request.path.startswith((b"/v1/raw", b"/docs")):
        return []  # an HttpBody is whatever it says it is
    ended = not sent[-1].get("more_body")
    return _framing_faults(headers.get(b"content-type", b""), body) if ended else []


_LAST_EVENT: Final = re.compile(rb"(id: end\n|retry: \d+\n)?event: (end|error)\n")
"""How the last event of a stream starts."""


def _framing_faults(content_type: bytes, body: bytes) -> list[str]:
    """Returns what is wrong with the framing of an answer that has come to its end."""
    if content_type == b"text/event-stream":
        *_, last, nothing = body.split(b"\n\n")
        ends = _LAST_EVENT.match(last) and not nothing
        return [] if ends else [f"an event stream that ends in {last[:80]!r}"]
    texts = body.splitlines() if content_type == b"application/x-ndjson" else [body]
    try:
        for text in texts:
            json.loads(text)
    except ValueError as error:
        return [f"{content_type!r} that is not: {error}"]
    return []


def _error_faults(content_type: bytes, body: bytes) -> list[str]:
    try:
        error = json.loads(body)
    except ValueError:
        return [f"an error that is not JSON: {content_type!r} {body[:80]!r}"]
    if content_type == b"application/problem+json":
        return [] if error.keys() <= _PROBLEM_MEMBERS else [f"no problem details: {error}"]
    if content_type != b"application/json" or not _is_status(error):
        return [f"no google.rpc.Status: {content_type!r} {body[:80]!r}"]
    return []


def _is_status(error: Any) -> bool:
    return (
        isinstance(error, dict)
        and error.keys() <= {"code", "message", "details"}
        and isinstance(error.get("code"), int)
        and isinstance(error.get("message", ""), str)
        and all("@type" in detail or not detail for detail in error.get("details", []))
    )


def answer_faults(answer: UpstreamAnswer, exchanged: Exchanged) -> list[str]:
    """Returns what is wrong with what the edge makes of an answer; a server may fail, the edge may not."""
    asked = [*exchanged.asked, *_INTERNAL_CODES]
    request = HttpRequest("GET", answer.path, b"", [], [b""], leaves=False)
    if isinstance(exchanged.error, StatusError) and answer.path == b"/v1/raw:download":
        return exchanged.problems  # cut: among raw data there is no room for a status
    exchanged.asked = asked
    return http_faults(request, exchanged)


def websocket_faults(session: WebSocketSession, exchanged: Exchanged) -> list[str]:
    """Returns what is wrong with what was said over a WebSocket."""
    faults = [f"left behind: {problem}" for problem in exchanged.problems]
    if exchanged.error is not None:
        faults.append(f"raised {exchanged.error!r}")
    sent = exchanged.sent
    first = sent[0]["type"] if sent else ""
    if first == "websocket.accept":
        return [*faults, *_conversation_faults(sent[1:], exchanged.asked)]
    if first == "websocket.http.response.start":
        return [*faults, *_refusal_faults(session, sent)]
    if first == "websocket.close" and len(sent) == 1 and not session.can_refuse_in_json:
        return faults
    return [*faults, f"neither taken nor refused: {sent[:3]}"]


def _refusal_faults(session: WebSocketSession, sent: list[dict[str, Any]]) -> list[str]:
    if not session.can_refuse_in_json:
        return ["a refusal in HTTP, which this server cannot send"]
    if sent[0]["status"] not in range(400, 499):
        return [f"refused with {sent[0]['status']}"]
    body = b"".join(event.get("body", b"") for event in sent[1:])
    if sent[-1].get("more_body"):
        return ["a refusal that does not end"]
    return _error_faults(dict(sent[0]["headers"]).get(b"content-type", b""), body)


def _conversation_faults(sent: list[dict[str, Any]], asked: list[int]) -> list[str]:
    faults = []
    closes = [event for event in sent if event["type"] == "websocket.close"]
    for event in sent:
        if event["type"] == "websocket.send":
            try:
                json.loads(event["text"])
            except (KeyError, ValueError):
                faults.append(f"a frame that is not JSON: {event}")
        elif event["type"] != "websocket.close":
            faults.append(f"an event out of place: {event}")
    if closes and (len(closes) > 1 or sent[-1] is not closes[0]):
        faults.append("more after the close")
    return faults + [fault for close in closes for fault in _close_faults(close, asked)]


def _close_faults(close: dict[str, Any], asked: list[int]) -> list[str]:
    code, reason = close["code"], close["reason"]
    faults = []
    if code not in (1000, 1009) and code - 4000 not in HTTP_STATUS:
        faults.append(f"close code {code}")
    if code - 4000 in _INTERNAL_CODES and not asked:
        faults.append(f"close code {code}, which nobody asked for: {reason}")
    if len(reason.encode()) > 123:
        faults.append(f"a reason of {len(reason.encode())} bytes")
    return faults
