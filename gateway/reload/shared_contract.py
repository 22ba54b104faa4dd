"""The contract that all workers of a program serve, and the one that is proposed to them.

It is made before the first fork, in files without names, so a worker that is started anew begins with the
contract in force, and all workers compile the same bytes. One worker at a time may change it (`lock`).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Final

from gateway.sources.port import ContractData

_HEAD: Final = Struct("!QB32s32s")
"""Generation, slot and SHA-256 of the contract in force; SHA-256 of the proposed one."""
_SIZES: Final = Struct("!QQ")
"""Bytes of the descriptor set and of the HTTP rules, which follow."""
_TRIES: Final = 5
"""A reader that meets a change reads again."""


class SharedContract:
    """Two files, of which one has the contract in force and the other one the proposed one."""

    def __init__(self) -> None:
        """Begins with the contract that every worker is forked with, which is generation 0."""
        self._slots = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - open to the end
        self._head = mmap.mmap(-1, _HEAD.size)

    def close(self) -> None:
        """Closes the files in this process."""
        for each in self._slots:
            each.close()
        self._head.close()

    @property
    def generation(self) -> int:
        """How often the contract was replaced."""
        generation: int = _HEAD.unpack(self._head[:])[0]
        return generation

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """The block may change it, if it is given True; it is given False while another worker does.

        A worker that dies gives the lock back. It keeps other processes out, and not other tasks.
        """
        try:
            fcntl.lockf(self._slots[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._slots[0], fcntl.LOCK_UN)

    def propose(self, data: ContractData) -> None:
        """Writes a contract for all workers to prepare."""
        generation, slot, in_force, _ = _HEAD.unpack(self._head[:])
        text = _SIZES.pack(len(data.descriptor_set), len(data.http_rules))
        text += data.descriptor_set + data.http_rules
        descriptor = self._slots[1 - slot].fileno()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)
        digest = bytes.fromhex(data.digest)
        self._head[:] = _HEAD.pack(generation, slot, in_force, digest)

    def put_into_force(self) -> None:
        """Makes the proposed contract the one in force."""
        generation, slot, _, proposed = _HEAD.unpack(self._head[:])
        self._head[:] = _HEAD.pack(generation + 1, 1 - slot, proposed, proposed)

    def proposed(self) -> ContractData | None:
        """Returns the proposed contract; None: it is another one by now."""
        _, slot, _, digest = _HEAD.unpack(self._head[:])
        return self._read(1 - slot, digest)

    def in_force(self) -> tuple[int, ContractData] | None:
        """Returns the contract in force, with its generation; None: that every worker is forked with."""
        for _ in range(_TRIES):
            generation, slot, digest, _ = _HEAD.unpack(self._head[:])
            if not generation:
                return None
            if (data := self._read(slot, digest)) is not None:
                return generation, data
        raise OSError("the contract in force cannot be read")

    def _read(self, slot: int, digest: bytes) -> ContractData | None:
        descriptor = self._slots[slot].fileno()
        text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        if len(text) < _SIZES.size:
            return None
        size, _ = _SIZES.unpack_from(text)
        start = _SIZES.size
        data = ContractData(text[start : start + size], text[start + size :])
        return data if bytes.fromhex(data.digest) == digest else None
