"""The URL of a store: where it is, and of which kind.

The schemes `redis`, `rediss` and `unix` are those of IANA's provisional registration and of the package
`redis`; `+cluster` and `+sentinel` behind `redis` or `rediss` say what answers there.

Rule: pure; a password is never part of a URL, for options and settings are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["single", "unix", "cluster", "sentinel"]

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_KINDS: Final[dict[str, Kind]] = {"": "single", "cluster": "cluster", "sentinel": "sentinel"}
_SCHEMES: Final = "redis://, rediss://, unix://, redis+cluster://, rediss+cluster://, redis+sentinel:// or rediss+sentinel://"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is."""

    kind: Kind
    """One server, one behind a Unix socket, a cluster, or one that Sentinels know."""
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    """Host and port: of the server, of some nodes of the cluster, or of the Sentinels."""
    path: str = ""
    """Of the Unix socket."""
    name: str = ""
    """By which the Sentinels know the primary."""
    db: int = 0
    user: str | None = None
    """User of the ACL; None: the default one."""
    sentinel_user: str | None = None
    """User at the Sentinels, with the same password; None: they want none."""


def read_address(url: str) -> StoreAddress:
    """Returns what a URL says.

    Raises:
        ValueError: it is wrong, or has a password; the text does not show it.
    """
    parts = urlsplit(url)
    if parts.password is not None:
        raise ValueError("write no password into the URL; set store_password_file instead")
    if parts.fragment:
        raise ValueError("a store's URL has no fragment")
    user = unquote(parts.username) if parts.username else None
    if parts.scheme == "unix":
        return _unix(parts.netloc.rpartition("@")[2], unquote(parts.path), parts.query, user)
    base, _, suffix = parts.scheme.partition("+")
    if base not in ("redis", "rediss") or suffix not in _KINDS:
        raise ValueError(f"is the URL of a store: {_SCHEMES}")
    kind = _KINDS[suffix]
    options = _options(parts.query, {"sentinel_user"} if kind == "sentinel" else set())
    hosts = _hosts(parts.netloc.rpartition("@")[2], _SENTINEL_PORT if kind == "sentinel" else _PORT)
    name, db = _name_and_db(parts.path, kind)
    if kind == "single" and len(hosts) > 1:
        raise ValueError("names several servers; is it redis+cluster:// or redis+sentinel://?")
    return StoreAddress(
        kind,
        base == "rediss",
        hosts,
        name=name,
        db=db,
        user=user,
        sentinel_user=options.get("sentinel_user"),
    )


def _unix(host: str, path: str, query: str, user: str | None) -> StoreAddress:
    if host or not path:
        raise ValueError("a Unix socket is unix:///PATH")
    options = _options(query, {"db"})
    return StoreAddress(
        "unix", tls=False, hosts=(), path=path, db=_db(options.get("db", "")), user=user
    )


def _options(query: str, known: set[str]) -> dict[str, str]:
    given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"a store's URL has no parameter {unknown[0]}")
    return given


def _hosts(text: str, port: int) -> tuple[tuple[str, int], ...]:
    return tuple(_host(each, port) for each in text.split(","))


def _host(text: str, port: int) -> tuple[str, int]:
    """Returns host and port; an IPv6 address stands in brackets."""
    host, colon, given = text.rpartition(":")
    if not colon or "]" in given:
        host, given = text, ""
    host = unquote(host).removeprefix("[").removesuffix("]")
    if not host:
        raise ValueError("names no host")
    if not given:
        return host, port
    if not (given.isascii() and given.isdigit()) or not 0 < int(given) < 65536:
        raise ValueError("has a port that is none")
    return host, int(given)


def _name_and_db(path: str, kind: Kind) -> tuple[str, int]:
    first, _, rest = path.removeprefix("/").partition("/")
    if kind == "sentinel":
        if not first:
            raise ValueError("names no primary: redis+sentinel://HOST:PORT,HOST:PORT/NAME")
        return unquote(first), _db(rest)
    if rest:
        raise ValueError("has a path that is no number of a database")
    db = _db(first)
    if kind == "cluster" and db:
        raise ValueError("a cluster has database 0 alone")
    return "", db


def _db(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError("has a path that is no number of a database")
    return int(text or 0)
