"""Which media type a caller gets."""

from __future__ import annotations

import pytest

from gateway.transcoding.negotiation import choose

NDJSON, SSE, JSON = "application/x-ndjson", "text/event-stream", "application/json"
OFFERED = (NDJSON, SSE, JSON)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", NDJSON),
        ("  ", NDJSON),
        ("*/*", NDJSON),
        ("text/event-stream", SSE),
        ("TEXT/Event-Stream", SSE),
        ("text/*", SSE),
        ("application/*", NDJSON),
        ("application/json", JSON),
        ("application/json, text/event-stream", SSE),
        ("application/json, text/event-stream;q=0.9", JSON),
        ("application/json;q=0.5, */*;q=0.1", JSON),
        ("*/*, application/x-ndjson;q=0", SSE),
        ("*/*;q=0.5, application/json", JSON),
        ("application/*;q=0.9, application/x-ndjson;q=0.1", JSON),
        ("application/json;charset=utf-8", JSON),
        ("application/json ; q=0.5 , text/event-stream ; q=0.4", JSON),
        ("text/event-stream;q=0.001", SSE),
        ("text/event-stream;Q=1.000", SSE),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", NDJSON),
        ("text/html", None),
        ("application/json;q=0", None),
        ("*/*;q=0", None),
        ("application/json;q=0.0, */*;q=0", None),
        ("application/json;q=2", None),
        ("application/json;q=-1", None),
        ("application/json;q=nan", None),
        ("application/json;q=inf, text/event-stream;q=0.1", SSE),
        ("application/json;q=", None),
        ("application/json;q=1_0", None),
        ("application/json;q=0.1234", None),
        (",,application/json,,", JSON),
        ("nonsense", None),
    ],
)
def test_chooses(accept: str, expected: str | None) -> None:
    """The best quality wins, by the most specific range; of equals the first; an unreadable one is none."""
    assert choose(accept, OFFERED) == expected
