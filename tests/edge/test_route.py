"""What happens to requests before they have an endpoint, or when they have none."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Never

import pytest
from fastapi import FastAPI

from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import StatusError
from tests.edge.asgi import Request, ask, connect, http_scope, running
from tests.edge.conftest import MakeApp


async def test_an_unknown_path_is_404_in_json(app: FastAPI) -> None:
    """A path that nothing is bound to has the body that every error has."""
    answer = await ask(app, "GET", "/nowhere")

    assert (answer.status, answer.json["code"]) == (404, 5)


async def test_a_wrong_method_is_405_with_allow(app: FastAPI) -> None:
    """A path that other methods reach says which they are (RFC 9110, 15.5.6)."""
    answer = await ask(app, "PUT", "/v1/echo")

    assert (answer.status, answer.json["code"]) == (405, 12)
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    ("target", "status"), [("/v1/echo?int32Field=1", 200), ("/v1/upload", 405), ("/v1/fail/5", 404)]
)
async def test_an_answer_to_head_is_get_without_the_body(
    app: FastAPI, target: str, status: int
) -> None:
    """HEAD has the status and headers of GET, and no body (RFC 9110, 9.3.2)."""
    answer = await ask(app, "HEAD", target)
    get = await ask(app, "GET", target)

    assert (answer.status, answer.body) == (status, b"")
    assert answer.headers["content-length"] == str(len(get.body))


async def test_head_of_a_stream_opens_no_call(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A stream may have no end, so its head is told without it."""
    answer = await ask(app, "HEAD", "/v1/hang-stream", headers={"accept": "text/event-stream"})

    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert upstream.calls == []


async def test_options_says_what_a_path_takes(app: FastAPI) -> None:
    """OPTIONS is answered for every path of the contract, without a call."""
    answer = await ask(app, "OPTIONS", "/v1/upload")

    assert (answer.status, answer.headers["allow"]) == (204, "OPTIONS, POST")
    assert (await ask(app, "OPTIONS", "/nowhere")).status == 404


async def test_a_request_has_an_id(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A caller's id is kept, and one is made where it gave none; upstream and answer both have it."""
    given = await ask(app, "GET", "/v1/echo", headers={"x-request-id": "mine"})
    made = await ask(app, "GET", "/v1/echo")

    assert given.headers["x-request-id"] == "mine"
    assert len(made.headers["x-request-id"]) == 32
    assert [dict(call.metadata)["x-request-id"] for call in upstream.calls] == [
        "mine",
        made.headers["x-request-id"],
    ]


@pytest.mark.parametrize("unusable", ["a b", "", "a\tb", "é", "x" * 129, "a\x7f"])
@pytest.mark.parametrize("path", ["/v1/echo", "/nowhere", "/v1/stream/x?int32Field=1"])
async def test_an_id_that_cannot_travel_is_replaced(
    app: FastAPI, upstream: ScriptedUpstream, path: str, unusable: str
) -> None:
    """The request is answered as one without an id; upstream and answer both have the one that is made."""
    plain = await ask(app, "GET", path)
    answer = await ask(app, "GET", path, headers={"x-request-id": unusable})

    assert (answer.status, answer.body) == (plain.status, plain.body)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    if path != "/nowhere":
        keys = [value for key, value in upstream.calls[-1].metadata if key == "x-request-id"]
        assert keys == [answer.headers["x-request-id"]]


async def test_a_path_that_is_not_utf8_is_400(app: FastAPI) -> None:
    """A captured text that no string can hold is the caller's fault."""
    answer = await ask(app, "GET", "/v1/echo/%FF")

    assert answer.status == 400


async def test_only_the_raw_path_counts(app: FastAPI) -> None:
    """An encoded slash is part of a segment, whatever the decoded path looks like."""
    answer = await ask(app, "GET", "/v1/names/a%2Fb")

    assert answer.json == "a/b"


async def test_a_custom_method_is_routed(app: FastAPI) -> None:
    """A custom pattern's kind is an HTTP method like any other."""
    answer = await ask(app, "REPORT", "/v1/reports")

    assert answer.status == 200


async def test_the_frameworks_own_routes_are_there(app: FastAPI) -> None:
    """Liveness, the document and its page answer beside the contract."""
    health, document, page = [
        await ask(app, "GET", target) for target in ("/healthz", "/openapi.json", "/docs")
    ]

    assert health.json == {"status": "SERVING"}
    assert "/v1/echo/{string_field}" in document.json["paths"]
    assert page.status == 200


@pytest.mark.parametrize(
    ("setting", "name", "types"),
    [
        ({"print_proto_names": True}, "int64_field", {"type": "string"}),
        ({"print_int64_numbers": True}, "int64Field", {"type": "integer"}),
    ],
)
async def test_the_document_is_of_this_process(
    make_app: MakeApp, setting: dict[str, bool], name: str, types: dict[str, str]
) -> None:
    """`/openapi.json` describes the JSON that the settings of this process make."""
    async with running(make_app(**setting)) as app:
        document = (await ask(app, "GET", "/openapi.json")).json

    properties = document["components"]["schemas"]["echo.v1.Everything"]["properties"]
    assert properties[name].items() >= types.items()


@pytest.mark.parametrize("setting", ["print_defaults", "print_enum_numbers", "ignore_unknown"])
async def test_each_setting_of_the_json_is_in_the_document(
    make_app: MakeApp, app: FastAPI, setting: str
) -> None:
    """No setting that changes what is printed, or what is taken, leaves the document as it was."""
    async with running(make_app(**{setting: True})) as other:
        changed = (await ask(other, "GET", "/openapi.json")).json
    plain = (await ask(app, "GET", "/openapi.json")).json

    assert changed["components"] != plain["components"]


async def test_an_unknown_websocket_path_is_404(app: FastAPI) -> None:
    """A handshake on a path without a stream is refused with a Status."""
    answer = await connect(app, "/nowhere").ended()

    assert (answer.status, answer.json["code"]) == (404, 5)


async def test_a_websocket_on_a_unary_path_is_refused(app: FastAPI) -> None:
    """A unary method has no WebSocket."""
    answer = await connect(app, "/v1/scalar").ended()

    assert answer.status == 404


@pytest.mark.parametrize("served", ["asgi", "asgi without a raw path", "direct", "websocket"])
async def test_a_fault_is_logged_with_the_path_as_it_came(
    make_app: MakeApp,
    upstream: ScriptedUpstream,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    served: str,
) -> None:
    """Neither decoded, so that a caller cannot make lines up, nor with the query."""

    def fail(*_arguments: object, **_named: object) -> Never:
        raise LookupError("a fault")

    monkeypatch.setattr(upstream, "start_unary", fail)
    monkeypatch.setattr(upstream, "open", fail)
    path = "/v1/stream/a%0AERROR%0D%1B" if served == "websocket" else "/v1/names/a%0AERROR%0D%1B"
    target = f"{path}?access_token=c0ffee"
    async with running(make_app(ignore_unknown=True)) as app:
        if served == "direct":
            asked = app.state.direct.read(f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            asked.answer(lambda *_: None)
        elif served == "websocket":
            with suppress(StatusError):  # of a WebSocket that is open; the server closes it
                await connect(app, target).ended()
        else:
            scope = http_scope("GET", target)
            if served == "asgi without a raw path":
                del scope["raw_path"]
            request = Request(app, scope)
            request.arrives("http.request", body=b"", more_body=False)
            await request.ended()

    (record,) = caplog.records
    line = record.getMessage()
    assert re.fullmatch(
        r"request [!-~]+ (GET|WebSocket) /v1/[!-~]*ERROR[!-~]*: internal error", line
    )
    assert "c0ffee" not in caplog.text
