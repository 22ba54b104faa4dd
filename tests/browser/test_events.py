"""`openEvents` of web/protoway.js, against a server that plays the bytes of docs/reference/wires.md."""

from __future__ import annotations

import asyncio
import json
import random
import time
from email.utils import formatdate
from typing import Any

import pytest

from tests.browser.chromium import Page
from tests.browser.scripted import Answer, ScriptedServer

Json = Any
FIRST = b'retry: 20\n\nid: s-1\ndata: {"n":1}\n\n:\n\nid: s-2\ndata: {"n":2}\n\n'
REST = b'id: s-3\ndata: {"n":3}\n\nid: end\nevent: end\ndata: {}\n\n'
UNAVAILABLE = b'event: error\ndata: {"code":14,"message":"going away"}\n\n'
PIECES = (
    *("data", "id", "event", "retry", ":", ":", " ", "\n", "\n", "\n\n", "\r", "\r\n", "\r\n\r\n"),
    *("data: 1", "data: é€😀", "id: 7", "id", "id: a\0b", "event: gap", "event: end", "retry: 5x"),
    *("\ufeff", "\0", ": a comment", "data:{}", "data:  two", "nothing", "event"),
)
"""What is put together at random to a stream; it names no `retry` that would count."""


async def follow(page: Page, url: str, **options: Json) -> list[Json]:
    """Returns all events of a stream up to its last one; of each cut, when it will come back."""
    return await page.run(  # type: ignore[no-any-return]  # the page gives what its script does
        f"""
        const seen = [];
        for await (const event of protoway.openEvents({json.dumps(url)}, {json.dumps(options)})) {{
          if (event.error) event.error = {{...event.error, message: event.error.message}};
          if (event.retryAt) event.wait = event.retryAt - Date.now();
          seen.push(event);
          if (["message", "gap"].includes(event.type)) await fetch("/read", {{ method: "POST" }});
        }}
        return seen;
        """
    )


def names(events: list[Json]) -> list[str]:
    """Returns what kinds of events there were."""
    return [event["type"] for event in events]


def numbers(events: list[Json]) -> list[int]:
    """Returns the numbers that the messages carry."""
    return [event["data"]["n"] for event in events if event["type"] == "message"]


async def test_a_stream_is_read_to_its_clean_end(page: Page, server: ScriptedServer) -> None:
    """Messages come with their ids; `event: end` is the last event, and nobody comes back."""
    events = await follow(page, server.plays("/s", Answer(FIRST + REST)))

    assert names(events) == ["connecting", "open", "message", "message", "message", "ended"]
    assert [event["id"] for event in events[2:5]] == ["s-1", "s-2", "s-3"]
    assert numbers(events) == [1, 2, 3]
    assert len(server.asked) == 1


async def test_after_a_cut_it_goes_on_after_the_last_id(page: Page, server: ScriptedServer) -> None:
    """A half event is not an event; the next request names the last whole one, after the server's `retry`."""
    half = Answer(FIRST + b'id: s-3\ndata: {"n"', end="cut")
    events = await follow(page, server.plays("/s", half, Answer(REST)))

    assert names(events) == [
        *("connecting", "open", "message", "message", "cut"),
        *("connecting", "open", "message", "ended"),
    ]
    assert numbers(events) == [1, 2, 3]
    assert events[4]["error"]["code"] == 14
    assert events[4]["wait"] <= 25  # 20 ms, and up to a quarter
    assert server.last_ids("/s") == [None, "s-2"]


async def test_an_answer_that_just_ends_is_a_cut(page: Page, server: ScriptedServer) -> None:
    """Without `end` or `error` a stream is not at its end, though its HTTP message is."""
    events = await follow(page, server.plays("/s", Answer(FIRST), Answer(REST)))

    assert numbers(events) == [1, 2, 3]
    assert server.last_ids("/s") == [None, "s-2"]


async def test_a_gap_is_told_where_it_is(page: Page, server: ScriptedServer) -> None:
    """Between the messages stands how many are missing, or that the stream has begun anew."""
    gaps = b'event: gap\ndata: {"missed":12}\n\nevent: gap\ndata: {"restarted":true}\n\n'
    events = await follow(page, server.plays("/s", Answer(FIRST + gaps + REST)))

    assert names(events)[2:] == ["message", "message", "gap", "gap", "message", "ended"]
    assert events[4] == {"type": "gap", "missed": 12, "restarted": False}
    assert events[5] == {"type": "gap", "restarted": True}


async def test_a_gap_without_an_id_leaves_the_last_id(page: Page, server: ScriptedServer) -> None:
    """A stream that is cut after the gap with which it came back goes on from the same place."""
    gap = Answer(b'retry: 20\n\nevent: gap\ndata: {"missed":1}\n\n', end="cut")
    await follow(page, server.plays("/s", Answer(FIRST, end="cut"), gap, Answer(REST)))

    assert server.last_ids("/s") == [None, "s-2", "s-2"]


async def test_a_final_error_ends_it(page: Page, server: ScriptedServer) -> None:
    """The Status of an `event: error` is the last event, with its details."""
    status = b'{"code":9,"message":"no","details":[{"@type":"t/a.B","x":1}]}'
    error = b"id: end\nevent: error\ndata: " + status + b"\n\n"
    events = await follow(page, server.plays("/s", Answer(FIRST + error)))

    assert names(events)[-2:] == ["message", "failed"]
    error_told = events[-1]["error"]
    assert (error_told["code"], error_told["message"]) == (9, "no")
    assert error_told["details"] == [{"@type": "t/a.B", "x": 1}]
    assert len(server.asked) == 1


async def test_an_exhausted_stream_whose_id_is_end_is_final(
    page: Page, server: ScriptedServer
) -> None:
    """Where the server says by the id that nothing will change, the code does not matter."""
    error = b'id: end\nevent: error\ndata: {"code":8,"message":"too large"}\n\n'
    events = await follow(page, server.plays("/s", Answer(FIRST + error)))

    assert events[-1]["error"]["code"] == 8
    assert len(server.asked) == 1


async def test_an_error_that_may_pass_is_a_cut(page: Page, server: ScriptedServer) -> None:
    """After UNAVAILABLE and RESOURCE_EXHAUSTED it comes back, with the last id, and none twice."""
    exhausted = b'event: error\ndata: {"code":8,"message":"slow down"}\n\n'
    answers = (Answer(FIRST + UNAVAILABLE), Answer(exhausted), Answer(REST))
    events = await follow(page, server.plays("/s", *answers))

    cuts = [event["error"]["code"] for event in events if event["type"] == "cut"]
    assert cuts == [14, 8]
    assert numbers(events) == [1, 2, 3]
    assert server.last_ids("/s") == [None, "s-2", "s-2"]


async def test_the_wait_grows_to_a_bound_and_starts_anew(
    page: Page, server: ScriptedServer
) -> None:
    """It doubles from cut to cut, up to `maxRetry`; a message brings it back to `retry`."""
    cut = Answer(b"retry: 40\n\n" + UNAVAILABLE)
    good = Answer(FIRST.replace(b"20", b"40") + UNAVAILABLE)
    events = await follow(page, server.plays("/s", *[cut] * 4, good, Answer(REST)), maxRetry=160)

    waits = [event["wait"] for event in events if event["type"] == "cut"]
    for wait, least in zip(waits, [40, 80, 160, 160, 40], strict=True):
        assert least * 0.7 <= wait <= least * 1.25  # some of it has passed when it is read


async def test_the_server_may_ask_for_a_longer_wait(page: Page, server: ScriptedServer) -> None:
    """`RetryInfo` in the details, or a proxy's `Retry-After`, is waited for."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.300s"}
    status = {"code": 14, "message": "later", "details": [info]}
    in_body = Answer(json.dumps(status).encode(), 503, "application/json")
    in_header = Answer(b"<html>", 503, "text/html", ((b"retry-after", b"1"),))
    events = await follow(page, server.plays("/s", in_body, in_header, Answer(REST)), retry=1)

    first, second = (event["wait"] for event in events if event["type"] == "cut")
    assert 250 <= first <= 375
    assert 900 <= second <= 1250


async def test_the_longest_of_what_the_server_says_is_waited_for(
    page: Page, server: ScriptedServer
) -> None:
    """A proxy may ask for more than the server, and may say a date."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.1s"}
    body = json.dumps({"code": 14, "details": [info]}).encode()
    seconds = Answer(body, 503, "application/json", ((b"retry-after", b"1"),))
    soon = formatdate(time.time() + 5, usegmt=True).encode()
    date = Answer(body, 503, "application/json", ((b"retry-after", soon),))
    events = await follow(page, server.plays("/s", seconds, date, Answer(REST)), retry=1)

    first, second = (event["wait"] for event in events if event["type"] == "cut")
    assert 900 <= first <= 1250
    assert 1000 <= second <= 5750  # a date has no fractions, and the first wait takes of it


@pytest.mark.parametrize("way", ["RetryInfo", "retry", "header", "date"])
async def test_a_wait_of_years_is_one_of_a_day(
    page: Page, server: ScriptedServer, way: str
) -> None:
    """A timer of more than 24 days would go off at once, and again and again."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "315576000000s"}
    status = json.dumps({"code": 14, "details": [info] if way == "RetryInfo" else []}).encode()
    value = {"header": b"99999999999", "date": b"Wed, 21 Oct 2099 07:28:00 GMT"}.get(way)
    if way == "retry":
        answer = Answer(b"retry: 99999999999999\nevent: error\ndata: " + status + b"\n\n")
    else:
        said = () if value is None else ((b"retry-after", value),)
        answer = Answer(status, 503, "application/json", said)
    url = server.plays("/s", answer)
    wait, asked = await page.run(
        f"""
        const stop = new AbortController();
        let wait, asked = 0;
        for await (const event of protoway.openEvents("{url}", {{ signal: stop.signal }})) {{
          if (event.type === "connecting") asked++;
          if (event.type === "cut") {{
            wait = event.retryAt - Date.now();
            setTimeout(() => stop.abort(), 100);
          }}
        }}
        return [wait, asked];
        """
    )

    assert 86_000_000 <= wait <= 86_400_000 * 1.25
    assert asked == 1


async def test_the_id_says_whether_an_error_is_the_end(page: Page, server: ScriptedServer) -> None:
    """The server may say when to come back after any code; only its last id `end` is final."""
    aborted = b'retry: 10\nevent: error\ndata: {"code":10,"message":"later"}\n\n'
    url = server.plays("/s", Answer(FIRST + aborted), Answer(REST))
    events = await follow(page, url)

    assert [event["error"]["code"] for event in events if event["type"] == "cut"] == [10]
    assert numbers(events) == [1, 2, 3]
    assert server.last_ids("/s") == [None, "s-2"]


async def test_an_answer_that_says_when_to_come_back_is_no_end(
    page: Page, server: ScriptedServer
) -> None:
    """Whatever its code; but what is too large stays so."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.010s"}
    aborted = json.dumps({"code": 10, "details": [info]}).encode()
    large = b'{"code":8,"message":"metadata"}'
    answers = (Answer(aborted, 409, "application/json"), Answer(large, 431, "application/json"))
    events = await follow(page, server.plays("/s", *answers), retry=1)

    assert names(events) == ["connecting", "cut", "connecting", "failed"]
    assert events[-1]["error"]["code"] == 8


@pytest.mark.parametrize("last_id", ["é", "日本-7", "😀", "a b"])
async def test_any_id_goes_back_as_it_came(
    page: Page, server: ScriptedServer, last_id: str
) -> None:
    """In UTF-8, as a browser's EventSource sends it, though `fetch` takes only Latin-1."""
    first = f'retry: 10\n\nid: {last_id}\ndata: {{"n":1}}\n\n'.encode()
    events = await follow(page, server.plays("/s", Answer(first, end="cut"), Answer(REST)))

    assert numbers(events) == [1, 3]
    assert events[2]["id"] == last_id
    assert server.last_ids("/s") == [None, last_id]


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (
            Answer(b'{"code":5,"message":"no such rate"}', 404, "application/json"),
            5,
            "no such rate",
        ),
        (Answer(b'{"code":8,"message":"too large"}', 413, "application/json"), 8, "too large"),
        (Answer(b"<html>", 401, "text/html"), 16, "HTTP 401 Unauthorized"),
        (
            Answer(b"{}", 200, "application/json"),
            2,
            "expected text/event-stream, got application/json",
        ),
        (Answer(b"data: {\n\n", 200), 13, "what the server sent is not JSON"),
    ],
)
async def test_an_answer_that_is_no_stream_is_final(
    page: Page, server: ScriptedServer, answer: Answer, code: int, message: str
) -> None:
    """An HTTP error is the Status in its body, or what gRPC makes of an HTTP status without one."""
    events = await follow(page, server.plays("/s", answer))

    error = events[-1]["error"]
    assert (names(events)[-1], error["code"], error["message"]) == ("failed", code, message)
    assert error.get("httpStatus") in (None, answer.status)
    assert len(server.asked) == 1


async def test_a_server_that_is_not_there_yet_is_waited_for(
    page: Page, server: ScriptedServer
) -> None:
    """503 with UNAVAILABLE, and a connection that is cut before any answer, are tried again."""
    status = b'{"code":14,"message":"connection refused"}'
    answers = (Answer(status, 503, "application/json"), Answer(FIRST + REST))
    events = await follow(page, server.plays("/s", *answers), retry=10)

    assert names(events)[:3] == ["connecting", "cut", "connecting"]
    assert events[1]["error"]["httpStatus"] == 503
    assert numbers(events) == [1, 2, 3]


async def test_204_is_the_end(page: Page, server: ScriptedServer) -> None:
    """A stream that was at its end already has nothing more to say."""
    events = await follow(page, server.plays("/s", Answer(FIRST, end="cut"), Answer(status=204)))

    assert names(events)[-2:] == ["connecting", "ended"]
    assert server.last_ids("/s") == [None, "s-2"]


async def test_silence_is_a_cut(page: Page, server: ScriptedServer) -> None:
    """A connection that is there, but on which not even a heartbeat comes, is given up."""
    answers = (Answer(FIRST, end="silence"), Answer(REST))
    events = await follow(page, server.plays("/s", *answers), silence=1000)

    assert [e["error"]["message"] for e in events if e["type"] == "cut"] == [
        "nothing was heard for 1 s"
    ]
    assert numbers(events) == [1, 2, 3]


async def test_leaving_the_loop_or_aborting_ends_the_request(
    page: Page, server: ScriptedServer
) -> None:
    """After `break` the server sees the client leave; an abort is the end CANCELLED, in a wait too."""
    left = server.plays("/left", Answer(FIRST, end="silence"))
    aborted = server.plays("/aborted", Answer(FIRST, end="silence"))
    waiting = server.plays("/waiting", Answer(b"retry: 60000\n\n" + UNAVAILABLE))
    seen = await page.run(
        f"""
        for await (const event of protoway.openEvents("{left}")) if (event.type === "message") break;
        const seen = [];
        for (const [url, when] of [["{aborted}", "open"], ["{waiting}", "cut"]]) {{
          const stop = new AbortController();
          for await (const event of protoway.openEvents(url, {{ signal: stop.signal }})) {{
            if (event.type === when) setTimeout(() => stop.abort(), 10);
            if (event.type === "failed") seen.push(event.error.code);
          }}
        }}
        return seen;
        """
    )

    assert seen == [1, 1]
    while server.left != ["/left", "/aborted"]:
        await asyncio.sleep(0.01)


async def test_a_request_keeps_what_it_was_given(page: Page, server: ScriptedServer) -> None:
    """Method, headers and body are fetch's own, and are the same when it comes back."""
    url = server.plays("/s", Answer(FIRST, end="cut"), Answer(REST))
    await follow(page, url, method="POST", body='{"a":1}', headers={"x-request-id": "r"})

    assert [(method, body) for method, _, _, body in server.asked] == [("POST", b'{"a":1}')] * 2


async def test_messages_alone_throw_what_is_not_a_clean_end(
    page: Page, server: ScriptedServer
) -> None:
    """Who wants only messages gets them across cuts, and the status as an exception."""
    error = Answer(b'id: end\nevent: error\ndata: {"code":7,"message":"no"}\n\n')
    url = server.plays("/s", Answer(FIRST), error)
    seen = await page.run(
        f"""
        const seen = [];
        try {{
          for await (const data of protoway.messages(protoway.openEvents("{url}"))) seen.push(data.n);
        }} catch (error) {{
          seen.push(error instanceof protoway.StatusError, protoway.CODES[error.code]);
        }}
        return seen;
        """
    )

    assert seen == [1, 2, True, "PERMISSION_DENIED"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
async def test_chunks_may_be_cut_anywhere(page: Page, newline: str) -> None:
    """Wherever the bytes are cut in two, and byte by byte, the events are the same."""
    text = "\ufeff" + (FIRST.decode() + 'data: {"n":\ndata: "é€😀"}\n\n' + REST.decode())
    data = json.dumps(list(text.replace("\n", newline).encode()))
    different = await page.run(
        f"""
        const bytes = new Uint8Array({data});
        const read = async (pieces) => {{
          globalThis.fetch = async () => new Response(new ReadableStream({{
            start(stream) {{ pieces.forEach((piece) => stream.enqueue(piece)); stream.close(); }},
          }}), {{ headers: {{ "content-type": "text/event-stream" }} }});
          const seen = [];
          for await (const event of protoway.openEvents("/")) seen.push(event);
          return JSON.stringify(seen);
        }};
        const whole = await read([bytes]);
        const answers = [await read(Array.from(bytes, (byte) => Uint8Array.of(byte)))];
        for (let at = 0; at <= bytes.length; at++) {{
          answers.push(await read([bytes.slice(0, at), bytes.slice(at)]));
        }}
        return [answers.filter((answer) => answer !== whole).length, whole];
        """
    )

    assert different[0] == 0
    assert numbers(json.loads(different[1])) == [1, 2, "é€😀", 3]


async def test_the_parser_reads_as_the_browser_does(page: Page, server: ScriptedServer) -> None:
    """Any stream at all, in any chunks, gives the events and ids that the browser's EventSource gives."""
    drawn = random.Random(7)  # the same each time
    for number in range(60):
        text = "".join(drawn.choices(PIECES, k=drawn.randint(1, 40))) + "\n\ndata: last\n\n"
        url = server.plays(f"/r{number}", Answer(text.encode(), end="silence"))
        pieces, rest = [], text.removeprefix("\ufeff")
        while rest:
            at = drawn.randint(1, 5)
            pieces.append(rest[:at])
            rest = rest[at:]
        theirs, ours = await page.run(
            f"""
            const theirs = await new Promise((resolve) => {{
              const seen = [], source = new EventSource("{url}");
              const note = ({{ type, data, lastEventId }}) => {{
                seen.push([type, data, lastEventId]);
                if (data === "last") resolve(seen) || source.close();
              }};
              ["message", "gap", "end"].forEach((type) => source.addEventListener(type, note));
            }});
            const stream = {{ lastId: "", retry: 1 }}, parse = protoway.eventParser(stream);
            const ours = {json.dumps(pieces)}.flatMap(
              (piece) => Array.from(parse(piece), ({{ name, data }}) => [name, data, stream.lastId]));
            return [theirs, ours.filter(([name]) => ["message", "gap", "end"].includes(name))];
            """
        )
        assert ours == theirs, repr(text)
