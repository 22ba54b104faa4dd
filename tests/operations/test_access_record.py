"""What a line says: quick lines are those of all, sampling keeps errors, a program's lines can be JSON."""

from __future__ import annotations

import gc
import json
import logging
import re
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.app import create_app
from gateway.contract.route_table import NoRoute
from gateway.exchange.observer import EndedBy, RequestEnd
from gateway.exchange.request import Request
from gateway.exchange.served import ServedContract
from gateway.exchange.unary_end import End, UnaryEnd, whole
from gateway.operations.access_record import fields, fitting, json_line, text_line
from gateway.operations.sampling import Sampling
from gateway.operations.unary_line import UnaryLines
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream
from gateway.transcoding.request_head import RequestHead
from gateway.transcoding.rpc.grpc import Grpc
from server_process.line_writer import CHUNK_BYTES
from server_process.log_lines import Times, milliseconds
from server_process.logs import JsonFormatter, LogConfigError, configure_logs
from tests.contracts import echo_descriptor_set

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def served_echo(folder: Path) -> ServedContract:
    """Returns what is served of a contract."""
    contract = folder / "echo.binpb"
    contract.write_bytes(echo_descriptor_set())
    app = create_app(Settings(descriptor_set=contract), ScriptedUpstream({}))
    served: ServedContract = app.state.edge.served
    return served


def noted(folder: Path, **changes: Any) -> RequestEnd:
    """Returns what is noted of a unary call that went well."""
    binding = served_echo(folder).transcoder.bindings[0]
    who: tuple[Any, ...] = ("ab12", TRACEPARENT, "192.0.2.1", "", "POST", binding)
    how: tuple[Any, ...] = (200, 0, EndedBy.UPSTREAM, 5, 7, None, False, False, "")
    made = RequestEnd(1_796_000_000.25, 0.0125, *who, *how)
    return made._replace(**changes)


def ended(folder: Path, **changes: Any) -> UnaryEnd:
    """Returns the same as the exchange notes it; changes are those of a `RequestEnd`."""
    served = served_echo(folder)
    end = noted(folder, binding=served.transcoder.bindings[0], **changes)
    assert end.binding is not None
    rpc = Grpc("application/grpc", "identity") if end.rpc_wire else None
    assert end.rpc_wire in ("", "grpc")
    route = NoRoute(frozenset())  # nobody looks
    request = Request(end.http_method, end.path, RequestHead(), route, served, rpc=rpc)
    request.http_version = end.http_version
    who = end.request_id, end.traceparent, end.client, end.identity
    how = end.http_status, end.bytes_in, end.bytes_out
    return UnaryEnd(end.time, end.seconds, *who, request, end.binding, *how)


class Rendered:
    """Takes what is made of ends."""

    def __init__(self, *ends: End) -> None:
        self.made: list[RequestEnd | list[str]] = []
        UnaryLines(self.made.append, self.put_lines).render([*ends])

    def put_lines(self, data: bytes, number: int) -> None:
        """Takes lines."""
        assert data.count(b"\n") == number
        self.made.append(data.decode("ascii").splitlines())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"identity": 'a"\n\u2028\\'},
        {"identity": "x", "client": ""},
        {"client": ""},
        {"traceparent": ""},
        {"traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01"},
        {"traceparent": "00-" + "G" * 32 + "-00f067aa0ba902b7-01"},
        {"traceparent": "00-" + "A" * 32 + "-00f067aa0ba902b7-01"},
        {"traceparent": "00-" + " a" * 16 + "-00f067aa0ba902b7-01"},
        {"traceparent": "00-" + "\u0661a" * 16 + "-00f067aa0ba902b7-01"},
        {"traceparent": "00"},
        {"request_id": "a-b_c:d/e{}'"},
        {"http_method": 'A"B'},
        {"http_status": 204},
        {"http_version": "2", "rpc_wire": "grpc"},
        {"seconds": 0.0, "bytes_in": 0, "bytes_out": 999},
        {"seconds": 0.9994, "bytes_in": 999, "bytes_out": 1000},
        {"seconds": 0.9999996, "bytes_in": 1000, "bytes_out": 0},
        {"seconds": 4321.0125, "bytes_in": 123_456_789, "bytes_out": 123_456},
    ],
)
def test_the_quick_line_is_that_of_all(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Same fields, same values, same order; also behind a line that is another."""
    other, end = ended(tmp_path, client="192.0.2.9", http_method="PUT"), ended(tmp_path, **changes)
    expected = [
        json.loads(json_line(Times().shown(each.time), fields(whole(each))))
        for each in (other, end, end, other)
    ]
    (lines,) = Rendered(other, end, end, other).made

    assert isinstance(lines, list)
    assert whole(end) == noted(tmp_path, **changes)._replace(binding=end.binding)
    assert [list(json.loads(line).items()) for line in lines] == [
        list(each.items()) for each in expected
    ]


@given(st.floats(0, 1e5), st.floats(0, 4e9))
def test_quick_numbers_are_right(seconds: float, at: float) -> None:
    """Durations are those that JSON would have, but for a rounding; times are those of `datetime`."""
    assert float(milliseconds(seconds)) == pytest.approx(round(seconds * 1000, 3), abs=0.0011)
    assert re.fullmatch(r"\d+\.\d{3}", milliseconds(seconds))
    times, moment = Times(), datetime.fromtimestamp(int(at * 1000) // 1000, UTC)
    for _ in range(2):
        assert times.shown(at) == f"{moment:%Y-%m-%dT%H:%M:%S}.{int(at * 1000) % 1000:03d}Z"


@pytest.mark.parametrize(
    "changes",
    [
        *({"request_id": 'a"b'}, {"request_id": "a\\b"}),
        *({"code": 5}, {"ended_by": EndedBy.CLIENT}, {"is_over": False}),
    ],
)
def test_others_are_no_quick_line(tmp_path: Path, changes: dict[str, Any]) -> None:
    """They are made field by field, in their order among the others."""
    quick, other = ended(tmp_path), noted(tmp_path, **changes)
    end = ended(tmp_path, **changes) if "request_id" in changes else other
    before, between, behind = Rendered(quick, quick, end, quick).made

    assert isinstance(between, RequestEnd)
    assert between == other._replace(binding=between.binding)
    assert [len(before), len(behind)] == [2, 1]


def test_no_line_keeps_a_contract(tmp_path: Path) -> None:
    """What is kept of lines is text, so a contract that was replaced is given up."""
    lines = UnaryLines(lambda _: None, lambda _data, _number: None)
    end = ended(tmp_path)
    kept = weakref.ref(end.request.served.transcoder)
    lines.render([end])
    del end
    gc.collect()

    assert kept() is None


def test_the_longest_line_fits_into_a_chunk(tmp_path: Path) -> None:
    """Though each character of a caller becomes an escape."""
    long = "\U0001f600" * 5000
    record = noted(tmp_path, identity=long, path=long, request_id="x" * 128, client=long)
    for line in (json_line, text_line):
        made = fitting(line, "now", fields(record, with_path=True))
        assert 1000 < len(made) <= CHUNK_BYTES
    assert (
        len(fitting(json_line, "now", fields(record._replace(identity="", path="")))) < CHUNK_BYTES
    )


def test_the_first_rule_that_matches_decides_and_errors_stay() -> None:
    """By status, by method and by path."""
    sampling = Sampling(["/healthz=0", "a.B/*=1", "2xx=0"])

    assert not sampling.keep(200, "", "/healthz")
    assert sampling.keep(503, "", "/healthz")
    assert sampling.keep(200, "a.B/C", "/c")
    assert not sampling.keep(200, "a.D/C", "/c")
    assert sampling.keep(101, "a.D/C", "/c")
    half = Sampling(["200=0.5"])
    kept = sum(half.keep(200, "a.B/C", "/c") for _ in range(2000))
    assert 800 < kept < 1200


@pytest.mark.parametrize("rule", ["5xx=0.1", "404=0", "2xx=2", "2xx", "2xx=x", "=1", "a b=1"])
def test_a_wrong_rule_stops_the_start(rule: str) -> None:
    """With the setting's name and what is wrong."""
    with pytest.raises(ValidationError, match="access_log_sample"):
        Settings(descriptor_set=Path("x"), access_log_sample=(rule,))


def test_a_line_of_the_program_is_json() -> None:
    """What it says of a request are fields; control characters cannot break it."""
    text = "request ab GET /v1/x: failed\nERROR: forged"
    record = logging.LogRecord("gateway.x", logging.WARNING, "", 0, text, (), None)
    line = json.loads(JsonFormatter().format(record))

    del line["time"]
    assert line == {
        "level": "WARNING",
        "logger": "gateway.x",
        "request_id": "ab",
        "http_method": "GET",
        "path": "/v1/x",
        "message": "failed ERROR: forged",
    }


def test_a_wrong_log_config_is_one_line(tmp_path: Path) -> None:
    """With the setting's name, the file, and why."""
    for name, text in (("a.yaml", "handlers: ["), ("a.json", "[]"), ("b.yaml", "version: 7")):
        file = tmp_path / name
        file.write_text(text)
        with pytest.raises(LogConfigError, match=f"log_config: {file}: [^\n]+$"):
            configure_logs("info", (), config=file)
    with pytest.raises(LogConfigError, match="No such file"):
        configure_logs("info", (), config=tmp_path / "none")
