"""The authenticator of API keys, and the file that has their hashes.

A key is `PREFIX_ID_SECRET`. The id finds the entry, and is no secret; the secret has 256 random bits, so its
SHA-256 can be neither reversed nor guessed, and a slow hash, which passwords need, would add only cost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex, token_urlsafe
from time import time
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from gateway.admission.authentication.api_key_settings import ApiKeySettings
from gateway.admission.authentication.challenge import challenge, misuse, rejection
from gateway.admission.authentication.watched_file import WatchedFile
from gateway.admission.identity import Identity
from gateway.exchange.request_info import RequestInfo, Wire

_SCHEME: Final = "ApiKey"
_KEY: Final = re.compile(rb"[A-Za-z0-9]{1,16}_([0-9a-f]{8,64})_[A-Za-z0-9_-]{22,128}")
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
"""Maximum size of the file."""
MAX_KEY_BYTES: Final = 256
"""Maximum size of a key."""
_NO_HASH: Final = bytes(32)
_REVOKED: Final = "the API key is unknown"


class ApiKeyEntry(BaseModel):
    """One key, as the file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str = Field(pattern=r"^[0-9a-f]{8,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str = Field(
        min_length=1, max_length=200, pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"
    )
    scopes: tuple[Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")], ...] = ()
    roles: tuple[str, ...] = ()
    expires: AwareDatetime | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    keys: tuple[ApiKeyEntry, ...]


@dataclass(slots=True, eq=False)
class _Key:
    """A key that is in force, and the streams that it has opened."""

    entry: ApiKeyEntry
    hash: bytes
    identity: Identity
    streams: set[RequestInfo]


class ApiKeys:
    """Verifies API keys. As a block, it watches their file.

    A key that is gone from the file, or that has changed there, ends the streams which it has opened.
    """

    def __init__(self, settings: ApiKeySettings) -> None:
        """Reads the file.

        Raises:
            AdmissionError: it is wrong.
            FileReadError: it cannot be read; it is an OSError.
        """
        if settings.file is None:
            raise ValueError("api_keys has no file")
        self._settings = settings
        self._header = settings.header.encode()
        self._query = settings.query.encode()
        self._name_key = settings.name_metadata.lower()
        self._keys: dict[bytes, _Key] = {}
        self.challenge = challenge(_SCHEME, settings.realm)
        # a header that is the user's own may be forwarded; a credential is not
        reserved = {self._name_key, settings.header} - {""}
        self.reserved_metadata = frozenset(reserved)
        self._file = WatchedFile(
            settings.file,
            self._take,
            setting="api_keys_file",
            max_bytes=MAX_FILE_BYTES,
            interval=settings.file_check_seconds,
        )
        self.files = (self._file,)

    async def __aenter__(self) -> Self:
        """Begins to watch the file."""
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends it."""
        await self._file.__aexit__()

    def _take(self, content: bytes) -> None:
        """Takes the keys of the file; ends the streams of those that are no longer the same."""
        old, new = self._keys, {}
        for entry in read_api_keys(content):
            name = entry.id.encode()
            known = old.get(name)
            same = known is not None and known.entry == entry
            new[name] = known if known is not None and same else _key(entry)
        self._keys = new
        for name, key in old.items():
            if new.get(name) is not key:
                for request in tuple(key.streams):
                    request.revoke()

    def authenticate(self, request: RequestInfo) -> Identity | None:
        """See `Authenticator`."""
        text = self._find(request)
        if text is None:
            return None
        match = _KEY.fullmatch(text) if len(text) <= MAX_KEY_BYTES else None
        key = self._keys.get(match[1]) if match is not None else None
        expected = _NO_HASH if key is None else key.hash
        if not compare_digest(sha256(text[:MAX_KEY_BYTES]).digest(), expected) or key is None:
            raise self._rejection(_REVOKED)
        identity = key.identity
        if identity.expires_at is not None:
            if identity.expires_at <= time():
                raise self._rejection("the API key has expired")
            request.expires_at = identity.expires_at
        if self._name_key:
            request.metadata.append((self._name_key, identity.name))
        _keep(key, request)
        return identity

    def confirm(self, identity: Identity, request: RequestInfo) -> None:
        """Confirms an identity that a key gave before, for a ticket; a revocation ends the stream.

        Raises:
            StatusError: UNAUTHENTICATED, the key is gone, or has changed.
        """
        key = self._keys.get(str(identity.claims.get("key_id", "")).encode())
        if key is None or key.identity != identity:
            raise self._rejection(_REVOKED)
        _keep(key, request)

    def _find(self, request: RequestInfo) -> bytes | None:
        found: bytes | None = None
        if self._header:
            values = request.header_values(self._header)
            if len(values) > 1:
                raise self._misuse("the API key is given more than once")
            found = values[0] if values else None
        if self._query and self._query in request.query:
            parameter = request.take_parameter(self._query)
            if parameter is not None and found is not None:
                raise self._misuse("the API key is given in a header and in the query")
            found = found if parameter is None else parameter
        return found

    def _rejection(self, description: str) -> Exception:
        return rejection(_SCHEME, self._settings.realm, description)

    def _misuse(self, description: str) -> Exception:
        return misuse(_SCHEME, self._settings.realm, description)


def _keep(key: _Key, request: RequestInfo) -> None:
    """Keeps a stream with the key that has opened it, until it ends."""
    method = request.method
    if request.wire is Wire.WEBSOCKET or (method is not None and method.streams):
        key.streams.add(request)
        request.at_end.append(lambda: key.streams.discard(request))


def _key(entry: ApiKeyEntry) -> _Key:
    rights: dict[str, Any] = {"scope": " ".join(entry.scopes), "roles": list(entry.roles)}
    identity = Identity(
        name=entry.name,
        kind="api_key",
        claims=MappingProxyType({"sub": entry.name, "key_id": entry.id, **rights}),
        expires_at=None if entry.expires is None else entry.expires.timestamp(),
    )
    return _Key(entry, bytes.fromhex(entry.sha256), identity, set())


def read_api_keys(content: bytes) -> tuple[ApiKeyEntry, ...]:
    """Reads a file of keys.

    Raises:
        ValueError: it is wrong; the text says where, and has no hash.
    """
    try:
        document = yaml.safe_load(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise ValueError(f"{where}{getattr(error, 'problem', None) or 'is no YAML'}") from None
    try:
        entries = _File.model_validate(document).keys
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)
        )
        raise ValueError("; ".join(problems)) from None
    ids = [entry.id for entry in entries]
    if (
        doubled := {each for each in ids if ids.count(each) > 1}
        if len(set(ids)) < len(ids)
        else set()
    ):
        raise ValueError(f"the id {min(doubled)} is there more than once")
    return entries


def new_api_key(
    name: str,
    *,
    prefix: str = "pw",
    scopes: tuple[str, ...] = (),
    roles: tuple[str, ...] = (),
    expires: datetime | None = None,
) -> tuple[str, Mapping[str, Any]]:
    """Makes a key; returns it, and its entry for the file.

    Args:
        name: of whoever gets it.
        prefix: what the key begins with, by which scanners of repositories find it.
        scopes: rights.
        roles: rights.
        expires: when it ends; None: never.

    Raises:
        ValueError: an argument cannot be in the file.
    """
    key_id = token_hex(8)
    key = f"{prefix}_{key_id}_{token_urlsafe(32)}"
    if not _KEY.fullmatch(key.encode()):
        raise ValueError("a prefix has 1 to 16 letters and digits")
    hashed = sha256(key.encode()).hexdigest()
    entry = ApiKeyEntry(
        id=key_id, sha256=hashed, name=name, scopes=scopes, roles=roles, expires=expires
    )
    given: dict[str, Any] = {"id": entry.id, "sha256": entry.sha256, "name": entry.name}
    given |= {"scopes": list(entry.scopes)} if scopes else {}
    given |= {"roles": list(entry.roles)} if roles else {}
    if entry.expires is not None:
        given["expires"] = entry.expires.astimezone(UTC).isoformat()
    return key, given
