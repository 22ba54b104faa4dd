"""Reads the contract that the settings name, from all its sources."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Final

from gateway.contract.bindings import without_faulty_rules
from gateway.contract.descriptors import Contract, load
from gateway.contract.service_config import apply_rules, auto_mapped, read_service_config
from gateway.setting_files import read_file
from gateway.settings import Settings
from gateway.sources.files import DescriptorSetFile, file_stamp
from gateway.sources.git import GitSource
from gateway.sources.merged import MergedSource
from gateway.sources.port import ContractData, Source, SourceUnavailable
from gateway.sources.protos import ProtoSource
from gateway.sources.reflection import ReflectionSource
from gateway.tls import channel_credentials, upstream_tls
from gateway.upstream.options import UpstreamOptions
from gateway.upstream.port import Upstream
from gateway.upstream.transport import make_upstream

log = logging.getLogger(__name__)

GIT: Final = "git:"
REFLECT: Final = "reflect:"
MAX_MESSAGE: Final = 64 * 1024 * 1024
"""Maximum bytes of an answer of a server's reflection."""
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0
"""Seconds between attempts to read the reflection of a server that does not answer; doubled each time."""


def named_source(name: str, settings: Settings) -> Source:
    """Returns the source that a word names.

    Args:
        name: `git:REVISION:PATH`, `reflect:ADDRESS`, a .proto file, a folder, or a descriptor set.
        settings: how servers are reached, and where imports are looked for.

    Raises:
        ContractError: the word is written wrong.
        TargetError, TlsError, FileReadError: so are the settings of the upstream.
    """
    if name.startswith(GIT):
        revision, _, place = name.removeprefix(GIT).partition(":")
        return GitSource(revision, place, settings.proto_paths)
    if name.startswith(REFLECT):
        return _reflection(name.removeprefix(REFLECT), settings)
    path = Path(name)
    if path.is_dir() or path.suffix == ".proto":
        return ProtoSource(path, settings.proto_paths)
    return DescriptorSetFile(path)


def _reflection(address: str, settings: Settings) -> Source:
    # with grpcio, threads would be there before the workers are forked
    over_wire = settings.model_copy(update={"transport": "wire"})
    credentials = channel_credentials(upstream_tls(over_wire))

    def connect(target: str) -> Upstream:
        options = UpstreamOptions(
            target, MAX_MESSAGE, credentials=credentials, name=settings.upstream_name
        )
        return make_upstream("wire", options)

    return ReflectionSource(
        address,
        connect,
        services=settings.services,
        poll_seconds=settings.reflect_poll_seconds,
    )


class SettingsSource:
    """The contract that the settings name: all its sources, and the HTTP rules beside them."""

    def __init__(self, settings: Settings) -> None:
        """Takes the settings.

        Raises:
            ContractError: a source is written wrong.
            TargetError, TlsError, FileReadError: the settings of the upstream are wrong.
        """
        sources = list(_sources(settings))
        self._source = sources[0] if len(sources) == 1 else MergedSource(sources)
        self._rules = settings.http_rules
        self._reflects = any(isinstance(each, ReflectionSource) for each in sources)
        self.returns: Callable[[], int] = int
        """Returns how often the upstream was reached again: its contract may be another one then."""

    def read(self) -> ContractData:
        """Reads the contract; blocks.

        Raises:
            ContractError: what is read is no contract, as a .proto that does not compile.
            SourceUnavailable: a server cannot be reached.
            FileReadError: a file cannot be read; it is an OSError.
        """
        rules = b"" if self._rules is None else read_file(self._rules)
        return ContractData(self._source.read(), rules)

    def stamp(self) -> Hashable:
        """Returns a value that differs when `read` may return something else; cheap, and does not raise."""
        rules = None if self._rules is None else file_stamp(self._rules)
        return self._source.stamp(), rules, self.returns() if self._reflects else 0

    def describe(self) -> str:
        """Returns what is read, in a few words."""
        return self._source.describe()


def _sources(settings: Settings) -> Iterator[Source]:
    if settings.descriptor_set is not None:
        yield DescriptorSetFile(settings.descriptor_set)
    for name in settings.sources:
        yield named_source(name, settings)
    if settings.reflect:
        yield _reflection(settings.upstream, settings)


def load_contract(data: ContractData, settings: Settings) -> Contract:
    """Loads a contract, as the settings say.

    With `skip_faulty_rules` the rules that are wrong are left out, and listed in the contract.

    Raises:
        ContractError: it has the wrong format, or the rules do not fit the descriptor set.
    """
    skip = settings.skip_faulty_rules
    contract = load(data.descriptor_set, settings.services, file=settings.contract_words())
    if settings.http_rules is not None:
        config = read_service_config(data.http_rules, str(settings.http_rules))
        contract = apply_rules(contract, config, skip_faulty=skip)
    if settings.auto_mapping:
        contract = auto_mapped(contract)
    return without_faulty_rules(contract) if skip else contract


def read_contract(settings: Settings) -> Contract:
    """Reads the contract that the settings name; waits for a server whose reflection is read.

    Raises:
        ContractError: a file has the wrong format, or the rules do not fit the descriptor set.
        SourceUnavailable: a server does not answer within `reflect_wait_seconds`.
        FileReadError: a file cannot be read; it is an OSError.
    """
    source = SettingsSource(settings)
    data = waiting_for_servers(source.read, settings.reflect_wait_seconds)
    return load_contract(data, settings)


def waiting_for_servers(
    read: Callable[[], ContractData],
    seconds: float,
    on_wait: Callable[[str], object] | None = None,
) -> ContractData:
    """Reads a contract again until its servers answer.

    Args:
        read: reads it.
        seconds: maximum time.
        on_wait: called before each pause with the reason, which has no address.

    Raises:
        SourceUnavailable: a server still does not answer.
    """
    end = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while True:
        try:
            return read()
        except SourceUnavailable as error:
            left = end - time.monotonic()
            if left <= 0:
                raise
            wait = min(pause, left)
            log.warning("waiting for the contract, up to %.0f s more: %s", left, error)
            if on_wait is not None:
                on_wait(f"waiting for reflection: {error.reason}")
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)
