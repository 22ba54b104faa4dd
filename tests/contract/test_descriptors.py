"""Loading a descriptor set: what it holds, what is taken from elsewhere, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.descriptors import load
from gateway.contract.errors import ContractError, Location
from gateway.contract.stream_type import StreamType
from tests.contracts import compile_text, echo_contract, echo_descriptor_set


def files(descriptor_set: bytes) -> list[descriptor_pb2.FileDescriptorProto]:
    """Returns the files of a set."""
    return list(descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file)


def written(kept: Iterable[descriptor_pb2.FileDescriptorProto]) -> bytes:
    """Writes a set of these files."""
    return descriptor_pb2.FileDescriptorSet(file=kept).SerializeToString()


@pytest.mark.parametrize(
    ("descriptor_set", "words"),
    [
        (b"", "the file is empty: write a descriptor set with `protoc "),
        (b"\xff\xff\xff", "these bytes are not a FileDescriptorSet"),
        (b"<html>not found</html>", "this is text, not a descriptor set: write one with `protoc "),
        (b"\x10\x01", "these bytes are not a FileDescriptorSet"),
    ],
)
def test_refuses_what_is_no_descriptor_set(descriptor_set: bytes, words: str) -> None:
    """Bytes that are no descriptor set, or an empty one, are refused."""
    with pytest.raises(ContractError, match=words):
        load(descriptor_set)


_COMMAND = "protoc --include_imports --include_source_info -o"


@pytest.mark.parametrize(
    ("content", "file", "says"),
    [
        (
            b'// A shop.\n/* Of\nbooks. */ syntax = "proto3";',
            "shop",
            f"this is a .proto file, not a descriptor set: write `{_COMMAND} shop.binpb shop`",
        ),
        (b"// nothing yet", "shop.proto", "this is a .proto file, not a descriptor set: write"),
        *(
            (text, "shop", "this is a .proto file, not a descriptor set: write")
            for text in (
                b"edition = '2023';",
                b"package shop.v1;",
                b'import public "a.proto";',
                b"message Book {",
                b"option (a.b) = 1;",
                b"enum E{",
            )
        ),
        *(
            (text, "server.py", "this is text, not a descriptor set: write one with")
            for text in (b"import grpc\n", b"package main\n", b"message = 1", b"# a\nsyntax")
        ),
        (b"", "api/shop.proto", f"the file is empty: write a descriptor set with `{_COMMAND} shop"),
        (b' {"file": []}', "shop.json", "this is JSON: give the binary descriptor set, which `"),
        (b'# made\nfile {\n  name: "a"', "shop.txt", "this is the text format: give the binary"),
        (b"\x1f\x8b\x08", "shop.gz", "these bytes are not a FileDescriptorSet: write one with"),
    ],
)
def test_says_what_the_file_is(content: bytes, file: str, says: str) -> None:
    """And names it, in one line."""
    with pytest.raises(ContractError) as caught:
        load(content, file=file)

    assert str(caught.value).startswith(f"{file}: {says}")
    assert "\n" not in str(caught.value)


def test_takes_googles_own_files_from_the_installed_packages() -> None:
    """A set without google's files, as protoc writes it without --include_imports, loads the same."""
    own = [file for file in files(echo_descriptor_set()) if not file.name.startswith("google/")]

    contract = load(written(own))

    assert [m.full_name for m in contract.methods] == [m.full_name for m in echo_contract().methods]
    assert contract.methods[0].rule == echo_contract().methods[0].rule


def test_names_a_missing_import() -> None:
    """An import that is nowhere is named, with the file that wants it and the remedy."""
    text = compile_text('syntax = "proto3"; package t; message M {}')
    (file,) = files(text)
    file.dependency.append("company/types.proto")

    with pytest.raises(ContractError) as caught:
        load(written([file]))

    assert str(caught.value) == (
        "test.proto: imports 'company/types.proto', which the descriptor set does not hold: "
        "make the set with `protoc --include_imports --include_source_info -o FILE …`"
    )


def test_refuses_a_file_twice() -> None:
    """Of two files of one name, none wins."""
    (file,) = files(compile_text('syntax = "proto3"; package t; message M {}'))

    with pytest.raises(
        ContractError, match=r"^test.proto: the descriptor set holds this file twice"
    ):
        load(written([file, file]))


def test_refuses_a_file_that_does_not_fit_the_others() -> None:
    """Two files that define one name are refused in one line that names the file."""
    (file,) = files(compile_text('syntax = "proto3"; package t; message M {}'))
    again = descriptor_pb2.FileDescriptorProto()
    again.CopyFrom(file)
    again.name = "again.proto"

    with pytest.raises(ContractError, match=r"^again.proto: ") as caught:
        load(written([file, again]))

    assert "\n" not in str(caught.value)


def test_refuses_imports_in_a_circle() -> None:
    """Files that import each other are refused."""
    (file,) = files(compile_text('syntax = "proto3"; package t; message M {}'))
    file.dependency.append("test.proto")

    with pytest.raises(ContractError, match=r"^test.proto: "):
        load(written([file]))


TWO_SERVICES = """syntax = "proto3";
package t;
message M {}
service One { rpc A(M) returns (M); }
service Two { rpc B(M) returns (M); }
"""


@pytest.mark.parametrize(
    ("services", "methods"),
    [
        ((), ["t.One.A", "t.Two.B"]),
        (("t.Two",), ["t.Two.B"]),
        (("t.Two", "t.One"), ["t.One.A", "t.Two.B"]),
    ],
)
def test_serves_the_services_that_are_chosen(services: tuple[str, ...], methods: list[str]) -> None:
    """No choice is all services; a choice is those, in the order of the contract."""
    contract = load(compile_text(TWO_SERVICES), services)

    assert [method.full_name for method in contract.methods] == methods


def test_names_an_unknown_service() -> None:
    """A service that is not there is named, and so are those that are."""
    with pytest.raises(ContractError) as caught:
        load(compile_text(TWO_SERVICES), ["t.One", "t.Three"])

    assert str(caught.value) == "no service 't.Three'; the descriptor set has t.One, t.Two"


def test_two_contracts_never_meet() -> None:
    """Two sets may define the same names differently in one process."""
    one = load(compile_text('syntax = "proto3"; package t; message M { string a = 1; }'))
    two = load(compile_text('syntax = "proto3"; package t; message M { int32 b = 1; }'))

    names = [
        [field.name for field in contract.pool.FindMessageTypeByName("t.M").fields]
        for contract in (one, two)
    ]

    assert names == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("name", "stream_type"),
    [
        ("Unary", StreamType.UNARY),
        ("ServerStream", StreamType.SERVER),
        ("ClientStream", StreamType.CLIENT),
        ("Bidi", StreamType.CLIENT | StreamType.SERVER),
    ],
)
def test_knows_which_sides_stream(name: str, stream_type: StreamType) -> None:
    """The stream type is the two keywords of the .proto, and tells each side."""
    (method,) = [m for m in echo_contract().methods if m.descriptor.name == name]

    assert method.stream_type is stream_type
    assert method.stream_type.client == ("Client" in name or name == "Bidi")
    assert method.stream_type.server == ("Server" in name or name == "Bidi")


def test_a_method_knows_its_names() -> None:
    """A method has its full name, its service's, and its path on the wire."""
    method = echo_contract().methods[0]

    assert method.full_name == "echo.v1.Echo.Unary"
    assert method.service_name == "echo.v1.Echo"
    assert method.path == "/echo.v1.Echo/Unary"
    assert method.comment == "Answers with the request."


def test_a_package_less_service_loads() -> None:
    """A file without a package has services too."""
    contract = load(
        compile_text('syntax = "proto3"; message M {} service S { rpc A(M) returns (M); }')
    )

    assert [method.path for method in contract.methods] == ["/S/A"]


@pytest.mark.parametrize(
    ("name", "comment"),
    [
        ("echo.v1.Echo", "Answers with what it was sent."),
        ("echo.v1.Echo.Unary", "Answers with the request."),
        ("echo.v1.Color", "An enum with an alias and a negative value."),
        ("echo.v1.Nested", "A message in a message."),
        ("echo.v1.Nested.name", "A name."),
        ("echo.v1.Nested.number", None),
    ],
)
def test_keeps_comments(name: str, comment: str | None) -> None:
    """Leading comments are kept under the full name of what they stand before."""
    assert echo_contract().comments.get(name) == comment


def test_keeps_comments_of_what_is_nested() -> None:
    """Comments of nested types, enums and values are kept, several lines and trailing ones too."""
    text = """syntax = "proto3";
package t;
message M {
  // Inner.
  //
  //   indented
  message N {
    // Deep.
    string a = 1;
  }
  enum E {
    // Zero.
    ZERO = 0;
    ONE = 1;  // One.
  }
}
"""
    comments = load(compile_text(text)).comments

    assert comments["t.M.N"] == "Inner.\n\n  indented"
    assert comments["t.M.N.a"] == "Deep."
    assert comments["t.M.E.ZERO"] == "Zero."
    assert comments["t.M.E.ONE"] == "One."


def test_a_deprecated_method_says_so() -> None:
    """The method option `deprecated` is kept."""
    text = TWO_SERVICES.replace(
        "rpc A(M) returns (M);", "rpc A(M) returns (M) { option deprecated = true; }"
    )

    assert [method.deprecated for method in load(compile_text(text)).methods] == [True, False]


def test_a_set_without_source_info_has_bare_locations() -> None:
    """Where line and column are unknown, a location is the file."""
    stripped = files(echo_descriptor_set())
    for file in stripped:
        file.ClearField("source_code_info")

    contract = load(written(stripped))

    assert str(contract.methods[0].location) == "echo/v1/echo.proto"
    assert str(Location("a.proto", 3, 4)) == "a.proto:3:4"
    assert contract.comments == {}


def test_error_details_are_always_known() -> None:
    """The types of google.rpc's error details are in every contract's pool."""
    contract = load(compile_text('syntax = "proto3"; package t; message M {}'))

    found = contract.pool.FindMessageTypeByName("google.rpc.BadRequest")

    assert GetMessageClass(found)().DESCRIPTOR.full_name == "google.rpc.BadRequest"
