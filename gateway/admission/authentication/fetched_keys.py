"""Keys that are fetched from a URL, refreshed in the background, and kept while they cannot be.

All callers share one fetch. A token with an unknown key id has them fetched again, at most once in
`jwks_refetch_seconds`, whatever callers do. Redirects are not followed: who may redirect could name keys.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from random import uniform
from time import monotonic
from typing import Final, Self

import httpx

from gateway.admission.authentication.jwt_settings import JwtSettings, is_loopback, shown_url
from gateway.admission.authentication.key_set import KeySet, read_key_set
from gateway.admission.error import AdmissionError
from gateway.setting_files import read_file

log = logging.getLogger(__name__)

MIN_AGE_SECONDS: Final = 60.0
"""Keys are not fetched more often than this because they grow old."""
_MAX_BACKOFF: Final = 60.0
"""Maximum seconds between two attempts while the keys cannot be fetched."""
_MAX_AGE: Final = re.compile(r'(?:^|[,\s])max-age="?([0-9]{1,9})', re.IGNORECASE)
"""RFC 9111, section 5.2.2.1."""
_REDIRECT: Final = range(300, 400)
_OK: Final = 200


class FetchedKeys:
    """The keys at one URL; see `KeySource`."""

    def __init__(self, url: str, on_change: Callable[[], None], settings: JwtSettings) -> None:
        """Takes the URL; `on_change` is called when there are other keys.

        Raises:
            AdmissionError: the file of CAs is wrong.
            FileReadError: it cannot be read; it is an OSError.
        """
        self._url = url
        self._shown = shown_url(url)
        self._on_change = on_change
        self._settings = settings
        self._tls = _tls(settings)
        self._client: httpx.AsyncClient
        self._keys: KeySet | None = None
        self._text = b""
        self._stale_at = 0.0
        self._max_age = settings.jwks_max_age_seconds
        self._attempted_at = float("-inf")
        self._fetch_under_way: asyncio.Task[bool] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._problem = ""

    @property
    def keys(self) -> KeySet | None:
        """The last good keys; None if they were never fetched, or are too old."""
        return self._keys if monotonic() < self._stale_at else None

    def refetch(self) -> bool:
        """Begins a fetch, or joins the one under way; False if the last one is too recent."""
        if self._fetch_under_way is None:
            if monotonic() - self._attempted_at < self._settings.jwks_refetch_seconds:
                return False
            self._start()
        return True

    async def fetched(self) -> None:
        """Waits for the fetch under way, if there is one."""
        if self._fetch_under_way is not None:
            await asyncio.wait({self._fetch_under_way})

    def _start(self) -> asyncio.Task[bool]:
        if self._fetch_under_way is None:
            self._attempted_at = monotonic()
            self._fetch_under_way = asyncio.create_task(self._fetch())
            self._fetch_under_way.add_done_callback(self._fetch_is_over)
        return self._fetch_under_way

    def _fetch_is_over(self, _task: object) -> None:
        self._fetch_under_way = None

    async def __aenter__(self) -> Self:
        """Begins to fetch; requests that come meanwhile wait."""
        self._client = httpx.AsyncClient(
            verify=self._tls,
            follow_redirects=False,
            timeout=self._settings.jwks_timeout_seconds,
            trust_env=not is_loopback(self._url),  # a proxy, which cannot reach this machine
            headers={
                "accept": "application/jwk-set+json, application/json",
                "accept-encoding": "identity",
            },
        )
        self._start()
        self._refreshing = asyncio.create_task(self._refresh())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends it."""
        for task in (self._refreshing, self._fetch_under_way):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self._client.aclose()

    async def _refresh(self) -> None:
        """Fetches again before the keys are old; after a failure soon, then less and less often."""
        backoff = 1.0
        while True:
            task = self._start()
            await asyncio.wait({task})
            if not task.cancelled() and task.result():
                backoff = 1.0
                await asyncio.sleep(self._max_age)
            else:
                await asyncio.sleep(backoff * uniform(0.8, 1.2))  # noqa: S311 - jitter, not security
                backoff = min(2 * backoff, _MAX_BACKOFF)

    async def _fetch(self) -> bool:
        """Fetches and takes the keys; returns whether that went well. It does not raise."""
        try:
            async with asyncio.timeout(self._settings.jwks_timeout_seconds):
                text, max_age = await self._get()
            keys = self._keys if text == self._text else read_key_set(text, self._shown)
        except TimeoutError:
            return self._failed(f"no answer within {self._settings.jwks_timeout_seconds:g} s")
        except (httpx.HTTPError, ValueError) as error:
            return self._failed(str(error) or type(error).__name__)
        except Exception:
            log.exception("jwt_jwks: %s", self._shown)
            return self._failed("internal error")
        now, settings = monotonic(), self._settings
        self._max_age = min(max(max_age, MIN_AGE_SECONDS), settings.jwks_max_age_seconds)
        self._stale_at = now + self._max_age + settings.jwks_stale_seconds
        if text != self._text:
            self._keys, self._text = keys, text
            self._on_change()
        if self._problem:
            log.info("jwt_jwks: %s: keys were fetched again", self._shown)
            self._problem = ""
        return True

    def _failed(self, problem: str) -> bool:
        if problem != self._problem:
            self._problem = problem
            rest = "the last good keys stay in force" if self.keys else "no token can be verified"
            log.error("jwt_jwks: %s: %s; %s", self._shown, problem, rest)
        return False

    async def _get(self) -> tuple[bytes, float]:
        """Returns the body and its max-age in seconds.

        Raises:
            ValueError: it is not what was asked for.
            httpx.HTTPError: the server cannot be reached, or does not speak HTTP.
        """
        limit = self._settings.jwks_max_bytes
        async with self._client.stream("GET", self._url) as response:
            if response.status_code in _REDIRECT:
                raise ValueError(
                    "answers with a redirect, which is not followed; set its target as jwks"
                )
            if response.status_code != _OK:
                raise ValueError(f"answers {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("answers with a content coding, which was not asked for")
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > limit:
                    raise ValueError(f"answers with more than {limit} bytes")
            found = _MAX_AGE.search(response.headers.get("cache-control", ""))
        return bytes(body), float(found[1]) if found else self._settings.jwks_max_age_seconds


def _tls(settings: JwtSettings) -> ssl.SSLContext:
    """Returns how servers are verified.

    Raises:
        AdmissionError: the file of CAs is wrong.
        FileReadError: it cannot be read; it is an OSError.
    """
    if settings.jwks_ca is None:
        return ssl.create_default_context()
    text = read_file(settings.jwks_ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the CAs of the system
    try:
        context.load_verify_locations(cadata=text.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise AdmissionError(f"jwt_jwks_ca: {settings.jwks_ca}: {error}") from error
    return context
