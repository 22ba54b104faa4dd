"""What Google's API improvement proposals say of HTTP, on the library that they speak of."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo, Help, LocalizedMessage
from google.rpc.status_pb2 import Status

from gateway.contract.descriptors import load
from gateway.contract.route_table import RouteMatch
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import compile_text

LIBRARY = """
syntax = "proto3";
package library;
import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
message Book { string name = 1; string title = 2; Author author = 3; }
message Author { string given_name = 1; }
message CreateBookRequest { string parent = 1; string book_id = 2; Book book = 3; }
message GetBookRequest { string name = 1; }
message ListBooksRequest { string parent = 1; int32 page_size = 2; string page_token = 3; string filter = 4; }
message UpdateBookRequest {
  Book book = 1;
  google.protobuf.FieldMask update_mask = 2;
  bool allow_missing = 3;
}
message ArchiveBookRequest { string name = 1; string reason = 2; }
service Library {
  rpc GetBook(GetBookRequest) returns (Book) {
    option (google.api.http) = {
      get: "/v1/{name=publishers/*/books/*}"
      additional_bindings { get: "/v1/{name=books/*}" }
    };
  }
  rpc ListBooks(ListBooksRequest) returns (Book) {
    option (google.api.http) = { get: "/v1/{parent=publishers/*}/books" };
  }
  rpc CreateBook(CreateBookRequest) returns (Book) {
    option (google.api.http) = { post: "/v1/{parent=publishers/*}/books" body: "book" };
  }
  rpc UpdateBook(UpdateBookRequest) returns (Book) {
    option (google.api.http) = { patch: "/v1/{book.name=publishers/*/books/*}" body: "book" };
  }
  rpc DeleteBook(GetBookRequest) returns (google.protobuf.Empty) {
    option (google.api.http) = { delete: "/v1/{name=publishers/*/books/*}" };
  }
  rpc ArchiveBook(ArchiveBookRequest) returns (Book) {
    option (google.api.http) = { post: "/v1/{name=publishers/*/books/*}:archive" body: "*" };
  }
}
"""
CONTRACT = load(compile_text(LIBRARY))
TRANSCODER = Transcoder(CONTRACT, JsonOptions())

CASES = [
    ("AIP-131 get", "GET", "/v1/publishers/p/books/b", b"", b"", {"name": "publishers/p/books/b"}),
    ("AIP-127 additional bindings", "GET", "/v1/books/b", b"", b"", {"name": "books/b"}),
    (
        "AIP-132 list, and AIP-158 paging in the query",
        "GET",
        "/v1/publishers/p/books",
        b"pageSize=10&page_token=t&filter=title%3D%22x%22",
        b"",
        {"parent": "publishers/p", "pageSize": 10, "pageToken": "t", "filter": 'title="x"'},
    ),
    (
        "AIP-133 create: the body is the resource, the id is in the query",
        "POST",
        "/v1/publishers/p/books",
        b"book_id=b",
        b'{"title":"T","author":{"givenName":"G"}}',
        {
            "parent": "publishers/p",
            "bookId": "b",
            "book": {"title": "T", "author": {"givenName": "G"}},
        },
    ),
    (
        "AIP-134 update: the name is a field of the body's message",
        "PATCH",
        "/v1/publishers/p/books/b",
        b"updateMask=title&allowMissing=true",
        b'{"title":"T"}',
        {
            "book": {"name": "publishers/p/books/b", "title": "T"},
            "updateMask": "title",
            "allowMissing": True,
        },
    ),
    (
        "AIP-134 update without a mask: the populated fields",
        "PATCH",
        "/v1/publishers/p/books/b",
        b"",
        b'{"title":"T","author":{"givenName":""}}',
        {
            "book": {"name": "publishers/p/books/b", "title": "T", "author": {}},
            "updateMask": "title,author.givenName",
        },
    ),
    (
        "AIP-135 delete",
        "DELETE",
        "/v1/publishers/p/books/b",
        b"",
        b"",
        {"name": "publishers/p/books/b"},
    ),
    (
        "AIP-136 custom method",
        "POST",
        "/v1/publishers/p/books/b:archive",
        b"",
        b'{"reason":"old"}',
        {"name": "publishers/p/books/b", "reason": "old"},
    ),
]


@pytest.mark.parametrize(
    ("http_method", "path", "query", "body", "request_"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_standard_methods(
    http_method: str, path: str, query: bytes, body: bytes, request_: dict[str, Any]
) -> None:
    """The standard methods of a resource become the requests that the proposals describe."""
    found = TRANSCODER.match(http_method, path)
    assert isinstance(found, RouteMatch)
    kind: Any = GetMessageClass(found.target.method.input)
    message = kind.FromString(found.target.decode_request(found.captures, query, body))

    assert json_format.MessageToDict(message) == request_


def test_aip_127_a_collection_is_not_its_item() -> None:
    """`publishers/*/books` and `publishers/*/books/*` are different resources."""
    collection = TRANSCODER.match("GET", "/v1/publishers/p/books")
    item = TRANSCODER.match("GET", "/v1/publishers/p/books/b")

    assert isinstance(collection, RouteMatch)
    assert isinstance(item, RouteMatch)
    assert collection.target.method.full_name == "library.Library.ListBooks"
    assert item.target.method.full_name == "library.Library.GetBook"


def test_aip_193_details_are_written_with_their_types() -> None:
    """ErrorInfo, Help and LocalizedMessage reach the caller decoded, though the contract has them not."""
    status = Status(code=9, message="no")
    details = [
        ErrorInfo(reason="SOLD_OUT", domain="library.example", metadata={"book": "b"}),
        Help(links=[Help.Link(description="why", url="https://library.example")]),
        LocalizedMessage(locale="de-CH", message="nein"),
    ]
    for detail in details:
        status.details.add().Pack(detail)

    written = orjson.loads(TRANSCODER.errors.status(status))
    assert written == {
        "code": 9,
        "message": "no",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SOLD_OUT",
                "domain": "library.example",
                "metadata": {"book": "b"},
            },
            {
                "@type": "type.googleapis.com/google.rpc.Help",
                "links": [{"description": "why", "url": "https://library.example"}],
            },
            {
                "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
                "locale": "de-CH",
                "message": "nein",
            },
        ],
    }
