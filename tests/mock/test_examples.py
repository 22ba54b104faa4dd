"""Messages that are made from a contract alone."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.contract.descriptors import Contract, load
from gateway.mock.example_texts import example_texts
from gateway.mock.examples import Examples
from gateway.transcoding.codec import JsonCodec, JsonOptions
from tests.contracts import compile_text, echo_contract

PROTO = """
syntax = "proto3";
import "gateway/v1/options.proto";
import "google/api/field_behavior.proto";
import "google/api/field_info.proto";
import "google/protobuf/timestamp.proto";
message Item {
  // How much it costs. Example: 12.5
  double price = 1;
  // For example `tea`, or e.g. `milk`.
  string title = 2;
  string size = 3 [(gateway.v1.values) = {in: "S" in: "M"}];
  int64 weight = 4 [(gateway.v1.values) = {greater_than: 1000}];
  string key = 5 [(google.api.field_info).format = UUID4];
  string secret = 6 [(google.api.field_behavior) = INPUT_ONLY];
  enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; COLOR_BLUE = 2; }
  Color color = 7;
  int32 month = 8;
  google.protobuf.Timestamp made = 9;
  Item part = 10;
  repeated Leaf leaves = 11;
  map<string, Leaf> named = 12;
  oneof either { string one = 13; Leaf other = 14; }
  string contact_email = 15;
  // Example: a number
  int32 count = 16;
  // Examples: `1`, `2`
  repeated int32 list = 17;
}
message Leaf { string name = 1; }
"""


@pytest.fixture(scope="module")
def contract() -> Contract:
    """A contract with each source of a value."""
    return load(compile_text(PROTO))


def item(contract: Contract, key: str = "", seed: int = 0) -> Any:
    """Returns an example."""
    kind = contract.pool.FindMessageTypeByName("Item")
    return Examples(contract.comments, seed).message(kind, key)


def test_the_same_seed_gives_the_same(contract: Contract) -> None:
    """Another seed, and another key, give others."""
    assert item(contract, "a") == item(contract, "a")
    assert (
        len({item(contract, key, seed).SerializeToString() for key in "ab" for seed in (0, 1)}) == 4
    )


@pytest.mark.parametrize("key", [str(number) for number in range(20)])
def test_values_are_those_of_the_contract(contract: Contract, key: str) -> None:
    """Options, then comments, then names and types say what a value is."""
    made = item(contract, key)

    assert made.price == 12.5
    assert made.title in ("tea", "milk")
    assert made.size in ("S", "M")
    assert made.weight > 1000
    assert len(made.key) == 36
    assert made.secret == ""
    assert made.color in (1, 2)
    assert 1 <= made.month <= 12
    assert made.made.ToJsonString().startswith("202")
    assert not made.HasField("part")  # it would never end
    assert [bool(leaf.name) for leaf in made.leaves] == [True, True]
    assert [bool(leaf.name) for leaf in made.named.values()] == [True]
    assert made.WhichOneof("either") in ("one", "other")
    assert made.contact_email.endswith("@example.com")
    assert made.count > 0  # what its comment says is no number
    assert made.list[0] in (1, 2)


@pytest.mark.parametrize("key", [str(number) for number in range(20)])
def test_every_type_has_json(key: str) -> None:
    """Each message of the tests' own contract is made, and can be printed."""
    pool = echo_contract().pool
    codec = JsonCodec(pool, JsonOptions())
    examples = Examples(echo_contract().comments, 0)
    for method in echo_contract().methods:
        made = examples.message(method.output, key)
        assert codec.encoder().writer(method.output)(made) is not None
        assert type(made).FromString(made.SerializeToString()) == made


@pytest.mark.parametrize(
    ("comment", "texts"),
    [
        ("", []),
        ("An id.", []),
        ("An id.\nExample: 7", ["7"]),
        ("Examples: `a`, `b`.", ["a", "b"]),
        ('Example: "two words".', ["two words"]),
        ("A word, for example `tea`.", ["tea"]),
        ("A word (e.g. `tea`, not milk).", ["tea"]),
        ("Such as it is: `code`.", []),
    ],
)
def test_examples_in_comments(comment: str, texts: list[str]) -> None:
    """A line of their own, or words in backticks behind "for example"."""
    assert example_texts(comment) == texts
