"""`protoway call` over gRPC: all four kinds, exit statuses, and what is wrong before a call is made."""

from __future__ import annotations

import asyncio
import os
import re

import pytest

from tests.client.conftest import Run
from tests.echo_server import EchoServer


def summary(stderr: str) -> str:
    """Returns the last line of stderr, without the time."""
    return re.sub(r", \d+\.\d\d s\)\n$", ")", stderr).splitlines()[-1]


async def test_unary(call: Run) -> None:
    """The answer is one line of JSON on stdout, the summary is on stderr."""
    status, out, err = await call("Unary", '{"stringField": "a", "int64Field": 7}')

    assert (status, out) == (0, '{"int64Field":"7","stringField":"a"}\n')
    assert summary(err) == "protoway: OK (sent 1, received 1)"


async def test_a_request_may_be_left_out(call: Run) -> None:
    """Then it is an empty message."""
    assert (await call("echo.v1.Echo/Unary"))[:2] == (0, "{}\n")


async def test_server_stream(call: Run) -> None:
    """Each message is a line."""
    status, out, err = await call("Echo.ServerStream", '{"int32Field": 3}', "--print-proto-names")

    assert (status, out) == (0, '{"int32_field":3}\n' * 3)
    assert summary(err) == "protoway: OK (sent 1, received 3)"


@pytest.mark.parametrize(
    "text",
    ['{"stringField":"a"}\n\n{"stringField":"b"}', '[{"stringField":"a"}, {"string_field":"b"}]'],
)
async def test_client_stream(call: Run, stdin: int, text: str) -> None:
    """Lines of stdin, or an array of its, are messages."""
    os.write(stdin, text.encode())
    os.close(stdin)
    status, out, err = await call("ClientStream")

    assert (status, out) == (0, '{"count":2,"strings":["a","b"]}\n')
    assert summary(err) == "protoway: OK (sent 2, received 1)"


async def test_both_stream(call: Run, stdin: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is sent when it comes, and answered before the next one."""
    running = asyncio.ensure_future(call("Bidi", "-"))
    out = ""
    for text in ("a", "b"):
        os.write(stdin, f'{{"stringField":"{text}"}}\n'.encode())
        while f'{{"stringField":"{text}"}}\n' not in out:
            await asyncio.sleep(0.01)
            out += capsys.readouterr().out
    os.close(stdin)

    status, _, err = await running
    assert status == 0
    assert summary(err) == "protoway: OK (sent 2, received 2)"


async def test_the_exit_status_is_the_code(call: Run) -> None:
    """64 and the code; message and details are on stderr, what came before it on stdout."""
    request = '{"code": 5, "message": "sorry", "details": true, "after": 2}'
    status, out, err = await call("FailStream", request)

    assert (status, out) == (69, '{"int32Field":1}\n{"int32Field":2}\n')
    assert "protoway: NOT_FOUND: sorry (sent 1, received 2" in err
    assert '"reason":"WISH"' in err


async def test_a_deadline_ends_a_call(call: Run) -> None:
    """With DEADLINE_EXCEEDED, which the server hears of."""
    status, out, err = await call("Hang", "--deadline", "0.2")

    assert (status, out) == (68, "")
    assert err.startswith("protoway: DEADLINE_EXCEEDED")


async def test_a_server_that_ends_first_is_not_waited_for(
    call: Run, stdin: int, echo: EchoServer
) -> None:
    """Though stdin stays open: nothing hangs."""
    status, _, _ = await asyncio.wait_for(call("Bidi", "--deadline", "0.3"), 20)

    assert status == 68
    os.close(stdin)
    del echo


async def test_metadata_go_both_ways(call: Run) -> None:
    """Headers are sent; initial and trailing metadata are shown on request."""
    status, _, err = await call(
        "Unary", "--verbose", "--header", "X-Name: it", "--header", "x-bin: aGk="
    )

    assert status == 0
    assert "protoway: initial metadata: x-name: it\n" in err
    assert "protoway: initial metadata: x-bin: aGk=\n" in err
    assert "protoway: trailing metadata: cost: 3\n" in err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("Unari",), "call: the contract has no method Unari; did you mean echo.v1.Echo.Unary?"),
        (
            ("Unary", '{"stringFeld": 1, "int32Field": "x"}'),
            "stringFeld: unknown field; did you mean",
        ),
        (("Unary", "{"), "call: malformed JSON at line 1"),
        (
            ("ClientStream", '{}\n{"stringField":1}'),
            "call: request 1: stringField: expected a string",
        ),
        (("ClientStream", "[{}"), "call: request 0: the body ends before the array does"),
        (("Unary", "--deadline", "-1"), "--deadline: expected seconds above 0, got '-1'"),
        (("Unary", "--deadline", "soon"), "--deadline: expected seconds above 0, got 'soon'"),
        (("Unary", "--header", "x"), "--header: write 'name: value', got 'x'"),
        (("Unary", "--header", "grpc-x: 1"), "--header: 'grpc-x: 1': 'grpc-x' cannot be"),
        (("Unary", "--header", "x-bin: ?"), "--header: 'x-bin: ?': "),
    ],
)
async def test_what_is_wrong_is_a_line(call: Run, words: tuple[str, ...], line: str) -> None:
    """Which names it; the status is that of wrong usage, and nothing is on stdout."""
    status, out, err = await call(*words)

    assert (status, out) == (2, "")
    assert err.startswith("protoway: ")
    assert line in err
    assert err.count("\n") == 1


async def test_nobody_is_there(call: Run, echo: EchoServer) -> None:
    """UNAVAILABLE, at once."""
    echo.address = "127.0.0.1:1"
    status, _, err = await call("Unary")

    assert status == 78
    assert "protoway: UNAVAILABLE: upstream cannot be reached" in err
