"""Compares two contracts."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from gateway.contract.descriptors import STANDARD_FILES, Contract
from gateway.contract.evolution.enums import enum_differences
from gateway.contract.evolution.files import file_differences
from gateway.contract.evolution.http import http_differences
from gateway.contract.evolution.messages import message_differences
from gateway.contract.evolution.rules import Difference, worst_of_each_subject
from gateway.contract.evolution.schema import Schema
from gateway.contract.evolution.services import service_differences
from gateway.contract.evolution.streams import stream_differences


def differences(old: Contract, new: Contract) -> list[Difference]:
    """Returns what a new contract breaks, the worst first; one difference for each change of an element.

    Google's standard files, which every edge has, are not compared. Of a contract with HTTP rules beside it,
    or with `auto_mapping`, the bindings are those that are served.
    """
    found = worst_of_each_subject(broken_rules(old, new))
    return sorted(found, key=lambda one: (-one.rule.level, one.element, one.rule.name, one.text))


def broken_rules(old: Contract, new: Contract) -> Iterator[Difference]:
    """Yields every rule that is broken; several may be by one change."""
    before, after = Schema.of(_files(old)), Schema.of(_files(new))
    yield from file_differences(before, after)
    yield from message_differences(before, after)
    yield from enum_differences(before, after)
    yield from service_differences(before, after)
    yield from http_differences(old, new)
    yield from stream_differences(old, new)


def _files(contract: Contract) -> Iterator[FileDescriptorProto]:
    for name in contract.files:
        if name not in STANDARD_FILES:
            file = FileDescriptorProto()
            contract.pool.FindFileByName(name).CopyToProto(file)
            yield file
