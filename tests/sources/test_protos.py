""".proto files and folders as a source: what is compiled, and what is said of errors."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.contract.descriptors import files_of, load
from gateway.contract.errors import ContractError
from gateway.setting_files import FileReadError
from gateway.sources import protoc
from gateway.sources.git import GitSource
from gateway.sources.protos import ProtoSource

ORDERS = """
syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
import "google/rpc/status.proto";
import "google/type/money.proto";
import "gateway/v1/options.proto";

// Orders of a shop.
service Orders {
  // Returns one order.
  rpc Get(GetRequest) returns (Order) { option (google.api.http) = { get: "/orders/{id}" }; }
  rpc Watch(GetRequest) returns (stream Order) { option (gateway.v1.stream).shared = true; }
}
message GetRequest { string id = 1; }
message Order { string id = 1; google.type.Money price = 2; google.rpc.Status status = 3; }
"""


def write(folder: Path, **files: str) -> None:
    """Writes .proto files; `a__b` is `a/b.proto`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.proto"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def problems(source: ProtoSource | GitSource, folder: Path) -> list[str]:
    """Returns the lines for a source that does not compile, without the folder."""
    with pytest.raises(ContractError) as raised:
        source.read()
    return [str(each).removeprefix(f"{folder}/") for each in raised.value.problems]


def test_a_file_is_compiled_with_googles_files_and_our_options(tmp_path: Path) -> None:
    """Nothing but the file is there; its comments are kept, for the documents."""
    write(tmp_path, orders=ORDERS)

    contract = load(ProtoSource(tmp_path / "orders.proto").read())

    assert [method.full_name for method in contract.methods] == [
        "shop.v1.Orders.Get",
        "shop.v1.Orders.Watch",
    ]
    assert contract.methods[0].comment == "Returns one order."
    assert contract.methods[1].stream is not None
    assert contract.comments["shop.v1.Orders"] == "Orders of a shop."


def test_a_folder_is_all_that_is_below_it(tmp_path: Path) -> None:
    """By the paths that its files import; hidden folders are left out."""
    write(
        tmp_path,
        shop__v1__orders='syntax = "proto3"; import "shop/v1/types.proto"; message A { T t = 1; }',
        shop__v1__types='syntax = "proto3"; message T {}',
        **{".git__x": "nonsense"},
    )

    names = [file.name for file in files_of(ProtoSource(tmp_path).read())]
    assert sorted(names) == ["shop/v1/orders.proto", "shop/v1/types.proto"]


def test_imports_are_looked_for_in_proto_paths(tmp_path: Path) -> None:
    """And the file is called by its path below such a folder."""
    write(
        tmp_path,
        shop__v1__orders='syntax = "proto3"; import "shop/v1/types.proto"; message A { T t = 1; }',
        shop__v1__types='syntax = "proto3"; message T {}',
    )
    path = tmp_path / "shop/v1/orders.proto"

    assert problems(ProtoSource(path), tmp_path) == [
        "shop/v1/orders.proto:1:20: shop/v1/types.proto is not found: name its folder with --proto-paths"
    ]
    names = [file.name for file in files_of(ProtoSource(path, [tmp_path]).read())]
    assert names == ["shop/v1/types.proto", "shop/v1/orders.proto"]


def test_all_errors_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """The compiler stops at the first file with errors; each is named with file, line and column."""
    write(
        tmp_path,
        a='syntax = "proto3";\nmessage A { int32 a = 1 }',
        b='syntax = "proto3";\nmessage B { Nothing a = 1; }\nmessage C { Nowhere a = 1; }',
        c='syntax = "proto3";\nimport "b.proto";\nmessage D { B b = 1; }',
        d='syntax = "proto3";\nmessage E {}\nmessage E {}',
        e='syntax = "proto3";\nimport "google/type/date.proto";\nmessage F {}',
    )

    assert problems(ProtoSource(tmp_path), tmp_path) == [
        'a.proto:2:25: Expected ";".',
        'b.proto:2:13: "Nothing" is not defined.',
        'b.proto:3:13: "Nowhere" is not defined.',
        'd.proto:3:9: "E" is already defined.',
    ]


def test_the_command_prints_each_error_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the path as it was given, so that an editor finds it."""
    write(tmp_path, b='syntax = "proto3";\nmessage B { X a = 1; }\nmessage C { Y a = 1; }')

    assert main(["check", str(tmp_path / "b.proto")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f'protoway: {tmp_path}/b.proto:2:13: "X" is not defined.',
        f'protoway: {tmp_path}/b.proto:3:13: "Y" is not defined.',
    ]


def test_a_file_or_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Not by the compiler, whose words are about its path."""
    with pytest.raises(FileReadError, match="No such file"):
        ProtoSource(tmp_path / "x.proto").read()
    assert problems(ProtoSource(tmp_path), tmp_path.parent) == [
        f"{tmp_path.name}: no .proto file is below this folder"
    ]


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pip install protoway` brings no compiler."""
    monkeypatch.setattr(protoc, "find_spec", lambda _: None)
    write(tmp_path, a='syntax = "proto3";')

    assert problems(ProtoSource(tmp_path), tmp_path) == [
        "compiling .proto files needs grpcio-tools: pip install 'protoway[protoc]'"
    ]


def test_the_stamp_differs_when_a_file_or_an_import_does(tmp_path: Path) -> None:
    """So that a reload looks at all that was read, and at files that are new."""
    write(
        tmp_path,
        in__a='syntax = "proto3"; import "t.proto"; message A { T t = 1; }',
        lib__t='syntax = "proto3"; message T {}',
    )
    source = ProtoSource(tmp_path / "in", [tmp_path / "lib"])
    source.read()
    stamps = {source.stamp()}
    assert source.stamp() in stamps

    (tmp_path / "lib/t.proto").write_text('syntax = "proto3"; message T { int32 a = 1; }')
    stamps.add(source.stamp())
    write(tmp_path, in__b='syntax = "proto3";')
    stamps.add(source.stamp())
    (tmp_path / "in/a.proto").unlink()
    stamps.add(source.stamp())

    assert len(stamps) == 4


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two revisions of a contract, and a third state that is not committed."""
    monkeypatch.chdir(tmp_path)
    _git("init", "-q", "-b", "main")
    for text in ("int32 a = 1; int32 b = 2;", "int32 a = 1;"):
        write(
            tmp_path,
            api__lib__t='syntax = "proto3"; message T {}',
            api__v1__a=f'syntax = "proto3"; import "lib/t.proto"; message A {{ T t = 9; {text} }}',
        )
        _git("add", ".")
        _git("commit", "-q", "-m", "x")
    write(tmp_path, api__v1__a="nonsense")
    return tmp_path


def _git(*arguments: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def fields(source: GitSource) -> int:
    """Returns how many fields the message of the repository has."""
    return next(
        len(f.message_type[0].field) for f in files_of(source.read()) if "a.proto" in f.name
    )


def test_a_revision_is_read_from_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a file with its imports in the same revision, or a descriptor set; from any folder."""
    assert fields(GitSource("HEAD~1", "api")) == 3
    assert fields(GitSource("main", "api")) == 2
    assert fields(GitSource("HEAD~1", "api/v1/a.proto", [Path("api")])) == 3
    monkeypatch.chdir(repository / "api")
    assert fields(GitSource("HEAD~1", "v1/a.proto", [Path()])) == 3
    write(repository, api__v1__a='syntax = "proto3"; message A {}')
    (repository / "set.binpb").write_bytes(ProtoSource(repository / "api/lib").read())
    _git("add", "..")
    _git("commit", "-q", "-m", "x")
    assert files_of(GitSource("HEAD", "../set.binpb").read())[0].name == "t.proto"


@pytest.mark.parametrize(
    ("revision", "path", "text"),
    [
        ("nothing", "api", "git:nothing:api: invalid object name 'nothing'."),
        ("HEAD", "nothing", "git:HEAD:nothing: path 'nothing' does not exist in 'HEAD'"),
        ("--output=x", "api", "git:--output=x:api: write git:REVISION:PATH, as git:main:protos"),
        ("", "api", "git::api: write git:REVISION:PATH, as git:main:protos"),
        ("HEAD", "api/v1", "git:HEAD:api/v1/a.proto:1:20: lib/t.proto is not found"),
    ],
)
def test_a_wrong_revision_is_one_line(
    repository: Path, revision: str, path: str, text: str
) -> None:
    """In git's words, or with the place in the revision."""
    with pytest.raises(ContractError) as raised:
        GitSource(revision, path).read()

    assert str(raised.value).startswith(text)
    assert "\n" not in str(raised.value)


def test_every_command_takes_the_same_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As words, as a variable, or beside a descriptor set; Envoy needs one set, which is written."""
    write(tmp_path, orders=ORDERS)
    orders = str(tmp_path / "orders.proto")
    monkeypatch.setenv("PROTOWAY_SOURCES", orders)
    assert main(["routes"]) == 0
    monkeypatch.delenv("PROTOWAY_SOURCES")
    assert main(["routes", "--upstream", "x:1", orders]) == 0
    assert main(["diff", orders, orders]) == 0
    assert capsys.readouterr().out.count("/orders/{id}") == 2

    assert main(["envoy", orders]) == 1
    assert capsys.readouterr().err == (
        "protoway: Envoy reads one descriptor set: give --descriptor-set-out FILE\n"
    )
    out = tmp_path / "envoy.binpb"
    assert main(["envoy", orders, "--descriptor-set-out", str(out)]) == 0
    assert main(["check", orders, "--descriptor-set", str(out)]) == 0
