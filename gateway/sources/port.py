"""The port of a source, and what it reads."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from gateway.contract.errors import ContractError


@dataclass(frozen=True, slots=True)
class ContractData:
    """A contract as it was read, before anything in it was checked."""

    descriptor_set: bytes
    """Serialized `google.protobuf.FileDescriptorSet`."""
    http_rules: bytes = b""
    """YAML of a `google.api.Service` with HTTP rules; empty: none."""

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        sizes = b"%d %d\0" % (len(self.descriptor_set), len(self.http_rules))
        return sha256(sizes + self.descriptor_set + self.http_rules).hexdigest()


class Source(Protocol):
    """Reads a descriptor set, at the start and again when it may have changed."""

    def read(self) -> bytes:
        """Reads the serialized `FileDescriptorSet`; blocks.

        Raises:
            ContractError: what is read is no contract, as a .proto that does not compile.
            SourceUnavailable: a server cannot be reached.
            FileReadError: a file cannot be read; it is an OSError.
        """
        ...

    def stamp(self) -> Hashable:
        """Returns a value that differs when `read` may return something else; cheap, and does not raise."""
        ...

    def describe(self) -> str:
        """Returns what is read, in a few words: the path of a file, say."""
        ...


class SourceUnavailable(ContractError):
    """A server does not answer; it may later.

    Attributes:
        reason: why, without its address.
    """

    def __init__(self, problem: str, reason: str) -> None:
        """Takes the line of the error, and the reason."""
        super().__init__(problem)
        self.reason = reason
