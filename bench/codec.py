"""JSON <-> messages, beside `google.protobuf.json_format`: `python -m bench.codec`."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from bench.contracts import points
from bench.timing import side_by_side
from gateway.contract.descriptors import load
from gateway.transcoding.codec import JsonCodec, JsonOptions, parse_json, print_json


def main() -> None:
    """Prints one line for each message and direction."""
    pool = load(points()).pool
    point: Any = GetMessageClass(pool.FindMessageTypeByName("bench.Point"))
    batch: Any = GetMessageClass(pool.FindMessageTypeByName("bench.Batch"))
    one = point(name="Frankfurt", count=7, weight=89.5)
    fifty = batch(points=[point(name=f"p{i}", count=i + 1, weight=i + 0.5) for i in range(50)])
    print(f"{'µs of CPU, medians':46}{'json_format':>12}{'ours':>8}{'ratio':>8}")
    for name, message in (("one message of 3 fields", one), ("50 messages of 3 fields", fifty)):
        compare(name, message, JsonCodec(pool, JsonOptions()))


def compare(name: str, message: Any, codec: JsonCodec) -> None:
    """Prints both directions of one message."""
    write = codec.encoder().writer(message.DESCRIPTOR)
    read = codec.decoder.reader(message.DESCRIPTOR)
    text = print_json(write(message))
    new = type(message)

    def decode() -> Any:
        fresh = new()
        read(fresh, parse_json(text), 0)
        return fresh

    def encode() -> bytes:
        return print_json(write(message))

    assert decode() == message == json_format.Parse(encode(), new())
    _report(
        f"{name}, to JSON",
        side_by_side({"theirs": lambda: json_format.MessageToJson(message), "ours": encode}),
    )
    _report(
        f"{name}, to JSON on one line",
        side_by_side(
            {"theirs": lambda: json_format.MessageToJson(message, indent=None), "ours": encode}
        ),
    )
    _report(
        f"{name}, from JSON",
        side_by_side({"theirs": lambda: json_format.Parse(text, new()), "ours": decode}),
    )


def _report(name: str, times: dict[str, float]) -> None:
    theirs, ours = times["theirs"], times["ours"]
    print(f"{name:46}{theirs:12.1f}{ours:8.2f}{theirs / ours:7.1f}x")


if __name__ == "__main__":
    main()
