"""Fetches a document by a conditional GET (RFC 9110, section 13); no server can make it cost much.

Rule: no redirect is followed, for who may redirect could name rates. No content coding is accepted, so what
is counted while it is read is all that there is.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from grpc_core.settings import is_loopback

_OK: Final = 200
_NOT_MODIFIED: Final = 304
_REDIRECT: Final = range(300, 400)
_XML: Final = {"text/xml", "application/xml"}
_VALIDATORS: Final = {"etag": "if-none-match", "last-modified": "if-modified-since"}
"""Field of a response -> field of the next request."""
_VALIDATOR_CHARACTERS: Final = 256
_SHOWN: Final = 200
"""Maximum characters of what a server says in an error."""


class FetchError(Exception):
    """There is no document: nobody answered, or something else."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it came.

    Attributes:
        body: Its bytes.
        validators: Header fields of a request that asks whether there is another one.
    """

    body: bytes
    validators: Mapping[str, str]


class HttpSource:
    """A document at a URL."""

    def __init__(self, url: str, seconds: float, max_bytes: int) -> None:
        """Takes the URL, the maximum duration of a fetch, and the maximum size of a document."""
        self._url = url
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._tls = ssl.create_default_context()

    async def fetch(self, validators: Mapping[str, str]) -> Document | None:
        """Fetches the document; None: it is the one that the validators are of.

        Raises:
            FetchError: There is none, or it is too large or too slow.
        """
        try:
            async with asyncio.timeout(self._seconds), self._client() as client:
                return await self._get(client, validators)
        except TimeoutError:
            raise FetchError(f"no answer within {self._seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError((str(error) or type(error).__name__)[:_SHOWN]) from error

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self._tls,
            follow_redirects=False,
            timeout=self._seconds,
            trust_env=not is_loopback(self._url),  # a proxy, which cannot reach this machine
            headers={"accept": "text/xml, application/xml", "accept-encoding": "identity"},
        )

    async def _get(
        self, client: httpx.AsyncClient, validators: Mapping[str, str]
    ) -> Document | None:
        async with client.stream("GET", self._url, headers=dict(validators)) as response:
            if response.status_code == _NOT_MODIFIED and validators:
                return None
            _check(response)
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > self._max_bytes:
                    raise FetchError(f"answers with more than {self._max_bytes} bytes")
            return Document(bytes(body), _validators(response.headers))


def _validators(fields: Mapping[str, str]) -> dict[str, str]:
    """Returns the fields of the next request; a value that cannot be sent back is left out."""
    found = {asked: fields.get(name, "") for name, asked in _VALIDATORS.items()}
    return {
        asked: value
        for asked, value in found.items()
        if value.isascii() and value.isprintable() and 0 < len(value) <= _VALIDATOR_CHARACTERS
    }


def _check(response: httpx.Response) -> None:
    """Checks all that a head says.

    Raises:
        FetchError: It is not the head of a document.
    """
    fields = response.headers
    if response.status_code in _REDIRECT and response.status_code != _NOT_MODIFIED:
        raise FetchError(
            "answers with a redirect, which is not followed; set its target as the URL"
        )
    if response.status_code != _OK:
        raise FetchError(f"answers {response.status_code}")
    if fields.get("content-encoding", "identity") != "identity":
        raise FetchError("answers with a content coding, which was not asked for")
    media_type = fields.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _XML:
        raise FetchError(
            f"answers with {media_type[:_SHOWN] or 'no media type'!r}, which is no XML"
        )
