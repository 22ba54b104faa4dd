"""One contract in several versions, each made of the descriptor set of the first."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from gateway.contract.descriptors import load
from tests.contracts import compile_text

Change: TypeAlias = Callable[[FileDescriptorProto], object]

TEXT = """
syntax = "proto3";
package shop.v1;
import "gateway/v1/options.proto";
import "google/api/annotations.proto";

service Shop {
  // Returns an item.
  rpc Get(Item) returns (Item) { option (google.api.http) = {get: "/items/{name}"}; }
  // Adds an item.
  rpc Add(Item) returns (Item) { option (google.api.http) = {post: "/items" body: "*"}; }
  // Sends prices to all readers.
  rpc Watch(Item) returns (stream Price) {
    option (google.api.http) = {get: "/prices/{name}"};
    option (gateway.v1.stream) = {shared: true linger {seconds: 60}};
  }
  // Sends orders to all readers.
  rpc Orders(Item) returns (stream Order) {
    option (google.api.http) = {get: "/orders/{name}"};
    option (gateway.v1.stream) = {shared: true linger {seconds: 60}};
  }
  // Sends steps to one reader.
  rpc Follow(Item) returns (stream Item) { option (google.api.http) = {get: "/follow/{name}"}; }
  // Takes items.
  rpc Upload(stream Item) returns (Item) { option (google.api.http) = {post: "/upload" body: "*"}; }
  // Talks.
  rpc Talk(stream Item) returns (stream Item) {
    option (google.api.http) = {get: "/talk" additional_bindings {post: "/talk" body: "*"}};
  }
}
message Item { string name = 1; int32 count = 2; }
message Price { string name = 1; int64 cents = 2; Unit unit = 3; enum Unit { EACH = 0; DOZEN = 1; } }
message Order { string name = 1; Item item = 2; }
"""


@cache
def first() -> bytes:
    """Returns the descriptor set of the first version."""
    return compile_text(TEXT)


def version(*changes: Change) -> bytes:
    """Returns the descriptor set of another version, with comments."""
    found = FileDescriptorSet.FromString(first())
    file = next(each for each in found.file if each.package == "shop.v1")
    for change in changes:
        change(file)
    return found.SerializeToString()


def field_added(message: str = "Item", name: str = "color", number: int = 9) -> Change:
    """Adds a field."""

    def change(file: FileDescriptorProto) -> None:
        found = next(each for each in file.message_type if each.name == message)
        found.field.add(
            name=name,
            number=number,
            json_name=name,
            label="LABEL_OPTIONAL",
            type="TYPE_STRING",
        )

    return change


def method_added(name: str = "Find", path: str = "/find/{name}") -> Change:
    """Adds a unary method with a GET binding."""

    def change(file: FileDescriptorProto) -> None:
        types = {"input_type": ".shop.v1.Item", "output_type": ".shop.v1.Item"}
        method = file.service[0].method.add(name=name, **types)
        method.options.Extensions[annotations_pb2.http].get = path

    return change


def binding_moved(method: str, path: str) -> Change:
    """Moves the GET binding of a method, or sets one that is wrong."""

    def change(file: FileDescriptorProto) -> None:
        found = next(each for each in file.service[0].method if each.name == method)
        found.options.Extensions[annotations_pb2.http].get = path

    return change


def method_removed(name: str) -> Change:
    """Removes a method."""

    def change(file: FileDescriptorProto) -> None:
        kept = [each for each in file.service[0].method if each.name != name]
        del file.service[0].method[:]
        file.service[0].method.extend(kept)
        del file.source_code_info.location[:]  # their paths have the numbers of methods

    return change


def replace_file(path: Path, data: bytes) -> None:
    """Replaces a file at once, as a deployment does."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


def message(kind_name: str, **fields: Any) -> bytes:
    """Returns a message of the first version, serialized."""
    from google.protobuf.message_factory import GetMessageClass

    kind = GetMessageClass(load(first()).pool.FindMessageTypeByName(f"shop.v1.{kind_name}"))
    data: bytes = kind(**fields).SerializeToString()
    return data
