"""JSON <-> messages, beside `google.protobuf.json_format`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf import json_format

from bench.contracts import filled, messages
from bench.lab import Lab
from bench.timing import side_by_side
from gateway.transcoding.codec import JsonCodec, JsonOptions, parse_json, print_json

GROUP: Final = "codec"


async def run(lab: Lab) -> None:
    """Measures all."""
    point, batch, _ = messages()
    for name, message in (
        ("1 message of 3 fields", point(name="Frankfurt", count=7, weight=89.5)),
        ("50 messages of 3 fields", filled(batch, 50)),
    ):
        for direction, ways in both_ways(message).items():
            for _ in range(lab.rounds):
                for side, micros in side_by_side(ways).items():
                    lab.results.add(GROUP, f"{name}, {direction}", side, {"us": micros})
            lab.say(GROUP, f"{name}, {direction}")


def both_ways(message: Any) -> dict[str, dict[str, Callable[[], Any]]]:
    """Returns how both write and read a message; that they agree has been seen."""
    codec = JsonCodec(message.DESCRIPTOR.file.pool, JsonOptions())
    write = codec.encoder().writer(message.DESCRIPTOR)
    read = codec.decoder.reader(message.DESCRIPTOR)
    new = type(message)
    text = print_json(write(message))

    def decode() -> Any:
        fresh = new()
        read(fresh, parse_json(text), 0)
        return fresh

    def encode() -> bytes:
        return print_json(write(message))

    assert decode() == message == json_format.Parse(encode(), new())
    return {
        "to JSON": {"json_format": lambda: json_format.MessageToJson(message), "ours": encode},
        "from JSON": {"json_format": lambda: json_format.Parse(text, new()), "ours": decode},
    }
