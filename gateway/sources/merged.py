"""Several sources as one: each file once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from gateway.contract.descriptors import STANDARD_FILES
from gateway.contract.errors import ContractError, Location, contract_errors
from gateway.contract.fields import default_json_name
from gateway.sources.port import Source, SourceUnavailable


class MergedSource:
    """The files of several sources. A file that two have must be the same, apart from comments.

    Google's standard files may differ: then those of this edge are used.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        """Takes the sources, in the order in which their services are listed."""
        self._sources = sources

    def read(self) -> bytes:
        """See `Source`; the problems of all sources are found."""
        sets: list[FileDescriptorSet] = []
        problems: list[ContractError] = []
        for source in self._sources:
            try:
                sets.append(FileDescriptorSet.FromString(source.read()))
            except SourceUnavailable:
                raise
            except ContractError as error:
                problems += error.problems
        if problems:
            raise contract_errors(problems)
        return self._merge(sets).SerializeToString()

    def stamp(self) -> Hashable:
        """See `Source`."""
        return tuple(source.stamp() for source in self._sources)

    def describe(self) -> str:
        """See `Source`."""
        return ", ".join(source.describe() for source in self._sources)

    def _merge(self, sets: Sequence[FileDescriptorSet]) -> FileDescriptorSet:
        merged: dict[str, tuple[FileDescriptorProto, Source]] = {}
        left_out: set[str] = set()
        for source, one in zip(self._sources, sets, strict=True):
            for file in one.file:
                known = merged.get(file.name)
                if known is None:
                    merged[file.name] = (file, source)
                elif _content(known[0]) == _content(file):
                    if not known[0].source_code_info.location:  # comments, if one has them
                        merged[file.name] = (file, known[1])
                elif file.name in STANDARD_FILES:
                    left_out.add(file.name)
                else:
                    both = " and ".join(each.describe() for each in (known[1], source))
                    raise ContractError(
                        f"{both} have different files of this name", location=Location(file.name)
                    )
        return FileDescriptorSet(
            file=[file for name, (file, _) in merged.items() if name not in left_out]
        )


def _content(file: FileDescriptorProto) -> bytes:
    """Returns what a file says: without comments and without names that follow from others."""
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    copy.ClearField("source_code_info")
    copy.syntax = copy.syntax or "proto2"
    for message in copy.message_type:
        _clear_json_names(message)
    for extension in copy.extension:
        extension.ClearField("json_name")
    return copy.SerializeToString(deterministic=True)


def _clear_json_names(message: DescriptorProto) -> None:
    """Removes the JSON names that are the default: servers do not send them."""
    for field in message.field:
        if field.json_name == default_json_name(field.name):
            field.ClearField("json_name")
    for extension in message.extension:
        extension.ClearField("json_name")
    for nested in message.nested_type:
        _clear_json_names(nested)
