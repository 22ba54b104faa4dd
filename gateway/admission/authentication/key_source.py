"""Where the keys of an issuer come from: a file, a secret, or a URL (`fetched_keys`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, Self

from gateway.admission.authentication.jwt_settings import IssuerSettings, JwtSettings
from gateway.admission.authentication.key_set import KeySet, SecretKey, read_key_set
from gateway.admission.authentication.watched_file import WatchedFile

_MAX_SECRET: Final = 4096
"""Maximum bytes of a secret."""


class KeySource(Protocol):
    """The keys of one issuer. As a block, it keeps them fresh."""

    @property
    def keys(self) -> KeySet | None:
        """The keys; None: there are none now."""
        ...

    def refetch(self) -> bool:
        """Begins to fetch the keys again, because one is missing; False: it is not time for that."""
        ...

    async def fetched(self) -> None:
        """Waits for the fetch under way; returns at once if there is none. It does not raise."""
        ...

    async def __aenter__(self) -> Self:
        """Begins to keep them fresh."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Ends it."""
        ...


class FileKeys:
    """Keys, or a secret, of a file that is watched.

    Attributes:
        file: the file.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[bytes], KeySet],
        on_change: Callable[[], None],
        settings: JwtSettings,
        setting: str,
    ) -> None:
        """Reads the file; `on_change` is called when there are other keys.

        Raises:
            AdmissionError: its content is wrong.
            FileReadError: it cannot be read; it is an OSError.
        """
        self.keys: KeySet | None = None
        self._read = read
        self._on_change = on_change
        self.file = WatchedFile(
            path,
            self._take,
            setting=setting,
            max_bytes=settings.jwks_max_bytes,
            interval=settings.file_check_seconds,
        )

    def _take(self, content: bytes) -> None:
        self.keys = self._read(content)
        self._on_change()

    def refetch(self) -> bool:
        """See `KeySource`: a changed file is noticed by itself."""
        return False

    async def fetched(self) -> None:
        """See `KeySource`."""

    async def __aenter__(self) -> Self:
        """Begins to watch the file."""
        await self.file.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends it."""
        await self.file.__aexit__()


def secret_keys(
    path: Path, issuer: IssuerSettings, on_change: Callable[[], None], settings: JwtSettings
) -> FileKeys:
    """Returns the source of an issuer's secret; see `FileKeys` for what it raises."""
    accepted = frozenset(issuer.accepted_algorithms)
    least = max(int(name[2:]) for name in accepted) // 8

    def read(content: bytes) -> KeySet:
        secret = content.removesuffix(b"\n").removesuffix(b"\r")
        if not least <= len(secret) <= _MAX_SECRET:  # RFC 7518, section 3.2
            raise ValueError(
                f"a secret for {', '.join(sorted(accepted))} has {least} to {_MAX_SECRET} bytes,"
                f" this one {len(secret)}"
            )
        return SecretKey(secret, accepted)

    return FileKeys(path, read, on_change, settings, "jwt_secret_file")


def file_keys(path: str, on_change: Callable[[], None], settings: JwtSettings) -> FileKeys:
    """Returns the source of a key set in a file; see `FileKeys` for what it raises."""
    return FileKeys(
        Path(path), lambda content: read_key_set(content, path), on_change, settings, "jwt_jwks"
    )
